"""A host whose frames go through a qdisc under test."""

from typing import Any

from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_queue import netif_stop_queue, netif_wake_queue
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.skbuff import SkBuff, alloc_skb, skb_put_data, skb_reserve
from hardwire.stack.sched.qdisc import Qdisc
from hardwire.stack.sched.sch_api import qdisc_add
from hardwire.tb.stack.fake import FakeNetDevice, make_kernel
from hardwire.tb.stack.linux_tc import frame

__all__ = ["MS", "QdiscHost"]

MS = 1_000_000


class QdiscHost:
    """A host with one device; ``root`` is its qdisc, 1:."""

    def __init__(self, kind: str = "", seed: int = 1, queues: int = 1, **options: Any) -> None:
        self.kernel, self.platform = make_kernel(seed)
        self.dev = FakeNetDevice(self.kernel.init_net, tx_queues=queues)
        register_netdevice(self.dev)
        dev_open(self.dev)
        if kind:
            qdisc_add(self.dev, kind, handle=1 << 16, **options)
        self.number = 0
        self.seen = 0
        self.times: dict[int, int] = {}

    @property
    def root(self) -> Qdisc:
        """The root."""
        return self.dev.qdisc

    def skb(self, flow: int = 1, length: int = 100, priority: int = 0, mark: int = 0, tos: int = 0) -> SkBuff:
        """Return the next frame."""
        self.number += 1
        octets = bytearray(frame(self.number, flow, length))
        octets[15] = tos
        check = int.from_bytes(octets[24:26], "big") - tos
        octets[24:26] = (check + (check >> 16) & 0xFFFF).to_bytes(2, "big")
        skb = alloc_skb(self.kernel, 64 + length)
        skb_reserve(skb, 64)
        skb_put_data(skb, bytes(octets))
        skb.dev, skb.protocol, skb.network_header = self.dev, 0x0800, skb.data + 14
        skb.priority, skb.mark = priority, mark
        return skb

    def send(self, *args: int, **kwargs: int) -> int:
        """Send the next frame."""
        return dev_queue_xmit(self.skb(*args, **kwargs))

    def stop(self) -> None:
        """Have the device take no more."""
        netif_stop_queue(self.dev)

    def wake(self) -> None:
        """Have the device take frames again."""
        netif_wake_queue(self.dev)
        self.platform.advance()

    def came(self) -> list[int]:
        """Return the numbers of the frames that came out since the last call."""
        frames = self.dev.frames[self.seen :]
        self.seen = len(self.dev.frames)
        return [int.from_bytes(octets[42:46], "big") for octets in frames]

    def arrivals(self, until_ns: int) -> list[tuple[int, int]]:
        """Let time pass timer by timer; return when which frame came out."""
        found = [(self.platform.time_ns, number) for number in self.came()]
        end = self.platform.time_ns + until_ns
        while self.platform.timers and self.platform.timers[0][0] <= end:
            self.platform.advance(max(self.platform.timers[0][0] - self.platform.time_ns, 0))
            found += [(self.platform.time_ns, number) for number in self.came()]
        return found

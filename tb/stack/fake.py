"""A host without hardware: memory from Python, a clock that tests move, and a device that keeps what it gets."""

import heapq
import random
from collections.abc import Callable

from hardwire.stack.core.net import Kernel, Net
from hardwire.stack.core.netdevice import (
    IFF_BROADCAST,
    IFF_MULTICAST,
    NETDEV_TX_BUSY,
    NETDEV_TX_OK,
    NETIF_F_HW_CSUM,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from hardwire.stack.core.platform import WaitQueue
from hardwire.stack.core.skbuff import SkBuff, consume_skb
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.ethernet.eth import ether_setup

__all__ = ["FakeBuffer", "FakeNetDevice", "FakePlatform", "FakeTimer", "make_kernel"]


class FakeBuffer:
    """Memory at an address that no other buffer has."""

    def __init__(self, addr: int, size_octets: int) -> None:
        self.addr = addr
        self.view = memoryview(bytearray(b"\xa5") * size_octets)
        self.freed = False


class FakeTimer:
    """A timer of ``FakePlatform``."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> bool:
        """Stop it."""
        pending = self.callback is not None
        self.callback = None
        return pending


class FakePlatform:
    """A ``Platform`` whose clock stands still but for ``advance`` and ``wait``.

    ``wait`` runs timers, in order, until one of them wakes the queue; when no timer is left it fails the test.
    ``buffers`` are those not freed; freeing one twice is an error. ``fail_kmalloc`` counts down to an ``ENOMEM``.
    """

    memory_octets = 4 << 30  # What the Linux hosts have that tests compare with.

    def __init__(self, seed: int = 1) -> None:
        self.time_ns = 0
        self.random = random.Random(seed)
        self.timers: list[tuple[int, int, FakeTimer]] = []
        self.sequence = 0
        self.next_addr = 0x1_0000_0000
        self.buffers: dict[int, FakeBuffer] = {}
        self.woken: set[int] = set()
        self.fail_kmalloc = -1

    def now_ns(self) -> int:
        """Return the time that the test set."""
        return self.time_ns

    def timer(self, deadline_ns: int, callback: Callable[[], None]) -> FakeTimer:
        """Keep a callback until ``advance`` gets there."""
        timer = FakeTimer(callback)
        self.sequence += 1
        heapq.heappush(self.timers, (deadline_ns, self.sequence, timer))
        return timer

    def _run_next(self) -> None:
        deadline_ns, _, timer = heapq.heappop(self.timers)
        callback, timer.callback = timer.callback, None
        if callback is not None:
            self.time_ns = max(self.time_ns, deadline_ns)
            callback()

    def advance(self, ns: int = 0) -> None:
        """Let time pass, and run the timers that end in it."""
        end_ns = self.time_ns + ns
        while self.timers and self.timers[0][0] <= end_ns:
            self._run_next()
        self.time_ns = max(self.time_ns, end_ns)

    def wait(self, queue: WaitQueue, deadline_ns: int | None = None) -> bool:
        """Run timers until the queue is woken or the deadline is there."""
        self.woken.discard(id(queue))
        while id(queue) not in self.woken:
            if not self.timers or (deadline_ns is not None and self.timers[0][0] > deadline_ns):
                if deadline_ns is None:
                    raise RuntimeError("a task sleeps for ever")
                self.time_ns = max(self.time_ns, deadline_ns)
                return False
            self._run_next()
        return True

    def wake(self, queue: WaitQueue) -> None:
        """End the wait on a queue."""
        self.woken.add(id(queue))

    def kmalloc(self, size_octets: int) -> FakeBuffer:
        """Return new memory, full of 0xA5."""
        if not self.fail_kmalloc:
            raise OSError(12, "fail_kmalloc")
        self.fail_kmalloc -= 1
        buffer = FakeBuffer(self.next_addr, size_octets)
        self.next_addr += -(-size_octets // 64) * 64 + 64
        self.buffers[buffer.addr] = buffer
        return buffer

    def kfree(self, buffer: FakeBuffer) -> None:
        """Take memory back, once, and spoil its content."""
        if buffer.freed:
            raise AssertionError(f"buffer at {buffer.addr:#x} is freed twice")
        buffer.freed = True
        buffer.view[:] = b"\x6b" * len(buffer.view)
        del self.buffers[buffer.addr]

    def random_u32(self) -> int:
        """Return a number that depends on the seed only."""
        return self.random.getrandbits(32)


class FakeNetDevice(NetDevice):
    """A device that keeps the octets of each frame in ``frames``, and what became of the skb's offload in ``csums``.

    While ``busy`` is true it refuses frames with ``NETDEV_TX_BUSY``. ``hold`` makes it keep the skbs, in ``held``, for
    the test to free.
    """

    def __init__(
        self,
        net: Net,
        name: str = "eth%d",
        features: int = NETIF_F_SG | NETIF_F_HW_CSUM,
        max_mtu: int = 9000,
        tx_queues: int = 1,
    ) -> None:
        ops = NetDeviceOps(ndo_start_xmit=fake_start_xmit)
        super().__init__(net, name, ops, Capabilities(features=features, max_mtu=max_mtu, tx_queues=tx_queues))
        ether_setup(self)
        self.flags |= IFF_BROADCAST | IFF_MULTICAST
        self.dev_addr = bytes.fromhex("020000000001")
        self.frames: list[bytes] = []
        self.offloads: list[tuple[int, int, int]] = []  # ip_summed, start in the frame, offset
        self.more: list[bool] = []
        self.queues: list[int] = []  # queue_mapping
        self.busy = False
        self.hold = False
        self.held: list[SkBuff] = []


def fake_start_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Take a frame as hardware would."""
    assert isinstance(dev, FakeNetDevice)
    if dev.busy:
        return NETDEV_TX_BUSY
    dev.frames.append(skb_copy_bits(skb, 0, skb.len))
    dev.offloads.append((skb.ip_summed, skb.csum_start - skb.data, skb.csum_offset))
    dev.queues.append(skb.queue_mapping)
    dev.more.append(dev.kernel.softnet.xmit_more)
    dev.stats.tx_packets += 1
    dev.stats.tx_bytes += skb.len
    if dev.hold:
        dev.held.append(skb)
    else:
        consume_skb(skb)
    return NETDEV_TX_OK


def make_kernel(seed: int = 1) -> tuple[Kernel, FakePlatform]:
    """Return a host on a fake platform."""
    platform = FakePlatform(seed)
    return Kernel(platform), platform

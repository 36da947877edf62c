"""The real kernel on the host's side of a network card: what it sends goes through driver and gateware."""

from collections import Counter

from ..stack.core.dev import dev_queue_xmit
from ..stack.core.dev_addr_lists import dev_set_promiscuity
from ..stack.core.dev_receive import RxHandlerResult, netdev_rx_handler_register
from ..stack.core.dev_register import dev_change_features
from ..stack.core.if_vlan import __vlan_hwaccel_push_inside as vlan_push_inside
from ..stack.core.netdevice import NETIF_F_GRO, NetDevice
from ..stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    CHECKSUM_UNNECESSARY,
    SkBuff,
    alloc_skb,
    consume_skb,
    skb_push,
    skb_put_data,
    skb_reserve,
)
from ..stack.core.skbuff_data import skb_runs
from ..stack.ethernet.eth import ETH_HLEN
from .tap import VNET_HDR, VNET_HDR_F_DATA_VALID, VNET_HDR_F_NEEDS_CSUM, Tap

__all__ = ["TapRelay"]

_BATCH = 32
_HEADROOM_OCTETS = 16
_VALID = VNET_HDR.pack(VNET_HDR_F_DATA_VALID, 0, 0, 0, 0, 0)
_UNKNOWN = VNET_HDR.pack(0, 0, 0, 0, 0, 0)


class TapRelay:
    """A TAP device joined to a network device of a simulated host, as macvtap joins one in passthru mode.

    What the kernel sends by the TAP goes to the device's queue, its driver and its card; what the card receives goes to
    the kernel, and no further up in the simulated host. A checksum that the kernel has left open is filled in by the
    card, and one that the card found right the kernel need not look at. While the device's queue is stopped, frames
    wait in the kernel's.

    A ``Port`` of :class:`.realtime.RealTime`.

    Parameters
    ----------
    dev : NetDevice
        The device; it becomes promiscuous.
    tap : Tap
        The kernel's, opened with ``vnet_hdr``.

    Members
    -------
    dropped : Counter[str]
        Frames from the kernel that did not get as far as the device's queue, by reason.
    """

    def __init__(self, dev: NetDevice, tap: Tap) -> None:
        self.dropped: Counter[str] = Counter()
        self._dev = dev
        self._txq = dev.tx[0]
        self._tap = tap
        dev_set_promiscuity(dev, 1)
        dev_change_features(dev, 0, NETIF_F_GRO)  # Each frame passes as it is.
        netdev_rx_handler_register(dev, self._handle_frame)

    @property
    def ready(self) -> bool:
        """Whether the device's queue takes frames."""
        return not self._txq.state and not self._txq.qdisc.qlen

    def fileno(self) -> int:
        """Return what is readable when the kernel has sent a frame."""
        return self._tap.fd

    def overrun(self) -> int:
        """Return how many more frames found the kernel's queue full since the last call."""
        return self._tap.overrun()

    def pump(self) -> bool:
        """Send some of the frames that the kernel has sent by the device; return whether there were any."""
        for number in range(_BATCH):
            frame = self._tap.read() if self.ready else None
            if frame is None:
                return number > 0
            self._xmit(frame)
        return True

    def _xmit(self, frame: bytes) -> None:
        flags, _, _, _, csum_start, csum_offset = VNET_HDR.unpack_from(frame)
        octets = memoryview(frame)[VNET_HDR.size :]
        try:
            skb = alloc_skb(self._dev.kernel, _HEADROOM_OCTETS + len(octets))
        except OSError:
            self.dropped["no memory for the frame"] += 1
            return
        skb_reserve(skb, _HEADROOM_OCTETS)
        at = skb_put_data(skb, octets)
        skb.dev = self._dev
        skb.mac_header = at
        skb.network_header = at + ETH_HLEN
        skb.protocol = int.from_bytes(octets[12:14], "big")
        if flags & VNET_HDR_F_NEEDS_CSUM:
            skb.ip_summed = CHECKSUM_PARTIAL
            skb.csum_start = skb.transport_header = at + csum_start
            skb.csum_offset = csum_offset
        dev_queue_xmit(skb)

    def _handle_frame(self, skb: SkBuff) -> tuple[RxHandlerResult, SkBuff]:
        """Hand a received frame to the kernel (the device's receive handler)."""
        skb_push(skb, ETH_HLEN)
        if skb.vlan_proto:
            tagged = vlan_push_inside(skb)
            if tagged is None:
                return RxHandlerResult.CONSUMED, skb
            skb = tagged
        header = _VALID if skb.ip_summed == CHECKSUM_UNNECESSARY else _UNKNOWN
        self._tap.write((header, *skb_runs(skb)))  # It counts what the kernel does not take.
        consume_skb(skb)
        return RxHandlerResult.CONSUMED, skb

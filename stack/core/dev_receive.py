"""Handing received packets to taps, upper devices and protocols (Linux: net/core/dev.c)."""

from collections.abc import Callable, Iterable
from enum import IntEnum
from errno import EBUSY

from ..vlan.vlan_core import vlan_do_receive
from .drop_reasons import SkbDropReason
from .if_vlan import (
    __vlan_hwaccel_clear_tag,
    eth_type_vlan,
    skb_vlan_tag_get_id,
    skb_vlan_untag,
)
from .netdevice import NET_RX_DROP, NET_RX_SUCCESS, NetDevice
from .packet_type import PacketType
from .skbuff import NO_HEADER, PACKET_OTHERHOST, SkBuff, kfree_skb_reason

__all__ = [
    "RxHandler",
    "RxHandlerResult",
    "__netif_receive_skb",
    "__netif_receive_skb_core",
    "__netif_receive_skb_one_core",
    "deliver_skb",
    "netdev_rx_handler_register",
    "netdev_rx_handler_unregister",
    "netif_receive_skb",
    "netif_receive_skb_list_internal",
]


class RxHandlerResult(IntEnum):
    """What the handler of a device (bridge, macvlan, bonding) did with a packet (Linux: ``rx_handler_result_t``)."""

    CONSUMED = 0
    ANOTHER = 1  # The skb has another device: once more from the start.
    EXACT = 2  # Only for handlers of exactly this device.
    PASS = 3


RxHandler = Callable[[SkBuff], tuple[RxHandlerResult, SkBuff]]


def netdev_rx_handler_register(dev: NetDevice, handler: RxHandler) -> None:
    """Have a device's packets go through a handler before the protocols.

    Raises
    ------
    OSError
        ``EBUSY`` if it has one.
    """
    if dev.rx_handler is not None:
        raise OSError(EBUSY, f"{dev.name} has a receive handler")
    dev.rx_handler = handler


def netdev_rx_handler_unregister(dev: NetDevice) -> None:
    """Take a device's handler away."""
    dev.rx_handler = None


def deliver_skb(skb: SkBuff, pt_prev: PacketType, orig_dev: NetDevice) -> int:
    """Give a handler a reference of its own; others follow it."""
    skb.users += 1
    assert skb.dev is not None
    return pt_prev.func(skb, skb.dev, pt_prev, orig_dev)


def __netif_receive_skb_core(skb: SkBuff) -> tuple[SkBuff, PacketType | None, int]:
    """Show a packet to the taps, hand it to upper devices, and find its protocol's handlers.

    Returns
    -------
    tuple[SkBuff, PacketType or None, int]
        The packet and the last handler, which the caller hands the skb itself; or None, when the packet is no longer
        the caller's; and ``NET_RX_*``.
    """
    dev = skb.dev
    assert dev is not None
    orig_dev = dev
    skb.network_header = skb.data
    if skb.transport_header == NO_HEADER:
        skb.transport_header = skb.data
    net = dev.net
    kernel = skb.kernel
    kernel.softnet.processed += 1
    if kernel.netstamp_needed and not skb.tstamp_ns:
        skb.tstamp_ns = kernel.now_ns()
    pt_prev: PacketType | None = None
    exact = False
    while True:
        skb.skb_iif = dev.ifindex
        protocol = skb.protocol
        if protocol == 0x8100 or protocol == 0x88A8:  # eth_type_vlan()
            untagged = skb_vlan_untag(skb)
            if untagged is None:
                return skb, None, NET_RX_DROP
            skb = untagged
        if net.ptype_all or dev.ptype_all:
            if not skb.tstamp_ns:
                skb.tstamp_ns = skb.kernel.now_ns()
            for ptype in (*net.ptype_all, *dev.ptype_all):
                if pt_prev is not None:
                    deliver_skb(skb, pt_prev, orig_dev)
                pt_prev = ptype
        if skb.vlan_proto:
            if pt_prev is not None:
                deliver_skb(skb, pt_prev, orig_dev)
                pt_prev = None
            taken = vlan_do_receive(skb)
            if taken > 0:
                assert skb.dev is not None
                dev = skb.dev
                continue
            if taken < 0:
                return skb, None, NET_RX_SUCCESS
        handler = dev.rx_handler
        if handler is not None:
            if pt_prev is not None:
                deliver_skb(skb, pt_prev, orig_dev)
                pt_prev = None
            result, skb = handler(skb)
            if result == RxHandlerResult.CONSUMED:
                return skb, None, NET_RX_SUCCESS
            if result == RxHandlerResult.ANOTHER:
                assert skb.dev is not None
                dev = skb.dev
                continue
            exact = result == RxHandlerResult.EXACT
        if skb.vlan_proto and _leftover_tag(skb):
            continue
        break
    protocol = skb.protocol
    if not exact:
        for ptype in net.ptype_base[protocol & 15]:
            if ptype.type == protocol:
                if pt_prev is not None:
                    deliver_skb(skb, pt_prev, orig_dev)
                pt_prev = ptype
    if orig_dev.ptype_specific or dev.ptype_specific:
        devices = (orig_dev,) if dev is orig_dev else (orig_dev, dev)
        for ptype in (ptype for device in devices for ptype in device.ptype_specific):
            if ptype.type == protocol:
                if pt_prev is not None:
                    deliver_skb(skb, pt_prev, orig_dev)
                pt_prev = ptype
    if pt_prev is None:
        if exact:
            dev.core_stats.rx_nohandler += 1
        else:
            dev.core_stats.rx_dropped += 1
        kfree_skb_reason(skb, SkbDropReason.UNHANDLED_PROTO)
        return skb, None, NET_RX_DROP
    return skb, pt_prev, NET_RX_SUCCESS


def _leftover_tag(skb: SkBuff) -> bool:
    """Treat a tag that no VLAN device took; return whether to look at the packet again, for its inner tag.

    Number 0 is a priority tag (IEEE Std 802.1Q §6.9.3): the packet is for the device itself.
    """
    if skb_vlan_tag_get_id(skb):
        # Somebody else's VLAN, on a device that takes all frames.
        skb.pkt_type = PACKET_OTHERHOST
    elif eth_type_vlan(skb.protocol):
        __vlan_hwaccel_clear_tag(skb)
        return True
    __vlan_hwaccel_clear_tag(skb)
    return False


def __netif_receive_skb_one_core(skb: SkBuff) -> int:
    """Receive one packet; return ``NET_RX_*`` or what its handler returned."""
    orig_dev = skb.dev
    assert orig_dev is not None
    skb, pt_prev, ret = __netif_receive_skb_core(skb)
    if pt_prev is not None:
        assert skb.dev is not None
        ret = pt_prev.func(skb, skb.dev, pt_prev, orig_dev)
    return ret


def __netif_receive_skb(skb: SkBuff) -> int:
    """Receive one packet, within a softirq."""
    return __netif_receive_skb_one_core(skb)


def netif_receive_skb(skb: SkBuff) -> int:
    """Receive one packet; a device on top of others, and a driver without NAPI lists, calls it in a softirq."""
    return __netif_receive_skb(skb)


def netif_receive_skb_list_internal(skbs: Iterable[SkBuff]) -> None:
    """Receive several packets."""
    __netif_receive_skb_list_core(skbs)


def __netif_receive_skb_list_core(skbs: Iterable[SkBuff]) -> None:
    """Receive several packets: those in a row with the same handler and device go to it together."""
    pt_curr: PacketType | None = None
    od_curr: NetDevice | None = None
    sublist: list[SkBuff] = []
    for packet in skbs:
        orig_dev = packet.dev
        assert orig_dev is not None
        skb, pt_prev, _ = __netif_receive_skb_core(packet)
        if pt_prev is None:
            continue
        if pt_prev is not pt_curr or orig_dev is not od_curr:
            if sublist:
                assert pt_curr is not None
                assert od_curr is not None
                __netif_receive_skb_list_ptype(sublist, pt_curr, od_curr)
                sublist = []
            pt_curr = pt_prev
            od_curr = orig_dev
        sublist.append(skb)
    if sublist:
        assert pt_curr is not None
        assert od_curr is not None
        __netif_receive_skb_list_ptype(sublist, pt_curr, od_curr)


def __netif_receive_skb_list_ptype(skbs: list[SkBuff], pt_prev: PacketType, orig_dev: NetDevice) -> None:
    """Hand packets to one handler."""
    if pt_prev.list_func is not None:
        pt_prev.list_func(skbs, pt_prev, orig_dev)
        return
    for skb in skbs:
        assert skb.dev is not None
        pt_prev.func(skb, skb.dev, pt_prev, orig_dev)

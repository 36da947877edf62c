"""Receiving for the devices above a lower one, and handing frames to groups out (Linux: drivers/net/macvlan.c)."""

from ..core.dev_forward import __dev_forward_skb
from ..core.dev_napi import __netif_rx, netif_rx
from ..core.dev_receive import RxHandlerResult
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import IFF_UP, NET_RX_SUCCESS, NetDevice
from ..core.skbuff import (
    PACKET_BROADCAST,
    PACKET_HOST,
    PACKET_LOOPBACK,
    PACKET_MULTICAST,
    SkBuff,
    consume_skb,
    kfree_skb_reason,
)
from ..core.skbuff_data import skb_clone, skb_share_check
from ..core.workqueue import schedule_work
from ..ethernet.eth import ETH_HLEN
from ..ipv4.ip_fragment import IP_DEFRAG_MACVLAN, ip_check_defrag
from .macvlan_port import (
    MACVLAN_FLAG_NODST,
    MACVLAN_MODE_BRIDGE,
    MACVLAN_MODE_PASSTHRU,
    MACVLAN_MODE_PRIVATE,
    MACVLAN_MODE_SOURCE,
    MACVLAN_MODE_VEPA,
    MacvlanDevice,
    MacvlanPort,
    macvlan_hash_lookup,
    macvlan_port_get,
)

__all__ = ["macvlan_broadcast", "macvlan_handle_frame", "macvlan_process_broadcast"]

_ETH_P_PAUSE = 0x8808


def macvlan_count_rx(vlan: MacvlanDevice, length: int, success: bool, multicast: bool) -> None:
    """Count a frame for a device."""
    stats = vlan.stats
    if success:
        stats.rx_packets += 1
        stats.rx_bytes += length
        stats.multicast += multicast
    else:
        stats.rx_errors += 1
        stats.rx_dropped += 1


def macvlan_handle_frame(skb: SkBuff) -> tuple[RxHandlerResult, SkBuff]:
    """Find out whose a frame is that a lower device received (its receive handler)."""
    if skb.pkt_type == PACKET_LOOPBACK:  # No link header.
        return RxHandlerResult.PASS, skb
    lower = skb.dev
    assert lower is not None
    port = macvlan_port_get(lower)
    assert port is not None
    at = skb.mac_header
    dest = bytes(skb.view[at : at + 6])
    if dest[0] & 1:
        return _handle_group(skb, port)
    if macvlan_forward_source(skb, port, bytes(skb.view[at + 6 : at + 12])):
        consume_skb(skb)
        return RxHandlerResult.CONSUMED, skb
    vlan = (port.vlans[0] if port.vlans else None) if port.passthru else macvlan_hash_lookup(port, dest)
    if vlan is None or vlan.mode == MACVLAN_MODE_SOURCE:
        return RxHandlerResult.PASS, skb
    if not vlan.flags & IFF_UP:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return RxHandlerResult.CONSUMED, skb
    length = skb.len + ETH_HLEN
    skb = skb_share_check(skb)
    skb.dev = vlan
    skb.pkt_type = PACKET_HOST
    macvlan_count_rx(vlan, length, True, False)
    return RxHandlerResult.ANOTHER, skb


def _handle_group(skb: SkBuff, port: MacvlanPort) -> tuple[RxHandlerResult, SkBuff]:
    """Have a frame to a group handed out later; the lower device receives it, too."""
    whole = ip_check_defrag(port.dev.net, skb, IP_DEFRAG_MACVLAN)
    if whole is None:
        return RxHandlerResult.CONSUMED, skb
    skb = whole
    at = skb.mac_header
    dest, source = bytes(skb.view[at : at + 6]), bytes(skb.view[at + 6 : at + 12])
    if macvlan_forward_source(skb, port, source):
        consume_skb(skb)
        return RxHandlerResult.CONSUMED, skb
    src = macvlan_hash_lookup(port, source)
    if src is not None and not src.mode & (MACVLAN_MODE_VEPA | MACVLAN_MODE_BRIDGE):
        # What one of ours sent comes back, and the others must not see it.
        skb = skb_share_check(skb)
        verdict = macvlan_broadcast_one(skb, src, dest, False) or __netif_rx(skb)
        macvlan_count_rx(src, 0, verdict == NET_RX_SUCCESS, False)
        return RxHandlerResult.CONSUMED, skb
    if port.mc_filter is None or dest in port.mc_filter:
        macvlan_broadcast_enqueue(port, src, skb)
    return RxHandlerResult.PASS, skb


def macvlan_forward_source(skb: SkBuff, port: MacvlanPort, addr: bytes) -> bool:
    """Give copies to the devices in source mode that want this sender; return whether nobody else shall get it."""
    consume = False
    for vlan in port.vlans:
        if addr in vlan.sources:
            consume = consume or vlan.mac_flags & MACVLAN_FLAG_NODST != 0
            macvlan_forward_source_one(skb, vlan)
    return consume


def macvlan_forward_source_one(skb: SkBuff, vlan: MacvlanDevice) -> None:
    """Give a device in source mode its copy."""
    if not vlan.flags & IFF_UP:
        return
    clone = skb_clone(skb)
    clone.dev = vlan
    at = skb.mac_header
    if bytes(skb.view[at : at + 6]) == vlan.dev_addr:
        clone.pkt_type = PACKET_HOST
    length = clone.len + ETH_HLEN
    macvlan_count_rx(vlan, length, __netif_rx(clone) == NET_RX_SUCCESS, False)


def macvlan_broadcast_enqueue(port: MacvlanPort, src: MacvlanDevice | None, skb: SkBuff) -> None:
    """Have a copy handed out by a worker: many devices are much work."""
    if len(port.bc_queue) >= port.bc_queue_len_used:
        port.dev.core_stats.rx_dropped += 1
        return
    port.bc_queue.append((skb_clone(skb), src))
    schedule_work(port.bc_work)


def macvlan_process_broadcast(port: MacvlanPort) -> None:
    """Hand out what came from outside: not to those that saw it when it was sent."""
    queue, port.bc_queue = port.bc_queue, type(port.bc_queue)()
    for skb, src in queue:
        if src is None:
            every = MACVLAN_MODE_PRIVATE | MACVLAN_MODE_VEPA | MACVLAN_MODE_PASSTHRU | MACVLAN_MODE_BRIDGE
            macvlan_broadcast(skb, port, None, every)
        elif src.mode == MACVLAN_MODE_VEPA:
            macvlan_broadcast(skb, port, src, MACVLAN_MODE_VEPA | MACVLAN_MODE_BRIDGE)
        else:
            macvlan_broadcast(skb, port, src, MACVLAN_MODE_VEPA)
        consume_skb(skb)


def macvlan_broadcast(skb: SkBuff, port: MacvlanPort, src: NetDevice | None, mode: int) -> None:
    """Give copies to the devices of some modes that receive the group, but not to its sender."""
    if skb.protocol == _ETH_P_PAUSE:
        return
    at = skb.mac_header
    dest = bytes(skb.view[at : at + 6])
    for vlan in list(port.vlan_hash.values()):
        if vlan is src or not vlan.mode & mode or (vlan.mc_filter is not None and dest not in vlan.mc_filter):
            continue
        clone = skb_clone(skb)
        verdict = macvlan_broadcast_one(clone, vlan, dest, mode == MACVLAN_MODE_BRIDGE) or netif_rx(clone)
        macvlan_count_rx(vlan, skb.len + ETH_HLEN, verdict == NET_RX_SUCCESS, True)


def macvlan_broadcast_one(skb: SkBuff, vlan: MacvlanDevice, dest: bytes, local: bool) -> int:
    """Make a copy a device's own: of a frame that this host sends (``local``), or that it received."""
    if local:
        return __dev_forward_skb(vlan, skb)
    skb.dev = vlan
    skb.pkt_type = PACKET_BROADCAST if dest == vlan.broadcast else PACKET_MULTICAST
    return NET_RX_SUCCESS

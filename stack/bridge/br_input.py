"""Frames that come in by a bridge's ports (Linux: net/bridge/br_input.c).

IGMP is not listened to: Linux does (``mcast_snooping``), but as long as nobody on the link asks who is in a group it
floods as we do. Neither are there VLAN filtering, proxy ARP, and netfilter's bridge hooks.
"""

from ..core.dev_receive import RxHandlerResult, netif_receive_skb
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import IFF_PROMISC
from ..core.skbuff import PACKET_HOST, PACKET_LOOPBACK, SkBuff, kfree_skb_reason
from ..core.skbuff_data import skb_share_check
from ..core.timer import jiffies
from .br_fdb import br_fdb_find_rcu, br_fdb_update
from .br_forward import br_flood, br_forward
from .br_private import (
    BR_ISOLATED,
    BR_LEARNING,
    BR_NO_STP,
    BR_PORT_LOCKED,
    BR_STATE_DISABLED,
    BR_STATE_FORWARDING,
    BR_STATE_LEARNING,
    BrInputSkbCb,
    NetBridge,
    NetBridgePort,
    br_port_get_rcu,
    is_link_local_ether_addr,
)

__all__ = ["br_handle_frame", "br_handle_frame_finish", "br_pass_frame_up"]

_GROUP, _PAUSE = 0x00, 0x01  # Last octets of addresses that bridges keep to themselves.


def br_netif_receive_skb(skb: SkBuff) -> int:
    """Receive a frame as the bridge's own."""
    return netif_receive_skb(skb)


def br_pass_frame_up(br: NetBridge, skb: SkBuff) -> int:
    """Hand a frame to this host, as one that the bridge's device has received."""
    stats = br.dev.stats
    stats.rx_packets += 1
    stats.rx_bytes += skb.len
    skb.dev = br.dev
    skb.cb = None
    return br_netif_receive_skb(skb)


def _dest(skb: SkBuff) -> bytes:
    at = skb.mac_header
    return bytes(skb.view[at : at + 6])


def _source(skb: SkBuff) -> bytes:
    at = skb.mac_header + 6
    return bytes(skb.view[at : at + 6])


def br_handle_frame_finish(skb: SkBuff) -> int:
    """Learn where the sender of a frame is, then send the frame on, hand it up, or both."""
    assert skb.dev is not None
    p = br_port_get_rcu(skb.dev)
    if p is None or p.state == BR_STATE_DISABLED:
        return _drop(skb)
    br = p.br
    if p.flags & BR_PORT_LOCKED:
        known = br_fdb_find_rcu(br, _source(skb), 0)
        if known is None or known.dst is not p or known.is_local:
            return _drop(skb)
    if p.flags & BR_LEARNING:
        br_fdb_update(br, p, _source(skb), 0)
    if p.state == BR_STATE_LEARNING:
        return _drop(skb)
    skb.cb = BrInputSkbCb(p.flags & BR_ISOLATED != 0)
    dest = _dest(skb)
    local_rcv = br.dev.flags & IFF_PROMISC != 0
    if dest[0] & 1:
        local_rcv = True
        if dest != b"\xff" * 6:
            br.dev.stats.multicast += 1
        dst = None
    else:
        dst = br_fdb_find_rcu(br, dest, 0)
    if dst is None:
        br_flood(br, skb, dest, local_rcv=local_rcv)
    elif dst.is_local:
        return br_pass_frame_up(br, skb)
    else:
        dst.used = jiffies(skb.kernel)
        br_forward(dst.dst, skb, local_rcv=local_rcv)
    return br_pass_frame_up(br, skb) if local_rcv else 0


def __br_handle_local_finish(p: NetBridgePort, skb: SkBuff) -> None:
    """Learn from a frame to a bridges' own address."""
    if p.flags & BR_LEARNING and p.state in (BR_STATE_LEARNING, BR_STATE_FORWARDING):
        br_fdb_update(p.br, p, _source(skb), 0)


def _drop(skb: SkBuff) -> int:
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return 0


def _stays_here(p: NetBridgePort, last: int) -> bool:
    """Return whether a frame to 01:80:C2:00:00:0X ends at this bridge (IEEE Std 802.1D-1998 §7.12.6)."""
    if last == _GROUP:
        # Without the protocol a bridge must be as a cable, so that others can find the loop.
        return p.br.stp_enabled != BR_NO_STP and not p.group_fwd_mask & 1
    return not (p.group_fwd_mask | p.br.group_fwd_mask) & 1 << last


def br_handle_frame(skb: SkBuff) -> tuple[RxHandlerResult, SkBuff]:
    """Take a frame that a port received; those of the bridges' own protocols go to the port's protocols."""
    if skb.pkt_type == PACKET_LOOPBACK:
        return RxHandlerResult.PASS, skb
    source = _source(skb)
    if source[0] & 1 or source == bytes(6):
        _drop(skb)
        return RxHandlerResult.CONSUMED, skb
    skb = skb_share_check(skb)
    assert skb.dev is not None
    p = br_port_get_rcu(skb.dev)
    assert p is not None
    dest = _dest(skb)
    if is_link_local_ether_addr(dest):
        if dest[5] == _PAUSE:
            _drop(skb)
            return RxHandlerResult.CONSUMED, skb
        if _stays_here(p, dest[5]):
            __br_handle_local_finish(p, skb)
            return RxHandlerResult.PASS, skb
    if p.state not in (BR_STATE_FORWARDING, BR_STATE_LEARNING):
        _drop(skb)
        return RxHandlerResult.CONSUMED, skb
    if dest == p.br.dev.dev_addr:
        skb.pkt_type = PACKET_HOST
    br_handle_frame_finish(skb)
    return RxHandlerResult.CONSUMED, skb

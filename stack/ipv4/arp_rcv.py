"""The Address Resolution Protocol, receiving (Linux: net/ipv4/arp.c; RFC 826, RFC 1122 §2.3.2.1, RFC 5227)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.neighbour import NUD_REACHABLE, NUD_STALE, Neighbour
from ..core.neighbour_proxy import NeighCb, pneigh_enqueue, pneigh_lookup
from ..core.neighbour_table import __neigh_create, neigh_lookup
from ..core.neighbour_update import NEIGH_UPDATE_F_OVERRIDE, neigh_update
from ..core.netdevice import IFF_NOARP, NET_RX_DROP, NET_RX_SUCCESS
from ..core.skbuff import (
    PACKET_HOST,
    PACKET_LOOPBACK,
    PACKET_OTHERHOST,
    SkBuff,
    consume_skb,
    kfree_skb_reason,
)
from ..core.skbuff_data import pskb_may_pull, skb_share_check
from ..core.timer import jiffies
from ..ethernet.eth import ETH_P_ARP
from .arp import ARPOP_REPLY, ARPOP_REQUEST, arp_send_dst
from .devinet import confirm_addr_indev
from .fib_frontend import inet_addr_type_dev_table
from .flow import Flowi4
from .route import ip_route_output_flow
from .route_input import ip_route_input_noref
from .rtnetlink import RtScope, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.packet_type import PacketType
    from .devinet import InDevice
    from .route import RTable

__all__ = ["arp_accept", "arp_filter", "arp_ignore", "arp_process", "arp_rcv", "neigh_event_ns", "parp_redo"]

_PACKET = Struct("!HHBBH6sI6sI")
_LOCAL = int(RtType.LOCAL)
_UNICAST = int(RtType.UNICAST)


def arp_rcv(skb: SkBuff, dev: "NetDevice", pt: "PacketType", orig_dev: "NetDevice") -> int:
    """Receive an ARP packet; return ``NET_RX_*``."""
    if dev.flags & IFF_NOARP or skb.pkt_type in (PACKET_OTHERHOST, PACKET_LOOPBACK):
        consume_skb(skb)
        return NET_RX_DROP
    skb = skb_share_check(skb)
    skb.cb = None
    if not pskb_may_pull(skb, _PACKET.size):
        kfree_skb_reason(skb, SkbDropReason.ARP_PKT_TOO_SMALL)
        return NET_RX_DROP
    # RFC 1042 §3: hardware 6 is IEEE 802, which shares addresses with Ethernet.
    hrd, _, hln, pln, *_ = _PACKET.unpack_from(skb.view, skb.data)
    if hrd not in (1, 6) or hln != dev.addr_len or pln != 4:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NET_RX_DROP
    return arp_process(dev.net, skb)


def arp_process(net: "Net", skb: SkBuff) -> int:
    """Answer a request for an address of this host or of one that it speaks for, and learn from what is said.

    A request to us makes an entry for its sender, or updates it; other packets update an entry only if there is one, as
    anybody may send them (RFC 826, "Packet Reception"). With ``arp_accept`` gratuitous ones make an entry, too.
    """
    dev = skb.dev
    assert dev is not None
    in_dev: InDevice | None = dev.ip_ptr
    _, pro, _, _, operation, sha, sip, tha, tip = _PACKET.unpack_from(skb.view, skb.data)
    if (
        in_dev is None
        or pro != 0x0800
        or operation not in (ARPOP_REQUEST, ARPOP_REPLY)
        or tip >> 28 == 0xE
        or (tip >> 24 == 127 and not (in_dev.cnf.route_localnet or net.ipv4.devconf_all.route_localnet))
    ):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NET_RX_DROP
    if sip == tip and (in_dev.cnf.drop_gratuitous_arp or net.ipv4.devconf_all.drop_gratuitous_arp):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NET_RX_DROP
    neigh: Neighbour | None
    if not sip:
        # RFC 5227 §2.1.1: a probe, whose sender has no address yet: told if that is ours, but not learned.
        if (
            operation == ARPOP_REQUEST
            and inet_addr_type_dev_table(net, dev, tip) == _LOCAL
            and not arp_ignore(in_dev, sip, tip)
        ):
            arp_send_dst(ARPOP_REPLY, ETH_P_ARP, sip, dev, tip, sha, dev.dev_addr, sha, None)
        consume_skb(skb)
        return NET_RX_SUCCESS
    if operation == ARPOP_REQUEST and ip_route_input_noref(skb, tip, sip, 0, dev) is None:
        rt: RTable = skb.dst  # type: ignore[assignment]  # What was just found.
        if rt.type == _LOCAL:
            dont_send = arp_ignore(in_dev, sip, tip) or (
                bool(in_dev.cnf.arp_filter or net.ipv4.devconf_all.arp_filter) and arp_filter(sip, tip, dev)
            )
            if not dont_send:
                neigh = neigh_event_ns(net, sha, sip, dev)
                if neigh is not None:
                    arp_send_dst(ARPOP_REPLY, ETH_P_ARP, sip, dev, tip, sha, dev.dev_addr, sha, None)
            consume_skb(skb)
            return NET_RX_SUCCESS
        if in_dev.cnf.forwarding and rt.type == _UNICAST and _speaks_for(net, in_dev, rt, sip, tip):
            _answer_for_another(net, skb, in_dev, sha, sip, tip)
            return NET_RX_SUCCESS
    _learn(net, skb, in_dev, operation, sha, sip, tha, tip)
    consume_skb(skb)
    return NET_RX_SUCCESS


def _speaks_for(net: "Net", in_dev: "InDevice", rt: "RTable", sip: int, tip: int) -> bool:
    """Return whether to answer for a host behind this router (RFC 1027)."""
    if rt.dev is in_dev.dev:
        return bool(in_dev.cnf.proxy_arp_pvlan) and sip != tip  # RFC 3069: neighbours that cannot hear each other.
    if in_dev.cnf.proxy_arp or net.ipv4.devconf_all.proxy_arp:
        return True
    return pneigh_lookup(net.ipv4.arp_tbl, tip, in_dev.dev)


def _answer_for_another(net: "Net", skb: SkBuff, in_dev: "InDevice", sha: bytes, sip: int, tip: int) -> None:
    """Answer a request in the name of another host: at once to one who knows us, else after a while."""
    dev = in_dev.dev
    neigh_event_ns(net, sha, sip, dev)
    parms = dev.arp_parms
    if isinstance(skb.cb, NeighCb) or skb.pkt_type == PACKET_HOST or not parms.proxy_delay:
        arp_send_dst(ARPOP_REPLY, ETH_P_ARP, sip, dev, tip, sha, dev.dev_addr, sha, None)
        consume_skb(skb)
    else:
        pneigh_enqueue(net.ipv4.arp_tbl, parms, skb)


def parp_redo(skb: SkBuff) -> None:
    """Process a request that has waited."""
    assert skb.dev is not None
    arp_process(skb.dev.net, skb)


def _learn(
    net: "Net", skb: SkBuff, in_dev: "InDevice", operation: int, sha: bytes, sip: int, tha: bytes, tip: int
) -> None:
    """Update the sender's entry, if there is one, or if gratuitous packets may make one."""
    dev = in_dev.dev
    tbl = net.ipv4.arp_tbl
    neigh = neigh_lookup(tbl, sip, dev)
    is_garp = False
    if neigh is not None or arp_accept(in_dev, sip):
        is_garp = _is_garp(net, dev, operation, sha, sip, tha, tip)
    if arp_accept(in_dev, sip):
        if neigh is None and (
            is_garp or (operation == ARPOP_REPLY and inet_addr_type_dev_table(net, dev, sip) == RtType.UNICAST)
        ):
            try:
                neigh = __neigh_create(tbl, sip, dev)
            except OSError:
                return
    if neigh is None:
        return
    # The first of several answers counts, since it is likely to be the true one, until it is a while ago.
    override = jiffies(neigh.kernel) > neigh.updated + neigh.parms.locktime or is_garp
    # Only an answer to us alone tells that he hears us, too.
    state = NUD_REACHABLE if operation == ARPOP_REPLY and skb.pkt_type == PACKET_HOST else NUD_STALE
    neigh_update(neigh, sha, state, NEIGH_UPDATE_F_OVERRIDE if override else 0)


def _is_garp(net: "Net", dev: "NetDevice", operation: int, sha: bytes, sip: int, tha: bytes, tip: int) -> bool:
    """Return whether somebody announces his own address (RFC 5944 §4.6: as a request, or as a reply to himself)."""
    return (
        tip == sip
        and (operation != ARPOP_REPLY or tha == sha)
        and inet_addr_type_dev_table(net, dev, sip) == RtType.UNICAST
    )


def neigh_event_ns(net: "Net", lladdr: bytes, saddr: int, dev: "NetDevice") -> Neighbour | None:
    """Note that somebody asked for us: his entry is made if needed, and is stale; return it."""
    tbl = net.ipv4.arp_tbl
    neigh = neigh_lookup(tbl, saddr, dev)
    if neigh is None:
        try:
            neigh = __neigh_create(tbl, saddr, dev)
        except OSError:
            return None
    neigh_update(neigh, lladdr, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE)
    return neigh


def arp_accept(in_dev: "InDevice", sip: int) -> bool:
    """Return whether a gratuitous packet may make an entry: with 1 any, with 2 one from an address on the link."""
    mode = max(in_dev.cnf.arp_accept, in_dev.dev.net.ipv4.devconf_all.arp_accept)
    return mode == 1 or (mode == 2 and confirm_addr_indev(in_dev, sip, 0, RtScope.LINK) != 0)


def arp_ignore(in_dev: "InDevice", sip: int, tip: int) -> bool:
    """Return whether not to answer a request for an address of this host.

    ``arp_ignore`` 0: any is answered; 1: one of the device that it came by; 2: and in one network with the sender;
    3: not one that is good on this host only; 8: none.
    """
    net = in_dev.dev.net
    mode = max(in_dev.cnf.arp_ignore, net.ipv4.devconf_all.arp_ignore)
    if mode == 0:
        return False
    if mode == 1:
        return not confirm_addr_indev(in_dev, 0, tip, RtScope.HOST)
    if mode == 2:
        return not confirm_addr_indev(in_dev, sip, tip, RtScope.HOST)
    if mode == 3:
        # RFC 5227 asks the same of link-local addresses; whichever device has it.
        devices = [dev.ip_ptr for dev in net.devices.values() if dev.ip_ptr is not None]
        return not any(confirm_addr_indev(other, 0, tip, RtScope.LINK) for other in devices)
    return mode == 8


def arp_filter(sip: int, tip: int, dev: "NetDevice") -> bool:
    """Return whether not to answer, since packets back to the sender would leave by another device."""
    try:
        rt = ip_route_output_flow(dev.net, Flowi4(sip, tip))
    except OSError:
        return True
    if rt.dev is not dev:
        dev.net.mib["TcpExt:ArpFilter"] += 1
        return True
    return False

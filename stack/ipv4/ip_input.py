"""Receiving IPv4 packets (Linux: net/ipv4/ip_input.c; RFC 791, RFC 1122 §3.2)."""

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_input
from ..core.netdevice import NET_RX_DROP, NET_RX_SUCCESS
from ..core.skbuff import (
    PACKET_BROADCAST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    SkBuff,
    consume_skb,
    kfree_skb_reason,
    skb_orphan,
)
from ..core.skbuff_csum import pskb_trim_rcsum
from ..core.skbuff_data import pskb_may_pull, skb_share_check
from ..netfilter.core import NF_HOOK, NF_INET_LOCAL_IN, NF_INET_PRE_ROUTING, NfHookState, nf_hook_slow
from ..uapi import IPPROTO_TCP, IPPROTO_UDP
from ..xfrm.xfrm import XFRM_POLICY_IN
from ..xfrm.xfrm_policy import xfrm4_policy_check
from .icmp import icmp_send
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_PROT_UNREACH
from .ip_fragment import IP_DEFRAG_LOCAL_DELIVER, ip_defrag
from .ip_options_rcv import ip_rcv_options
from .raw import raw_local_deliver
from .route_input import ip_route_input_noref
from .rtnetlink import RtType
from .tcp_ipv4_rcv import tcp_v4_early_demux
from .udp_receive import udp_v4_early_demux

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.packet_type import PacketType
    from ..core.sock import Sock
    from .route import RTable

__all__ = [
    "ip_list_rcv",
    "ip_local_deliver",
    "ip_local_deliver_finish",
    "ip_protocol_deliver_rcu",
    "ip_rcv",
    "ip_rcv_core",
    "ip_rcv_finish",
    "ip_rcv_finish_core",
]

_HEADER = Struct("!BBHHHBBHII")
_MULTICAST = int(RtType.MULTICAST)
_BROADCAST = int(RtType.BROADCAST)
_ECN = ("IpExt:InNoECTPkts", "IpExt:InECT1Pkts", "IpExt:InECT0Pkts", "IpExt:InCEPkts")


def ip_rcv(skb: SkBuff, dev: "NetDevice", pt: "PacketType", orig_dev: "NetDevice") -> int:
    """Receive an IPv4 packet: check its header, and ask the PRE_ROUTING hook."""
    net = dev.net
    checked = ip_rcv_core(skb, net)
    if checked is None:
        return NET_RX_DROP
    return NF_HOOK(NF_INET_PRE_ROUTING, net, None, checked, dev, None, ip_rcv_finish)


def ip_rcv_core(skb: SkBuff, net: "Net") -> SkBuff | None:
    """Check the header of a received packet and cut off what lies behind the packet.

    Returns
    -------
    SkBuff or None
        The packet, not shared and without a socket; None if it was dropped.
    """
    if skb.pkt_type == PACKET_OTHERHOST:
        assert skb.dev is not None
        skb.dev.core_stats.rx_otherhost_dropped += 1
        kfree_skb_reason(skb, SkbDropReason.OTHERHOST)
        return None
    mib = net.mib
    mib["Ip:InReceives"] += 1
    mib["IpExt:InOctets"] += skb.len
    if skb.users != 1:
        skb = skb_share_check(skb)
    if skb.tail - skb.data < 20 and not pskb_may_pull(skb, 20):
        _header_error(net, skb, SkbDropReason.IP_INHDR)
        return None
    at = skb.network_header = skb.data
    view = skb.view
    first = view[at]
    if not 0x45 <= first <= 0x4F:
        _header_error(net, skb, SkbDropReason.IP_INHDR)
        return None
    mib[_ECN[view[at + 1] & 3]] += skb.gso_segs if skb.gso_size else 1
    ihl = (first & 15) << 2
    if ihl != 20 and skb.tail - at < ihl:
        if not pskb_may_pull(skb, ihl):
            _header_error(net, skb, SkbDropReason.IP_INHDR)
            return None
        at = skb.data
        view = skb.view
    # The sum of all words, the checksum included, is a multiple of 0xFFFF if that is right: ip_fast_csum().
    if int.from_bytes(view[at : at + ihl], "big") % 0xFFFF:
        mib["IpExt:InCsumErrors"] += 1
        _header_error(net, skb, SkbDropReason.IP_CSUM)
        return None
    length = view[at + 2] << 8 | view[at + 3]
    if skb.len != length:
        if skb.len < length:
            mib["IpExt:InTruncatedPkts"] += 1
            kfree_skb_reason(skb, SkbDropReason.PKT_TOO_SMALL)
            return None
        if length < ihl:
            _header_error(net, skb, SkbDropReason.IP_INHDR)
            return None
        try:
            pskb_trim_rcsum(skb, length)
        except OSError:
            mib["Ip:InDiscards"] += 1
            kfree_skb_reason(skb, SkbDropReason.NOMEM)
            return None
        at = skb.data
    elif length < ihl:
        _header_error(net, skb, SkbDropReason.IP_INHDR)
        return None
    skb.network_header = at
    skb.transport_header = at + ihl
    skb.cb = None
    if skb.destructor is not None or skb.sk is not None:
        skb_orphan(skb)
    return skb


def _header_error(net: "Net", skb: SkBuff, reason: SkbDropReason) -> None:
    net.mib["Ip:InHdrErrors"] += 1
    kfree_skb_reason(skb, reason)


def ip_rcv_finish(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Go on behind the PRE_ROUTING hook: find out whom the packet is for."""
    assert skb.dev is not None
    ret = ip_rcv_finish_core(net, sk, skb, skb.dev)
    return ret if ret != NET_RX_SUCCESS else dst_input(skb)


def ip_rcv_finish_core(net: "Net", sk: "Sock | None", skb: SkBuff, dev: "NetDevice") -> int:
    """Give a packet its route, and look at its options; return ``NET_RX_DROP`` if it was dropped."""
    view = skb.view
    at = skb.network_header
    first, tos, _, _, frag_off, _, protocol, _, saddr, daddr = _HEADER.unpack_from(view, at)
    if skb.dst is None:
        if net.ipv4.sysctl_ip_early_demux and not frag_off & 0x3FFF:
            if protocol == IPPROTO_UDP:
                udp_v4_early_demux(skb)
            elif protocol == IPPROTO_TCP:
                tcp_v4_early_demux(skb)
        if skb.dst is None:
            reason = ip_route_input_noref(skb, daddr, saddr, tos, dev)
            if reason is not None:
                if reason == SkbDropReason.IP_RPFILTER:
                    net.mib["TcpExt:IPReversePathFilter"] += 1
                kfree_skb_reason(skb, reason)
                return NET_RX_DROP
    if first != 0x45 and not ip_rcv_options(skb, dev):
        return NET_RX_DROP
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    kind = rt.type
    if kind == _MULTICAST:
        net.mib["IpExt:InMcastPkts"] += 1
        net.mib["IpExt:InMcastOctets"] += skb.len
    elif kind == _BROADCAST:
        net.mib["IpExt:InBcastPkts"] += 1
        net.mib["IpExt:InBcastOctets"] += skb.len
    elif skb.pkt_type == PACKET_BROADCAST or skb.pkt_type == PACKET_MULTICAST:
        # RFC 1122 §3.3.6 forbids it, but some hosts in clusters share an address that way.
        in_dev = dev.ip_ptr
        if in_dev is not None and (
            in_dev.cnf.drop_unicast_in_l2_multicast or net.ipv4.devconf_all.drop_unicast_in_l2_multicast
        ):
            kfree_skb_reason(skb, SkbDropReason.UNICAST_IN_L2_MULTICAST)
            return NET_RX_DROP
    return NET_RX_SUCCESS


def ip_list_rcv(skbs: Sequence[SkBuff], pt: "PacketType", orig_dev: "NetDevice") -> None:
    """Receive several packets: those in a row of the same device go on together."""
    sublist: list[SkBuff] = []
    current: NetDevice | None = None
    for packet in skbs:
        dev = packet.dev
        assert dev is not None
        skb = ip_rcv_core(packet, dev.net)
        if skb is None:
            continue
        if dev is not current:
            if sublist:
                assert current is not None
                ip_sublist_rcv(sublist, current, current.net)
                sublist = []
            current = dev
        sublist.append(skb)
    if sublist:
        assert current is not None
        ip_sublist_rcv(sublist, current, current.net)


def ip_sublist_rcv(skbs: list[SkBuff], dev: "NetDevice", net: "Net") -> None:
    """Ask the PRE_ROUTING hook about several packets of a device, and find out whom they are for."""
    hooks = net.nf.hooks_ipv4[NF_INET_PRE_ROUTING]
    if hooks:
        state = NfHookState(NF_INET_PRE_ROUTING, dev, None, None, net, ip_rcv_finish)
        skbs = [skb for skb in skbs if nf_hook_slow(skb, state, hooks) == 1]
    sublist: list[SkBuff] = []
    for skb in skbs:
        if ip_rcv_finish_core(net, None, skb, dev) == NET_RX_DROP:
            continue
        if sublist and sublist[-1].dst is not skb.dst:
            ip_sublist_rcv_finish(sublist)
            sublist = []
        sublist.append(skb)
    if sublist:
        ip_sublist_rcv_finish(sublist)


def ip_sublist_rcv_finish(skbs: list[SkBuff]) -> None:
    """Receive several packets with the same route."""
    for skb in skbs:
        dst_input(skb)


def ip_local_deliver(skb: SkBuff) -> int:
    """Deliver a packet that is for this host: reassemble it, and ask the LOCAL_IN hook."""
    dev = skb.dev
    assert dev is not None
    net = dev.net
    at = skb.network_header + 6
    view = skb.view
    if view[at] & 0x3F or view[at + 1]:
        whole = ip_defrag(net, skb, IP_DEFRAG_LOCAL_DELIVER)
        if whole is None:
            return 0
        skb = whole
    return NF_HOOK(NF_INET_LOCAL_IN, net, None, skb, dev, None, ip_local_deliver_finish)


def ip_local_deliver_finish(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Go on behind the LOCAL_IN hook: hand the packet to its protocol."""
    at = skb.transport_header
    # A complete sum stays as it is: the words of a right header sum to 0xFFFF, which counts as nothing.
    skb.len -= at - skb.data
    skb.data = at
    ip_protocol_deliver_rcu(net, skb, skb.view[skb.network_header + 9])
    return 0


def ip_protocol_deliver_rcu(net: "Net", skb: SkBuff, protocol: int) -> None:
    """Give copies of a packet to raw sockets, and the packet itself to its protocol."""
    while True:
        wanted = raw_local_deliver(skb, protocol)
        ipprot = net.ipv4.inet_protos[protocol]
        if ipprot is None:
            break
        if not ipprot.no_policy and not xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
            kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
            return
        ret = ipprot.handler(skb)
        if ret < 0:
            protocol = -ret
            continue
        net.mib["Ip:InDelivers"] += 1
        return
    if wanted:
        net.mib["Ip:InDelivers"] += 1
        consume_skb(skb)
    elif xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
        net.mib["Ip:InUnknownProtos"] += 1
        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH)
        kfree_skb_reason(skb, SkbDropReason.IP_NOPROTO)
    else:
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)

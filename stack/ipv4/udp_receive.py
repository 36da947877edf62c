"""The User Datagram Protocol, receiving from the network (Linux: net/ipv4/udp.c; RFC 768, RFC 1122 §4.1)."""

from errno import EHOSTUNREACH, EMSGSIZE, ENOBUFS, ENOENT, ENOMEM, EPROTO
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_error_report, sock_def_readable
from ..core.drop_reasons import SkbDropReason
from ..core.filter import sk_filter_trim_cap
from ..core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from ..core.skbuff import (
    CHECKSUM_COMPLETE,
    CHECKSUM_NONE,
    CHECKSUM_UNNECESSARY,
    PACKET_HOST,
    SkBuff,
    consume_skb,
    kfree_skb_reason,
)
from ..core.skbuff_csum import (
    __skb_checksum_complete,
    pskb_trim_rcsum,
    skb_checksum_init,
    skb_csum_unnecessary,
    skb_pull_rcsum,
)
from ..core.skbuff_data import pskb_may_pull, skb_clone
from ..core.skbuff_segment import skb_gso_segment
from ..core.sock import SOCK_RXQ_OVFL
from ..uapi import IP_PMTUDISC_DONT, IPPROTO_UDP
from ..wire.checksum import csum_partial, csum_tcpudp_nofold
from ..xfrm.xfrm import XFRM_POLICY_IN
from ..xfrm.xfrm_policy import xfrm4_policy_check
from .icmp import icmp_send
from .icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    ICMP_PARAMETERPROB,
    ICMP_PORT_UNREACH,
    ICMP_REDIRECT,
    ICMP_SOURCE_QUENCH,
    NR_ICMP_UNREACH,
    icmp_err_convert,
)
from .igmp import ip_mc_sf_allow
from .inet_sock import IP_CMSG_CHECKSUM
from .ip_recv import ip_icmp_error, ipv4_pktinfo_prepare
from .route import RTCF_BROADCAST, RTCF_MULTICAST, ipv4_dst_check
from .route_icmp import ipv4_sk_redirect, ipv4_sk_update_pmtu
from .udp_memory import udp_rmem_charge
from .udp_table import __udp4_lib_lookup
from .xfrm4_input import xfrm4_udp_encap_rcv

if TYPE_CHECKING:
    from ..core.net import Net
    from .route import RTable
    from .udp import UdpSock

__all__ = [
    "__udp4_lib_err",
    "__udp4_lib_rcv",
    "__udp_enqueue_schedule_skb",
    "udp_err",
    "udp_queue_rcv_one_skb",
    "udp_queue_rcv_skb",
    "udp_rcv",
    "udp_unicast_rcv_skb",
    "udp_v4_early_demux",
]

_HEADER = Struct("!HHHH")
_ADDRESSES = Struct("!II")


def udp_v4_early_demux(skb: SkBuff) -> None:
    """Find a connected socket for a packet before it has a route, and give it the route that the socket keeps."""
    at = skb.network_header
    start = at + ((skb.view[at] & 15) << 2)
    if skb.pkt_type != PACKET_HOST or skb.tail < start + 8:
        return
    dev = skb.dev
    assert dev is not None
    sport, dport, _, _ = _HEADER.unpack_from(skb.view, start)
    sks = dev.net.ipv4.udp_table.ports.get(dport)
    if sks is None:
        return
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, at + 12)
    for sk in sks:
        if (
            sk.inet_dport == sport
            and sk.inet_daddr == saddr
            and sk.inet_rcv_saddr == daddr
            and sk.sk_bound_dev_if in (0, dev.ifindex)
        ):
            rt: RTable | None = sk.sk_rx_dst
            if rt is not None and ipv4_dst_check(rt) is not None:
                skb.dst = rt
            return


def udp_rcv(skb: SkBuff) -> int:
    """Receive a datagram; its data starts at the UDP header."""
    return __udp4_lib_rcv(skb, IPPROTO_UDP)


def __udp4_lib_rcv(skb: SkBuff, proto: int) -> int:
    """Check a datagram and find its socket; return 0."""
    dev = skb.dev
    assert dev is not None
    net = dev.net
    if skb.tail - skb.data < 8 and not pskb_may_pull(skb, 8):
        return _drop(net, skb, SkbDropReason.NOT_SPECIFIED)
    at = skb.data
    sport, dport, ulen, check = _HEADER.unpack_from(skb.view, at)
    if ulen != skb.len:
        if not 8 <= ulen <= skb.len:
            return _drop(net, skb, SkbDropReason.PKT_TOO_SMALL)
        try:
            pskb_trim_rcsum(skb, ulen)
        except OSError:
            return _drop(net, skb, SkbDropReason.PKT_TOO_SMALL)
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    if not udp4_csum_init(skb, check, saddr, daddr, ulen, proto):
        return _csum_error(net, skb)
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt.flags & (RTCF_BROADCAST | RTCF_MULTICAST):
        return __udp4_lib_mcast_deliver(net, skb, sport, dport, saddr, daddr)
    sk = __udp4_lib_lookup(net, saddr, sport, daddr, dport, skb.skb_iif)
    if sk is not None:
        if sk.inet_dport and sk.sk_rx_dst is not rt:
            sk.sk_rx_dst = rt  # udp_sk_rx_dst_set(), for udp_v4_early_demux().
            sk.sk_incoming_cpu = 0  # sk_incoming_cpu_update(); there is one CPU.
        return udp_unicast_rcv_skb(sk, skb)
    if not xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
        return _drop(net, skb, SkbDropReason.XFRM_POLICY)
    if _checksum_is_wrong(skb):
        return _csum_error(net, skb)
    net.mib["Udp:NoPorts"] += 1
    icmp_send(skb, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH)
    kfree_skb_reason(skb, SkbDropReason.NO_SOCKET)
    return 0


def _drop(net: "Net", skb: SkBuff, reason: SkbDropReason) -> int:
    net.mib["Udp:InErrors"] += 1
    kfree_skb_reason(skb, reason)
    return 0


def _csum_error(net: "Net", skb: SkBuff) -> int:
    net.mib["Udp:InCsumErrors"] += 1
    return _drop(net, skb, SkbDropReason.UDP_CSUM)


def udp4_csum_init(skb: SkBuff, check: int, saddr: int, daddr: int, ulen: int, proto: int) -> bool:
    """Take over what the device says about a datagram's checksum, or note the pseudo header to sum it later.

    Returns
    -------
    bool
        False if the checksum is known to be wrong.
    """
    if not check and skb.ip_summed != CHECKSUM_UNNECESSARY:
        skb.csum_valid = True  # None was sent.
        return True
    return skb_checksum_init(skb, saddr, daddr, ulen, proto)


def _checksum_is_wrong(skb: SkBuff) -> bool:
    return not skb_csum_unnecessary(skb) and __skb_checksum_complete(skb) != 0


def udp_unicast_rcv_skb(sk: "UdpSock", skb: SkBuff) -> int:
    """Hand a datagram to its only socket."""
    if sk.cmsg_flags & IP_CMSG_CHECKSUM and skb.ip_summed == CHECKSUM_NONE and skb.csum_valid:
        _try_convert(skb)
    ret = udp_queue_rcv_skb(sk, skb)
    return -ret if ret > 0 else 0


def _try_convert(skb: SkBuff) -> None:
    """Turn the word of a device that a checksum is right into the sum itself (``skb_checksum_try_convert``)."""
    _, _, ulen, check = _HEADER.unpack_from(skb.view, skb.data)
    if check:
        saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
        skb.csum = ~csum_tcpudp_nofold(saddr, daddr, ulen, IPPROTO_UDP) & 0xFFFF
        skb.ip_summed = CHECKSUM_COMPLETE


def udp_queue_rcv_skb(sk: "UdpSock", skb: SkBuff) -> int:
    """Queue a datagram for a socket, or many in one packet for one that wants them apart; return -1 if dropped."""
    if not skb.gso_size or sk.gro_enabled:
        return udp_queue_rcv_one_skb(sk, skb)
    segs = udp_rcv_segment(sk, skb)
    while segs is not None:
        following = segs.next
        segs.next = None
        segs.len -= segs.transport_header - segs.data
        segs.data = segs.transport_header
        segs.csum_valid = True  # They never left this host.
        udp_queue_rcv_one_skb(sk, segs)
        segs = following
    return 0


def udp_rcv_segment(sk: "UdpSock", skb: SkBuff) -> SkBuff | None:
    """Return the list of datagrams that a received packet stands for; None if there was no memory."""
    skb.len += skb.data - skb.network_header
    skb.data = skb.network_header
    try:
        segs = skb_gso_segment(skb, NETIF_F_SG | NETIF_F_HW_CSUM)
    except OSError:
        sk.sk_drops += skb.gso_segs
        sk.net.mib["Udp:InErrors"] += skb.gso_segs
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return None
    consume_skb(skb)
    return segs


def udp_queue_rcv_one_skb(sk: "UdpSock", skb: SkBuff) -> int:
    """Queue a datagram for a socket, if policy and filter let it pass; return -1 if it was dropped."""
    if not xfrm4_policy_check(sk, XFRM_POLICY_IN, skb):
        sk.sk_drops += 1
        _drop(sk.net, skb, SkbDropReason.XFRM_POLICY)
        return -1
    if sk.encap_type:
        if _checksum_is_wrong(skb):
            sk.sk_drops += 1
            _csum_error(sk.net, skb)
            return -1
        if not xfrm4_udp_encap_rcv(sk, skb):
            sk.net.mib["Udp:InDatagrams"] += 1
            return 0
    if sk.sk_filter is not None and _checksum_is_wrong(skb):  # What the filter cuts cannot be summed later.
        sk.sk_drops += 1
        _csum_error(sk.net, skb)
        return -1
    if sk_filter_trim_cap(sk, skb, 8):
        sk.sk_drops += 1
        _drop(sk.net, skb, SkbDropReason.SOCKET_FILTER)
        return -1
    if not skb.csum_valid and skb.ip_summed == CHECKSUM_NONE:  # udp_csum_pull_header()
        skb.csum = csum_partial(skb.view[skb.data : skb.data + 8], skb.csum)
    skb_pull_rcsum(skb, 8)
    ipv4_pktinfo_prepare(sk, skb)
    error = __udp_enqueue_schedule_skb(sk, skb)
    if error:
        full = error == -ENOMEM
        sk.net.mib["Udp:RcvbufErrors" if full else "Udp:MemErrors"] += 1
        _drop(sk.net, skb, SkbDropReason.SOCKET_RCVBUFF if full else SkbDropReason.PROTO_MEM)
        return -1
    return 0


def __udp_enqueue_schedule_skb(sk: "UdpSock", skb: SkBuff) -> int:
    """Append a datagram to a socket's queue, and wake who waits for it; return 0 or a negative errno.

    ``-ENOMEM``: the queue is full, but one that comes when less than ``sk_rcvbuf`` is in use is taken, however long it
    is; ``-ENOBUFS``: all sockets together have too much (``udp_mem``).
    """
    if sk.sk_rmem_alloc > sk.sk_rcvbuf:
        sk.sk_drops += 1
        return -ENOMEM
    if not udp_rmem_charge(sk, skb.truesize):
        sk.sk_drops += 1
        return -ENOBUFS
    skb.dev = None
    if sk.sk_flags & SOCK_RXQ_OVFL:
        skb.dropcount = sk.sk_drops
    sk.sk_receive_queue.append(skb)
    sock_def_readable(sk)
    return 0


def __udp4_lib_mcast_deliver(net: "Net", skb: SkBuff, sport: int, dport: int, saddr: int, daddr: int) -> int:
    """Give a datagram to a group or to all to each socket that wants it; nobody is told if there is none."""
    first: UdpSock | None = None
    for sk in tuple(net.ipv4.udp_table.ports.get(dport, ())):
        if not __udp_is_mcast_sock(sk, dport, daddr, sport, saddr, skb.skb_iif):
            continue
        if first is None:
            first = sk
            continue
        udp_queue_rcv_skb(sk, skb_clone(skb))
    if first is not None:
        udp_queue_rcv_skb(first, skb)
    else:
        net.mib["Udp:IgnoredMulti"] += 1
        consume_skb(skb)
    return 0


def __udp_is_mcast_sock(sk: "UdpSock", dport: int, daddr: int, sport: int, saddr: int, dif: int) -> bool:
    return (
        (not sk.inet_daddr or sk.inet_daddr == saddr)
        and (not sk.inet_dport or sk.inet_dport == sport)
        and (not sk.inet_rcv_saddr or sk.inet_rcv_saddr == daddr)
        and (not sk.sk_bound_dev_if or sk.sk_bound_dev_if == dif)
        and ip_mc_sf_allow(sk, daddr, saddr, dif)
    )


def udp_err(skb: SkBuff, info: int) -> int:
    """Learn of an ICMP error; as ``NetProtocol.err_handler``."""
    return __udp4_lib_err(skb, info)


def __udp4_lib_err(skb: SkBuff, info: int) -> int:
    """Find the socket that sent the datagram which an ICMP error is about, and tell it.

    A socket that asked for all errors (``IP_RECVERR``) gets each one; else a connected one gets those that last.
    """
    dev = skb.dev
    assert dev is not None
    net = dev.net
    at = skb.data
    view = skb.view
    header = at + ((view[at] & 15) << 2)
    saddr, daddr = _ADDRESSES.unpack_from(view, at + 12)
    sport, dport, _, _ = _HEADER.unpack_from(view, header)
    sk = __udp4_lib_lookup(net, daddr, dport, saddr, sport, skb.skb_iif)
    if sk is None:
        net.mib["Icmp:InErrors"] += 1
        return -ENOENT
    kind, code = view[skb.transport_header], view[skb.transport_header + 1]
    error = EHOSTUNREACH
    hard = False
    if kind == ICMP_SOURCE_QUENCH:
        return 0
    if kind == ICMP_REDIRECT:
        ipv4_sk_redirect(skb, sk)
        return 0
    if kind == ICMP_PARAMETERPROB:
        error, hard = EPROTO, True
    elif kind == ICMP_DEST_UNREACH:
        if code == ICMP_FRAG_NEEDED:
            ipv4_sk_update_pmtu(skb, sk, info)
            if sk.pmtudisc == IP_PMTUDISC_DONT:
                return 0
            error, hard = EMSGSIZE, True
        elif code <= NR_ICMP_UNREACH:
            error, hard = icmp_err_convert[code]
    if sk.recverr:
        ip_icmp_error(sk, skb, error, dport, info, header + 8)
    elif not hard or not sk.connected:
        return 0
    sk.sk_err = error
    sock_def_error_report(sk)
    return 0

"""TCP over IPv4: receiving (Linux: net/ipv4/tcp_ipv4.c; RFC 9293 §3.10.7)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_readable
from ..core.drop_reasons import SkbDropReason
from ..core.filter import sk_filter_trim_cap
from ..core.skbuff import PACKET_HOST, SkBuff, kfree_skb_reason
from ..core.skbuff_csum import skb_checksum_complete
from ..core.skbuff_data import pskb_may_pull
from ..core.tcp_states import TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV
from ..xfrm.xfrm import XFRM_POLICY_IN
from ..xfrm.xfrm_policy import xfrm4_policy_check
from .inet_connection_sock_request import inet_csk_reqsk_queue_drop
from .inet_hashtables import __inet_lookup, __inet_lookup_established, __inet_lookup_listener
from .inet_timewait_sock import InetTimewaitSock, inet_twsk_deschedule_put
from .request_sock import TcpRequestSock
from .route import ipv4_dst_check
from .tcp_defs import HEADER, TCPHDR_FIN, TCPHDR_SYN, TcpSkbCb
from .tcp_input import tcp_rcv_established
from .tcp_input_state import tcp_rcv_state_process
from .tcp_ipv4 import (
    conn_request,
    cookie_v4_check,
    tcp_v4_send_synack,
    tcp_v4_syn_recv_sock,
)
from .tcp_ipv4_check import tcp_v4_csum_init
from .tcp_ipv4_reply import tcp_v4_reqsk_send_ack, tcp_v4_send_reset, tcp_v4_timewait_ack
from .tcp_minisocks import tcp_check_req
from .tcp_minisocks_wait import TwStatus, tcp_timewait_state_process
from .tcp_sock import TcpSock

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["tcp_add_backlog", "tcp_child_process", "tcp_filter", "tcp_v4_do_rcv", "tcp_v4_early_demux", "tcp_v4_rcv"]

_ADDRESSES = Struct("!II")
_SLACK = 64 * 1024  # Beyond both buffers a socket takes so much while a task has its lock.


def tcp_v4_early_demux(skb: SkBuff) -> None:
    """Find the connection of a packet before it has a route, and give it the route that the connection keeps."""
    at = skb.network_header
    start = at + ((skb.view[at] & 15) << 2)
    if skb.pkt_type != PACKET_HOST or skb.tail < start + 20:
        return
    dev = skb.dev
    assert dev is not None
    if skb.view[start + 12] >> 4 < 5:
        return
    sport, dport, *_ = HEADER.unpack_from(skb.view, start)
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, at + 12)
    sk = __inet_lookup_established(dev.net, saddr, sport, daddr, dport, dev.ifindex)
    if sk is None:
        return
    skb.sk = sk  # type: ignore[assignment]  # Requests and those in TIME_WAIT are no sockets; tcp_v4_rcv() looks.
    if isinstance(sk, TcpSock):
        rt = sk.sk_rx_dst
        if rt is not None and ipv4_dst_check(rt) is not None:
            skb.dst = rt


def tcp_v4_fill_cb(skb: SkBuff) -> None:
    """Note what a segment's header says."""
    at = skb.transport_header
    view = skb.view
    _, _, seq, ack, doff, flags, window, _, urgent = HEADER.unpack_from(view, at)
    length = skb.len - (doff >> 4 << 2) + (flags & TCPHDR_SYN != 0) + (flags & TCPHDR_FIN)
    cb = TcpSkbCb(seq, seq + length & 0xFFFFFFFF, flags)
    cb.ack_seq, cb.window, cb.urg_ptr = ack, window, urgent
    cb.doff = doff >> 4 << 2
    cb.ip_dsfield = view[skb.network_header + 1]
    skb.cb = cb


def tcp_filter(sk: TcpSock, skb: SkBuff) -> bool:
    """Return whether the socket's filter does not let a segment pass; its header is never cut."""
    doff = skb.view[skb.transport_header + 12] >> 4 << 2
    return sk_filter_trim_cap(sk, skb, doff) != 0


def tcp_v4_rcv(skb: SkBuff) -> int:
    """Receive a segment; its data starts at the TCP header. Return 0."""
    dev = skb.dev
    assert dev is not None
    net = dev.net
    mib = net.mib
    demuxed, skb.sk = skb.sk, None
    if skb.pkt_type != PACKET_HOST:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return 0
    mib["Tcp:InSegs"] += 1
    if skb.tail - skb.data < 20 and not pskb_may_pull(skb, 20):
        return _bad(net, skb, SkbDropReason.PKT_TOO_SMALL)
    doff = skb.view[skb.data + 12] >> 4 << 2
    if doff < 20:
        return _bad(net, skb, SkbDropReason.PKT_TOO_SMALL)
    if skb.tail - skb.data < doff and not pskb_may_pull(skb, doff):
        return _bad(net, skb, SkbDropReason.PKT_TOO_SMALL)
    skb.transport_header = skb.data
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    if not tcp_v4_csum_init(skb, saddr, daddr):
        mib["Tcp:InCsumErrors"] += 1
        return _bad(net, skb, SkbDropReason.TCP_CSUM)
    sport, dport, *_ = HEADER.unpack_from(skb.view, skb.data)
    sk: TcpSock | TcpRequestSock | InetTimewaitSock | None
    sk = demuxed  # type: ignore[assignment]  # What tcp_v4_early_demux() found.
    if sk is None or (isinstance(sk, TcpRequestSock) and net.ipv4.tcp_hashinfo.ehash.get(sk.key) is not sk):
        # Nothing; or a request that a segment before this one, of the same list, made a connection of.
        sk = __inet_lookup(net, saddr, sport, daddr, dport, skb.skb_iif)
    if isinstance(sk, TcpRequestSock):
        return _to_request(net, sk, skb)
    if sk is None:
        return _no_socket(net, skb)
    if isinstance(sk, InetTimewaitSock):
        return _to_timewait(net, sk, skb)
    return _to_socket(net, sk, skb)


def _bad(net: "Net", skb: SkBuff, reason: SkbDropReason) -> int:
    net.mib["Tcp:InErrs"] += 1
    kfree_skb_reason(skb, reason)
    return 0


def _csum_error(net: "Net", skb: SkBuff) -> int:
    net.mib["Tcp:InCsumErrors"] += 1
    return _bad(net, skb, SkbDropReason.TCP_CSUM)


def _no_socket(net: "Net", skb: SkBuff) -> int:
    """Refuse a segment that is for nobody."""
    if not xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
        return 0
    tcp_v4_fill_cb(skb)
    if skb_checksum_complete(skb):
        return _csum_error(net, skb)
    if skb.cb.end_seq - skb.cb.seq & 0xFFFFFFFF > 0x7FFFFFFF:
        return _bad(net, skb, SkbDropReason.PKT_TOO_SMALL)
    tcp_v4_send_reset(None, skb)
    kfree_skb_reason(skb, SkbDropReason.NO_SOCKET)
    return 0


def _to_request(net: "Net", req: TcpRequestSock, skb: SkBuff) -> int:
    """Receive a segment of a connection that is being made."""
    sk = req.rsk_listener
    if not xfrm4_policy_check(sk, XFRM_POLICY_IN, skb):
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
        return 0
    if skb_checksum_complete(skb):
        return _csum_error(net, skb)
    if sk.sk_state != TCP_LISTEN:
        inet_csk_reqsk_queue_drop(sk, req)
        return _no_socket(net, skb)
    if tcp_filter(sk, skb):
        kfree_skb_reason(skb, SkbDropReason.TCP_FILTER)
        return 0
    tcp_v4_fill_cb(skb)
    child = tcp_check_req(
        sk,
        skb,
        req,
        _rtx_synack,
        tcp_v4_syn_recv_sock,
        tcp_v4_reqsk_send_ack,
        tcp_v4_send_reset,
    )
    if child is not None:
        tcp_child_process(sk, child, skb)
    return 0


def _rtx_synack(sk: TcpSock, req: TcpRequestSock) -> int:
    """Answer a SYN that came once more with the same SYN-ACK (``inet_rtx_syn_ack``)."""
    error = tcp_v4_send_synack(sk, req, None)
    if not error:
        req.num_retrans += 1
        sk.net.mib["Tcp:RetransSegs"] += 1
        sk.net.mib["TcpExt:TCPSynRetrans"] += 1
    return error


def tcp_child_process(parent: TcpSock, child: TcpSock, skb: SkBuff) -> None:
    """Receive the segment that ended a handshake, as the first one of the connection; its program may accept it."""
    if child.sk_owned:
        tcp_add_backlog(child, skb)
        return
    tcp_rcv_state_process(child, skb, conn_request, tcp_v4_send_reset)
    if child.sk_state != TCP_SYN_RECV:
        sock_def_readable(parent)


def _to_timewait(net: "Net", tw: InetTimewaitSock, skb: SkBuff) -> int:
    """Receive a segment of a connection in TIME_WAIT."""
    if not xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
        return 0
    tcp_v4_fill_cb(skb)
    if skb_checksum_complete(skb):
        return _csum_error(net, skb)
    status, isn = tcp_timewait_state_process(tw, skb)
    if status == TwStatus.TCP_TW_SYN:
        listener = __inet_lookup_listener(
            net, tw.inet_daddr, tw.inet_dport, tw.inet_rcv_saddr, tw.inet_num, skb.skb_iif
        )
        if listener is not None:
            inet_twsk_deschedule_put(tw)
            return _to_socket(net, listener, skb, isn)
        status = TwStatus.TCP_TW_ACK
    if status == TwStatus.TCP_TW_ACK:
        tcp_v4_timewait_ack(tw, skb)
    elif status == TwStatus.TCP_TW_RST:
        tcp_v4_send_reset(None, skb)
        inet_twsk_deschedule_put(tw)
    kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    return 0


def _to_socket(net: "Net", sk: TcpSock, skb: SkBuff, isn: int = 0) -> int:
    """Receive a segment of a socket, at once or when its lock is free."""
    if sk.min_ttl and skb.view[skb.network_header + 8] < sk.min_ttl:
        net.mib["TcpExt:TCPMinTTLDrop"] += 1
        kfree_skb_reason(skb, SkbDropReason.TCP_MINTTL)
        return 0
    if not xfrm4_policy_check(sk, XFRM_POLICY_IN, skb):
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
        return 0
    if sk.sk_filter is not None and skb_checksum_complete(skb):
        return _csum_error(net, skb)
    if tcp_filter(sk, skb):
        kfree_skb_reason(skb, SkbDropReason.TCP_FILTER)
        return 0
    tcp_v4_fill_cb(skb)
    if skb.cb.end_seq - skb.cb.seq & 0xFFFFFFFF > 0x7FFFFFFF:
        return _bad(net, skb, SkbDropReason.PKT_TOO_SMALL)
    if sk.sk_state == TCP_LISTEN:
        tcp_v4_do_rcv(sk, skb, isn)
    elif not sk.sk_owned:
        tcp_v4_do_rcv(sk, skb)
    else:
        tcp_add_backlog(sk, skb)
    return 0


def tcp_add_backlog(sk: TcpSock, skb: SkBuff) -> bool:
    """Keep a segment until the lock is free; return whether it was dropped, since there are too many."""
    limit = sk.sk_rcvbuf + (sk.sk_sndbuf >> 1) + _SLACK
    if skb_checksum_complete(skb):
        _csum_error(sk.net, skb)
        return True
    if sk.sk_backlog_len + sk.sk_rmem_alloc > limit:
        sk.net.mib["TcpExt:TCPBacklogDrop"] += 1
        kfree_skb_reason(skb, SkbDropReason.SOCKET_BACKLOG)
        return True
    sk.sk_backlog_len += skb.truesize
    skb.dst = None  # It could go stale meanwhile.
    sk.sk_backlog.append(skb)
    return False


def tcp_v4_do_rcv(sk: TcpSock, skb: SkBuff, isn: int = 0) -> None:
    """Receive a segment of a socket, whose lock is free or the caller's; it is consumed."""
    if sk.sk_state == TCP_ESTABLISHED:
        _check_rx_dst(sk, skb)
        tcp_rcv_established(sk, skb)
        return
    if sk.sk_state == TCP_LISTEN:
        if skb_checksum_complete(skb):
            _csum_error(sk.net, skb)
            return
        child = cookie_v4_check(sk, skb)
        if child is None:
            kfree_skb_reason(skb, SkbDropReason.TCP_LISTEN_OVERFLOW)
            return
        if child is not sk:
            tcp_child_process(sk, child, skb)
            return
        tcp_rcv_state_process(sk, skb, lambda listener, syn: conn_request(listener, syn, isn), tcp_v4_send_reset)
        return
    tcp_rcv_state_process(sk, skb, conn_request, tcp_v4_send_reset)


def _check_rx_dst(sk: TcpSock, skb: SkBuff) -> None:
    """Forget the route of a connection's segments if it is not good any more, or they come by another device."""
    kept = sk.sk_rx_dst
    if kept is not None and (sk.sk_rx_dst_ifindex != skb.skb_iif or ipv4_dst_check(kept) is None):
        sk.sk_rx_dst = None

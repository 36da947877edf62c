"""A SYN to a listener (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.10.7.2, RFC 4987)."""

from typing import TYPE_CHECKING

from .inet_connection_sock import sk_acceptq_is_full
from .inet_connection_sock_request import inet_csk_reqsk_queue_hash_add, inet_csk_reqsk_queue_is_full
from .request_sock import TcpRequestSock
from .syncookies import cookie_init_timestamp, cookie_v4_init_sequence
from .tcp_defs import HEADER, TCPHDR_CWR, TCPHDR_ECE, TcpSkbCb
from .tcp_input_options import tcp_parse_options
from .tcp_output_syn import tcp_openreq_init_rwin
from .tcp_sock import TcpOptionsReceived

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.skbuff import SkBuff
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = ["TcpRequestOps", "tcp_conn_request", "tcp_openreq_init"]


class TcpRequestOps:
    """What a listener's protocol does about a request (Linux: ``struct tcp_request_sock_ops``).

    Members
    -------
    route_req : callable
        Gives a request its addresses, and returns its route; None if there is none.
    init_seq : callable
        Returns the first sequence number and the offset of time stamps.
    send_synack : callable
        Answers; returns 0 or a negative errno.
    """

    __slots__ = ("init_seq", "route_req", "send_synack")

    def __init__(
        self,
        *,
        route_req: "Callable[[TcpSock, SkBuff, TcpRequestSock], RTable | None]",
        init_seq: "Callable[[SkBuff], tuple[int, int]]",
        send_synack: "Callable[[TcpSock, TcpRequestSock, RTable | None], int]",
    ) -> None:
        self.route_req = route_req
        self.init_seq = init_seq
        self.send_synack = send_synack


def tcp_openreq_init(req: TcpRequestSock, opt: TcpOptionsReceived, skb: "SkBuff") -> None:
    """Note what a SYN says."""
    cb: TcpSkbCb = skb.cb
    sport, dport, *_ = HEADER.unpack_from(skb.view, skb.transport_header)
    req.rcv_isn = cb.seq
    req.rcv_nxt = cb.seq + 1 & 0xFFFFFFFF
    req.mss = opt.mss_seen or 536
    req.ts_recent = opt.rcv_tsval if opt.saw_tstamp else 0
    req.tstamp_ok = opt.saw_tstamp
    req.sack_ok = opt.sack_ok
    req.wscale_ok = opt.wscale_ok
    req.snd_wscale = opt.snd_wscale
    req.ir_rmt_port, req.ir_num = sport, dport
    req.ir_mark = req.rsk_listener.sk_mark
    req.rcv_tos = cb.ip_dsfield


def _ecn_create_request(req: TcpRequestSock, cb: TcpSkbCb) -> None:
    """Agree to congestion notification if the SYN asks for it (RFC 3168 §6.1.1)."""
    asks = cb.tcp_flags & (TCPHDR_ECE | TCPHDR_CWR) == TCPHDR_ECE | TCPHDR_CWR
    if asks and req.net.ipv4.sysctl_tcp_ecn:
        req.ecn_ok = True


def tcp_conn_request(sk: "TcpSock", skb: "SkBuff", ops: TcpRequestOps, isn: int) -> bool:
    """Answer a SYN, and note its request; or answer it with a cookie if there are too many.

    Parameters
    ----------
    sk, skb : TcpSock, SkBuff
        The listener and the SYN, which the caller frees.
    ops : TcpRequestOps
        Of the network layer.
    isn : int
        The first sequence number if it is to follow a connection in TIME_WAIT, else 0.

    Returns
    -------
    bool
        Whether it was one to be answered; otherwise it was counted as dropped.
    """
    net = sk.net
    ipv4 = net.ipv4
    mib = net.mib
    cookies: int = ipv4.sysctl_tcp_syncookies
    want_cookie = False
    if (cookies == 2 or inet_csk_reqsk_queue_is_full(sk)) and not isn:
        # tcp_syn_flood_action()
        if not cookies:
            mib["TcpExt:TCPReqQFullDrop"] += 1
            return _dropped(sk)
        want_cookie = True
        mib["TcpExt:TCPReqQFullDoCookies"] += 1
        _say_flooding(sk, skb)
    if sk_acceptq_is_full(sk):
        mib["TcpExt:ListenOverflows"] += 1
        return _dropped(sk)
    req = TcpRequestSock(sk)
    opt = TcpOptionsReceived()
    opt.user_mss = sk.rx_opt.user_mss
    tcp_parse_options(net, skb, opt, estab=False)
    if want_cookie and not opt.saw_tstamp:
        # Only a time stamp has room for the options.
        opt.wscale_ok = opt.sack_ok = False
        opt.snd_wscale = 0
    tcp_openreq_init(req, opt, skb)
    rt = ops.route_req(sk, skb, req)
    if rt is None:
        return _dropped(sk)
    _ecn_create_request(req, skb.cb)
    seq, req.ts_off = ops.init_seq(skb)
    if want_cookie:
        key = (req.ir_rmt_addr, req.ir_rmt_port, req.ir_loc_addr, req.ir_num)
        seq, req.mss = cookie_v4_init_sequence(net, key, req.rcv_isn, req.mss)
        if not req.tstamp_ok:
            req.ecn_ok = False
        mib["TcpExt:SyncookiesSent"] += 1
    req.snt_isn = isn or seq
    tcp_openreq_init_rwin(req, sk, rt)
    if want_cookie and req.tstamp_ok:
        now_ms = net.kernel.now_ns() // 1_000_000
        stamp = cookie_init_timestamp(
            now_ms, wscale=req.snd_wscale if req.wscale_ok else None, sack_ok=req.sack_ok, ecn_ok=req.ecn_ok
        )
        req.ts_off = req.ts_off - (now_ms - stamp) & 0xFFFFFFFF
    if not want_cookie and not inet_csk_reqsk_queue_hash_add(
        sk, req, lambda listener, request: _rtx_synack(listener, request, ops)
    ):
        return _dropped(sk)
    ops.send_synack(sk, req, rt)
    return True


def _rtx_synack(sk: "TcpSock", req: TcpRequestSock, ops: TcpRequestOps) -> int:
    """Answer a request once more (``tcp_rtx_synack``)."""
    error = ops.send_synack(sk, req, None)
    if not error:
        sk.net.mib["Tcp:RetransSegs"] += 1
        sk.net.mib["TcpExt:TCPSynRetrans"] += 1
    return error


def _dropped(sk: "TcpSock") -> bool:
    """Count a SYN that is not answered (``tcp_listendrop``)."""
    sk.sk_drops += 1
    sk.net.mib["TcpExt:ListenDrops"] += 1
    return False


def _say_flooding(sk: "TcpSock", skb: "SkBuff") -> None:
    """Say once in the kernel's log that a port is flooded."""
    if sk.synflood_warned:
        return
    sk.synflood_warned = True
    _, dport, *_ = HEADER.unpack_from(skb.view, skb.transport_header)
    sk.kernel.log.append(f"TCP: request_sock_TCP: Possible SYN flooding on port {dport}. Sending cookies.")

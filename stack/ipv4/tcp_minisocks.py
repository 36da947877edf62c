"""From a request to a connection (Linux: net/ipv4/tcp_minisocks.c; RFC 9293 §3.10.7.4 for SYN-RECEIVED)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..core.tcp_states import TCP_SYN_RECV
from ..core.timer import jiffies
from .inet_connection_sock import inet_sk_set_state
from .inet_connection_sock_request import inet_csk_complete_hashdance, inet_csk_reqsk_queue_drop
from .tcp_cong import TCP_CA_OPEN, tcp_assign_congestion_control, tcp_set_ca_state, tcp_set_congestion_control
from .tcp_defs import (
    TCP_ECN_OK,
    TCPHDR_ACK,
    TCPHDR_RST,
    TCPHDR_SYN,
    TcpSkbCb,
    after,
    before,
)
from .tcp_input_challenge import tcp_oow_rate_limited
from .tcp_input_options import tcp_parse_options, tcp_paws_reject
from .tcp_input_rtt import tcp_synack_rtt_meas
from .tcp_sock import TcpOptionsReceived, TcpSock
from .tcp_timer import tcp_init_xmit_timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.skbuff import SkBuff
    from .request_sock import TcpRequestSock

__all__ = ["inet_csk_clone_lock", "tcp_ca_openreq_child", "tcp_check_req", "tcp_create_openreq_child"]


def inet_csk_clone_lock(sk: TcpSock, req: "TcpRequestSock") -> TcpSock:
    """Return a socket for a connection, with what the program has set of its listener."""
    child = TcpSock(sk.net, sk.sk_family, sk.sk_type, sk.sk_protocol, sk.sk_prot)
    for name in _INHERITED:
        setattr(child, name, getattr(sk, name))
    child.rx_opt.user_mss = sk.rx_opt.user_mss
    child.inet_num, child.inet_dport = req.ir_num, req.ir_rmt_port
    child.inet_saddr = child.inet_rcv_saddr = req.ir_loc_addr
    child.inet_daddr = req.ir_rmt_addr
    child.sk_bound_dev_if = req.sk_bound_dev_if
    child.sk_mark = req.ir_mark
    child.bind_addr_locked = child.bind_port_locked = False
    child.inet_id = sk.kernel.platform.random_u32() & 0xFFFF
    inet_sk_set_state(child, TCP_SYN_RECV)
    assert child.sk_memory is not None
    child.sk_memory.sockets_allocated += 1
    return child


_INHERITED = (
    "sk_reuse",
    "sk_reuseport",
    "sk_priority",
    "sk_localroute",
    "sk_broadcast",
    "sk_sndbuf",
    "sk_rcvbuf",
    "sk_userlocks",
    "sk_rcvlowat",
    "sk_sndtimeo",
    "sk_rcvtimeo",
    "sk_flags",
    "sk_lingertime",
    "sk_filter",
    "sk_filter_locked",
    "sk_max_pacing_rate",
    "tos",
    "uc_ttl",
    "min_ttl",
    "pmtudisc",
    "recverr",
    "inet_flags",
    "cmsg_flags",
    "nonagle",
    "linger2",
    "defer_accept",
    "icsk_syn_retries",
    "icsk_user_timeout",
    "keepalive_time",
    "keepalive_intvl",
    "keepalive_probes",
    "window_clamp",
)


def tcp_create_openreq_child(sk: TcpSock, req: "TcpRequestSock", skb: "SkBuff") -> TcpSock:
    """Return a socket for a connection whose handshake is done, in SYN-RECEIVED still."""
    child = inet_csk_clone_lock(sk, req)
    tcp_init_xmit_timers(child)
    child.rcv_nxt = child.rcv_wup = child.copied_seq = req.rcv_isn + 1 & 0xFFFFFFFF
    child.snd_una = child.snd_nxt = child.snd_sml = child.snd_up = req.snt_isn + 1 & 0xFFFFFFFF
    child.highest_sack = child.snd_una
    child.write_seq = child.pushed_seq = child.high_seq = child.snd_nxt
    child.rcv_tstamp = child.lsndtime = child.ack_lrcvtime = jiffies(sk.kernel)
    child.snd_wl1 = req.rcv_isn
    child.syn_seen = True
    opt = child.rx_opt
    opt.tstamp_ok, opt.sack_ok, opt.wscale_ok = req.tstamp_ok, req.sack_ok, req.wscale_ok
    child.rcv_wnd = child.rcv_ssthresh = req.rsk_rcv_wnd
    child.window_clamp = req.rsk_window_clamp
    if opt.wscale_ok:
        opt.snd_wscale, opt.rcv_wscale = req.snd_wscale, req.rcv_wscale
    else:
        child.window_clamp = min(child.window_clamp, 65535)
    child.snd_wnd = skb.cb.window << opt.snd_wscale
    child.max_window = child.snd_wnd
    if opt.tstamp_ok:
        opt.ts_recent = req.ts_recent
        opt.ts_recent_stamp = sk.kernel.now_ns() // 1_000_000_000 + 1
        child.tcp_header_len = 32
    child.tsoffset = req.ts_off
    opt.mss_clamp = req.mss
    if req.ecn_ok:
        child.ecn_flags = TCP_ECN_OK
    child.net.mib["Tcp:PassiveOpens"] += 1
    return child


def tcp_ca_openreq_child(sk: TcpSock, child: TcpSock) -> None:
    """Give a new connection congestion control: what its program has chosen for the listener, or the usual one."""
    tcp_assign_congestion_control(child)
    if child.ca_ops is not sk.ca_ops:
        tcp_set_congestion_control(child, sk.ca_ops.name)
    tcp_set_ca_state(child, TCP_CA_OPEN)


def tcp_check_req(
    sk: TcpSock,
    skb: "SkBuff",
    req: "TcpRequestSock",
    rtx_synack: "Callable[[TcpSock, TcpRequestSock], int]",
    syn_recv_sock: "Callable[[TcpSock, SkBuff, TcpRequestSock], TcpSock | None]",
    send_ack: "Callable[[TcpSock, SkBuff, TcpRequestSock], None]",
    send_reset: "Callable[[TcpSock, SkBuff], None]",
) -> TcpSock | None:
    """Look at a segment to a connection that is being made.

    Returns
    -------
    TcpSock or None
        The connection, whose segment has yet to be received; None: the segment is consumed.
    """
    cb: TcpSkbCb = skb.cb
    net = sk.net
    opt = TcpOptionsReceived()
    paws = False
    if cb.doff > 20:
        tcp_parse_options(net, skb, opt, estab=False)
        if opt.saw_tstamp:
            opt.ts_recent = req.ts_recent
            if opt.rcv_tsecr:
                opt.rcv_tsecr = opt.rcv_tsecr - req.ts_off & 0xFFFFFFFF
            opt.ts_recent_stamp = net.kernel.now_ns() // 1_000_000_000 + 1
            paws = req.tstamp_ok and tcp_paws_reject(net, opt, bool(cb.tcp_flags & TCPHDR_RST))
    flags = cb.tcp_flags & (TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK)
    if cb.seq == req.rcv_isn and flags == TCPHDR_SYN and not paws:
        # The SYN once more: our answer may be lost.
        if not tcp_oow_rate_limited(net, req.last_oow_ack_us, "SynRecv"):
            req.last_oow_ack_us = net.kernel.now_ns() // 1000
            rtx_synack(sk, req)
        _drop(skb, SkbDropReason.CONSUMED)
        return None
    if flags & TCPHDR_ACK and cb.ack_seq != req.snt_isn + 1 & 0xFFFFFFFF:
        # RFC 9293: the ACK of another connection.
        send_reset(sk, skb)
        _drop(skb, SkbDropReason.TCP_INVALID_SEQUENCE)
        return None
    window_end = req.rcv_nxt + req.rsk_rcv_wnd & 0xFFFFFFFF
    in_window = (not before(cb.end_seq, req.rcv_nxt) and not after(cb.seq, window_end)) or cb.seq == req.rcv_nxt
    if paws or not in_window:
        if not flags & TCPHDR_RST and not tcp_oow_rate_limited(net, req.last_oow_ack_us, "SynRecv"):
            req.last_oow_ack_us = net.kernel.now_ns() // 1000
            send_ack(sk, skb, req)
        if paws:
            net.mib["TcpExt:PAWSEstab"] += 1
        _drop(skb, SkbDropReason.TCP_RFC7323_PAWS if paws else SkbDropReason.TCP_INVALID_SEQUENCE)
        return None
    if opt.saw_tstamp and not after(cb.seq, req.rcv_nxt) and not flags & TCPHDR_RST:
        req.ts_recent = opt.rcv_tsval
    if cb.seq == req.rcv_isn:
        flags &= ~TCPHDR_SYN  # A SYN-ACK of a simultaneous open, say.
    if flags & (TCPHDR_RST | TCPHDR_SYN):
        _embryonic_reset(sk, skb, req, flags, send_reset)
        return None
    if not flags & TCPHDR_ACK:
        _drop(skb, SkbDropReason.TCP_FLAGS)
        return None
    if req.num_timeout < sk.defer_accept and cb.end_seq == req.rcv_isn + 1 & 0xFFFFFFFF:
        # TCP_DEFER_ACCEPT: without data the program is not disturbed yet.
        req.acked = True
        net.mib["TcpExt:TCPDeferAcceptDrop"] += 1
        _drop(skb, SkbDropReason.CONSUMED)
        return None
    child = syn_recv_sock(sk, skb, req)
    if child is None:
        # The program does not accept: the peer will send once more, unless it is to be told at once.
        if net.ipv4.sysctl_tcp_abort_on_overflow:
            _embryonic_reset(sk, skb, req, 0, send_reset)
            return None
        req.acked = True
        _drop(skb, SkbDropReason.TCP_LISTEN_OVERFLOW)
        return None
    if not req.num_retrans:
        tcp_synack_rtt_meas(child, req.snt_synack_us)
    else:
        child.undo_marker, child.total_retrans = 1, 2  # The first window is one packet.
    return inet_csk_complete_hashdance(sk, child, req)


def _drop(skb: "SkBuff", reason: SkbDropReason) -> None:
    kfree_skb_reason(skb, reason)


def _embryonic_reset(
    sk: TcpSock, skb: "SkBuff", req: "TcpRequestSock", flags: int, send_reset: "Callable[[TcpSock, SkBuff], None]"
) -> None:
    """Give a connection up that is being made; with another SYN in it the peer is told."""
    if not flags & TCPHDR_RST:
        send_reset(sk, skb)
    elif skb.cb.seq != req.rcv_nxt:
        # RFC 5961 §3.2 counts here, too: only the exact number resets.
        kfree_skb_reason(skb, SkbDropReason.TCP_INVALID_SEQUENCE)
        return
    inet_csk_reqsk_queue_drop(sk, req)
    sk.net.mib["TcpExt:EmbryonicRsts"] += 1
    sk.net.mib["Tcp:AttemptFails"] += 1
    kfree_skb_reason(skb, SkbDropReason.TCP_RESET)

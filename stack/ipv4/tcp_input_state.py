"""Segments in every other state (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.10.7)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..core.skbuff_csum import skb_checksum_complete
from ..core.sock import RCV_SHUTDOWN, SEND_SHUTDOWN, SOCK_KEEPOPEN, sock_def_wakeup
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_SYN_RECV,
    TCP_SYN_SENT,
    TCP_TIME_WAIT,
)
from ..core.timer import jiffies
from .af_inet_rebuild import inet_sk_rebuild_header
from .inet_connection_sock_timer import (
    inet_csk_reset_keepalive_timer,
    inet_csk_reset_xmit_timer,
    sk_reset_timer,
)
from .tcp_cong import tcp_init_congestion_control
from .tcp_defs import (
    ICSK_ACK_SCHED,
    ICSK_ACK_TIMER,
    ICSK_TIME_RETRANS,
    TCP_DELACK_MAX,
    TCP_ECN_OK,
    TCP_INIT_CWND,
    TCP_RTO_MAX,
    TCP_TIMEOUT_INIT,
    TCP_TIMEWAIT_LEN,
    TCPHDR_ACK,
    TCPHDR_CWR,
    TCPHDR_ECE,
    TCPHDR_FIN,
    TCPHDR_RST,
    TCPHDR_SYN,
    TcpSkbCb,
    after,
    before,
    between,
)
from .tcp_input import (
    tcp_ack_snd_check,
    tcp_data_snd_check,
    tcp_drop_ack,
    tcp_reset,
    tcp_validate_incoming,
)
from .tcp_input_ack import TCP_ACK_TOO_OLD, tcp_ack
from .tcp_input_challenge import tcp_send_challenge_ack
from .tcp_input_data import pull_octets, tcp_data_queue, tcp_enter_quickack_mode
from .tcp_input_options import tcp_parse_options, tcp_paws_reject, tcp_store_ts_recent
from .tcp_input_urg import tcp_urg
from .tcp_ipv4 import inet_sk_rx_dst_set
from .tcp_keepalive import keepalive_time_when, tcp_fin_time
from .tcp_minisocks_wait import tcp_time_wait
from .tcp_output import tcp_mstamp_refresh, tcp_transmit_skb
from .tcp_output_ack import tcp_send_ack
from .tcp_output_window import (
    mtu_of,
    tcp_full_space,
    tcp_initialize_rcv_mss,
    tcp_mtup_init,
    tcp_sndbuf_expand,
    tcp_sync_mss,
)
from .tcp_state import tcp_done, tcp_set_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.skbuff import SkBuff
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = ["tcp_finish_connect", "tcp_init_transfer", "tcp_rcv_state_process", "tcp_rcv_synsent_state_process"]


def tcp_init_buffer_space(sk: "TcpSock") -> None:
    """Set the buffers of a connection to what its segments need, and begin to watch how much a program reads."""
    tcp_sndbuf_expand(sk)
    tcp_mstamp_refresh(sk)
    sk.rcvq_time_us = sk.tcp_mstamp_us
    sk.rcvq_seq = sk.copied_seq
    most = tcp_full_space(sk)
    sk.window_clamp = min(sk.window_clamp, most)
    if sk.window_clamp > 2 * sk.advmss and sk.window_clamp + sk.advmss > most:
        sk.window_clamp = max(2 * sk.advmss, most - sk.advmss)  # Room for a segment more than it tells.
    sk.rcv_ssthresh = min(sk.rcv_ssthresh, sk.window_clamp)
    sk.rcvq_space = min(sk.rcv_ssthresh, sk.rcv_wnd, TCP_INIT_CWND * sk.advmss)


def tcp_init_transfer(sk: "TcpSock") -> None:
    """Set up what data needs once a connection is made."""
    tcp_mtup_init(sk)
    inet_sk_rebuild_header(sk)
    # RFC 6298 §5.7, RFC 5681 §3.1: after a SYN that was lost the window is one packet.
    if sk.total_retrans > 1 and sk.undo_marker:
        sk.snd_cwnd = 1
    else:
        sk.snd_cwnd = TCP_INIT_CWND
    sk.snd_cwnd_stamp = jiffies(sk.kernel)
    tcp_init_congestion_control(sk)
    tcp_init_buffer_space(sk)


def tcp_finish_connect(sk: "TcpSock", skb: "SkBuff") -> None:
    """Make a connection that this host began; its segments will have the route of this one."""
    tcp_set_state(sk, TCP_ESTABLISHED)
    rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    inet_sk_rx_dst_set(sk, skb, rt)
    tcp_init_transfer(sk)
    sk.lsndtime = jiffies(sk.kernel)
    if sk.sk_flags & SOCK_KEEPOPEN:
        inet_csk_reset_keepalive_timer(sk, keepalive_time_when(sk))


def tcp_rcv_synsent_state_process(sk: "TcpSock", skb: "SkBuff", refuse: "Callable[[TcpSock, SkBuff], None]") -> None:
    """Receive a segment in SYN-SENT; it is consumed (RFC 9293 §3.10.7.3)."""
    cb: TcpSkbCb = skb.cb
    flags = cb.tcp_flags
    opt = sk.rx_opt
    mib = sk.net.mib
    tcp_parse_options(sk.net, skb, opt, estab=False)
    if opt.saw_tstamp and opt.rcv_tsecr:
        opt.rcv_tsecr = opt.rcv_tsecr - sk.tsoffset & 0xFFFFFFFF
    if flags & TCPHDR_ACK:
        # RFC 9293: an ACK of something that was not sent is answered with RST.
        if not after(cb.ack_seq, sk.snd_una) or after(cb.ack_seq, sk.snd_nxt):
            if not sk.icsk_retransmits:
                inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, min(sk.icsk_rto, TCP_RTO_MAX))
            _refuse(sk, skb, refuse)
            return
        sent_ms = sk.retrans_stamp // 1000
        if opt.saw_tstamp and opt.rcv_tsecr and not between(opt.rcv_tsecr, sent_ms, sk.kernel.now_ns() // 1_000_000):
            mib["TcpExt:PAWSActive"] += 1
            _refuse(sk, skb, refuse)
            return
        if flags & TCPHDR_RST:
            tcp_reset(sk, skb)
            return
        if not flags & TCPHDR_SYN:
            kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)
            return
        _synack_received(sk, skb)
        return
    if flags & TCPHDR_RST:
        kfree_skb_reason(skb, SkbDropReason.TCP_RESET)
        return
    if opt.ts_recent_stamp and opt.saw_tstamp and tcp_paws_reject(sk.net, opt, False):
        kfree_skb_reason(skb, SkbDropReason.TCP_RFC7323_PAWS)
        return
    if flags & TCPHDR_SYN:
        _simultaneous_open(sk, skb)
        return
    kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)


def _refuse(sk: "TcpSock", skb: "SkBuff", refuse: "Callable[[TcpSock, SkBuff], None]") -> None:
    """Answer a segment that belongs to another connection with RST, unless it is one."""
    opt = sk.rx_opt
    opt.tstamp_ok = opt.wscale_ok = opt.sack_ok = False
    if not skb.cb.tcp_flags & TCPHDR_RST:
        refuse(sk, skb)
    kfree_skb_reason(skb, SkbDropReason.TCP_INVALID_SEQUENCE)


def _take_options(sk: "TcpSock", cb: TcpSkbCb) -> None:
    """Take over what the peer's SYN says."""
    opt = sk.rx_opt
    sk.syn_seen = True
    if not opt.wscale_ok:
        opt.snd_wscale = opt.rcv_wscale = 0
        sk.window_clamp = min(sk.window_clamp, 65535)
    if opt.saw_tstamp:
        opt.tstamp_ok = True
        sk.tcp_header_len = 32
        tcp_store_ts_recent(sk)
    else:
        opt.tstamp_ok = False
        sk.tcp_header_len = 20
    sk.rcv_nxt = sk.copied_seq = cb.seq + 1 & 0xFFFFFFFF
    sk.rcv_wup = sk.rcv_nxt
    opt.mss_clamp = min(opt.mss_seen or 536, opt.mss_clamp or 0xFFFF)
    tcp_mtup_init(sk)
    rt: RTable | None = sk.sk_dst_cache  # type: ignore[assignment]  # What IPv4 set.
    tcp_sync_mss(sk, mtu_of(sk, rt) if rt is not None else sk.icsk_pmtu_cookie)
    tcp_initialize_rcv_mss(sk)


def _synack_received(sk: "TcpSock", skb: "SkBuff") -> None:
    """Make the connection: a SYN-ACK came."""
    cb: TcpSkbCb = skb.cb
    if sk.ecn_flags & TCP_ECN_OK and (not cb.tcp_flags & TCPHDR_ECE or cb.tcp_flags & TCPHDR_CWR):
        sk.ecn_flags &= ~TCP_ECN_OK
    sk.snd_wl1 = cb.seq
    tcp_ack(sk, skb)
    _take_options(sk, cb)
    sk.snd_wnd = cb.window  # Of a SYN it is not shifted.
    sk.max_window = max(sk.max_window, sk.snd_wnd)
    sk.snd_wl1 = cb.seq
    tcp_finish_connect(sk, skb)
    if not sk.dead:
        sock_def_wakeup(sk)
    if sk.sk_write_queue or sk.defer_accept or sk.ack_pingpong:
        # Something else goes soon; if not, the timer sees to it.
        sk.ack_pending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER
        tcp_enter_quickack_mode(sk)
        sk.ack_timeout = jiffies(sk.kernel) + TCP_DELACK_MAX
        sk_reset_timer(sk.delack_timer, sk.ack_timeout)
    else:
        tcp_send_ack(sk)
    tcp_urg(sk, skb)
    kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    tcp_data_snd_check(sk)


def _simultaneous_open(sk: "TcpSock", skb: "SkBuff") -> None:
    """Answer a SYN with a SYN-ACK, since both began at once (RFC 9293 §3.5, figure 8)."""
    cb: TcpSkbCb = skb.cb
    tcp_set_state(sk, TCP_SYN_RECV)
    _take_options(sk, cb)
    sk.snd_wnd = cb.window
    sk.snd_wl1 = cb.seq
    sk.max_window = sk.snd_wnd
    if sk.ecn_flags & TCP_ECN_OK and not cb.tcp_flags & (TCPHDR_ECE | TCPHDR_CWR):
        sk.ecn_flags &= ~TCP_ECN_OK
    kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    if sk.tcp_rtx_queue:
        syn = sk.tcp_rtx_queue[0]
        syn.cb.tcp_flags |= TCPHDR_ACK
        tcp_mstamp_refresh(sk)
        tcp_transmit_skb(sk, syn, True)


def tcp_rcv_state_process(
    sk: "TcpSock",
    skb: "SkBuff",
    conn_request: "Callable[[TcpSock, SkBuff], bool]",
    refuse: "Callable[[TcpSock, SkBuff], None]",
) -> None:
    """Receive a segment in any state but ESTABLISHED and TIME-WAIT; it is consumed.

    Parameters
    ----------
    sk, skb : TcpSock, SkBuff
        The socket and the segment.
    conn_request : callable
        Answers a SYN to a listener (``icsk_af_ops->conn_request``); returns whether it was one to be answered.
    refuse : callable
        Sends an RST.
    """
    cb: TcpSkbCb = skb.cb
    flags = cb.tcp_flags
    state = sk.sk_state
    if state == TCP_CLOSE:
        kfree_skb_reason(skb, SkbDropReason.TCP_CLOSE)
        return
    if state == TCP_LISTEN:
        if flags & TCPHDR_ACK:
            refuse(sk, skb)
            kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)
        elif flags & TCPHDR_RST:
            kfree_skb_reason(skb, SkbDropReason.TCP_RESET)
        elif flags & TCPHDR_SYN:
            if flags & TCPHDR_FIN:
                kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)
            elif conn_request(sk, skb):
                kfree_skb_reason(skb, SkbDropReason.CONSUMED)
            else:
                kfree_skb_reason(skb, SkbDropReason.TCP_LISTEN_OVERFLOW)
        else:
            kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)
        return
    tcp_mstamp_refresh(sk)
    if skb_checksum_complete(skb):
        sk.net.mib["Tcp:InCsumErrors"] += 1
        sk.net.mib["Tcp:InErrs"] += 1
        kfree_skb_reason(skb, SkbDropReason.TCP_CSUM)
        return
    if state == TCP_SYN_SENT:
        tcp_rcv_synsent_state_process(sk, skb, refuse)
        return
    if not flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN):
        kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)
        return
    if not tcp_validate_incoming(sk, skb):
        return
    # RFC 9293: in a simultaneous open it must acknowledge our SYN; Linux lets one pass that acknowledges nothing.
    idle = state == TCP_SYN_RECV and sk.packets_out and cb.ack_seq == sk.snd_una
    result = 0 if idle else tcp_ack(sk, skb, update_ts=True, challenge=False)
    if result <= 0 and state == TCP_SYN_RECV:
        refuse(sk, skb)
        kfree_skb_reason(skb, SkbDropReason.TCP_OLD_ACK)
        return
    if result < 0:
        if result == TCP_ACK_TOO_OLD:
            tcp_send_challenge_ack(sk)
        tcp_drop_ack(sk, skb, result)
        return
    if not _acked(sk, skb, refuse):
        return
    tcp_urg(sk, skb)
    _text(sk, skb, refuse)


def _acked(sk: "TcpSock", skb: "SkBuff", refuse: "Callable[[TcpSock, SkBuff], None]") -> bool:
    """Change the state because what was sent is acknowledged (fifth check); return whether to go on.

    Otherwise the segment is consumed, and the socket may be gone.
    """
    cb: TcpSkbCb = skb.cb
    state = sk.sk_state
    if state == TCP_SYN_RECV:
        if not sk.srtt_us and sk.parent is None:
            sk.icsk_rto = sk.icsk_rto or TCP_TIMEOUT_INIT
        tcp_init_transfer(sk)
        sk.copied_seq = sk.rcv_nxt
        tcp_set_state(sk, TCP_ESTABLISHED)
        if not sk.dead:
            sock_def_wakeup(sk)
        sk.snd_una = cb.ack_seq
        sk.snd_wnd = cb.window << sk.rx_opt.snd_wscale
        sk.snd_wl1 = cb.seq
        sk.max_window = max(sk.max_window, sk.snd_wnd)
        sk.lsndtime = jiffies(sk.kernel)
        if sk.sk_flags & SOCK_KEEPOPEN:
            inet_csk_reset_keepalive_timer(sk, keepalive_time_when(sk))
    elif state == TCP_FIN_WAIT1:
        if sk.snd_una != sk.write_seq:
            return True
        tcp_set_state(sk, TCP_FIN_WAIT2)
        sk.sk_shutdown |= SEND_SHUTDOWN
        if not sk.dead:
            sock_def_wakeup(sk)
            return True
        return _orphan_in_fin_wait2(sk, skb, refuse)
    elif state == TCP_CLOSING:
        if sk.snd_una == sk.write_seq:
            kfree_skb_reason(skb, SkbDropReason.CONSUMED)
            tcp_time_wait(sk, TCP_TIME_WAIT, 0)
            return False
    elif state == TCP_LAST_ACK and sk.snd_una == sk.write_seq:
        kfree_skb_reason(skb, SkbDropReason.CONSUMED)
        tcp_done(sk)
        return False
    return True


def _orphan_in_fin_wait2(sk: "TcpSock", skb: "SkBuff", refuse: "Callable[[TcpSock, SkBuff], None]") -> bool:
    """Wait for the FIN of the peer of a socket that no program has; data from it would be lost, and is refused."""
    cb: TcpSkbCb = skb.cb
    if sk.linger2 < 0 or (cb.end_seq != cb.seq and after(cb.end_seq - (cb.tcp_flags & TCPHDR_FIN), sk.rcv_nxt)):
        refuse(sk, skb)
        kfree_skb_reason(skb, SkbDropReason.TCP_ABORT_ON_DATA)
        tcp_done(sk)
        sk.net.mib["TcpExt:TCPAbortOnData"] += 1
        return False
    timeo = tcp_fin_time(sk)
    if timeo > TCP_TIMEWAIT_LEN:
        inet_csk_reset_keepalive_timer(sk, timeo - TCP_TIMEWAIT_LEN)
        return True
    if cb.tcp_flags & TCPHDR_FIN:
        inet_csk_reset_keepalive_timer(sk, timeo)
        return True
    kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    tcp_time_wait(sk, TCP_FIN_WAIT2, timeo)
    return False


def _text(sk: "TcpSock", skb: "SkBuff", refuse: "Callable[[TcpSock, SkBuff], None]") -> None:
    """Receive the data of a segment (seventh check)."""
    cb: TcpSkbCb = skb.cb
    state = sk.sk_state
    if state in (TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK):
        if not before(cb.seq, sk.rcv_nxt):
            kfree_skb_reason(skb, SkbDropReason.CONSUMED)
            _after_text(sk)
            return
    if state != TCP_ESTABLISHED and sk.sk_shutdown & RCV_SHUTDOWN:
        # RFC 9293 §3.6.1: data that nobody will read is lost; the peer has to know. Or it is from behind its FIN.
        if cb.end_seq != cb.seq and after(cb.end_seq - (cb.tcp_flags & TCPHDR_FIN) & 0xFFFFFFFF, sk.rcv_nxt):
            sk.net.mib["TcpExt:TCPAbortOnData"] += 1
            refuse(sk, skb)
            tcp_reset(sk, skb, SkbDropReason.TCP_ABORT_ON_DATA)
            return
    pull_octets(skb, cb.doff)
    tcp_data_queue(sk, skb)
    _after_text(sk)


def _after_text(sk: "TcpSock") -> None:
    if sk.sk_state != TCP_CLOSE:
        tcp_data_snd_check(sk)
        tcp_ack_snd_check(sk)

"""Acknowledgements (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.10.7.4, RFC 5681, RFC 5961 §5)."""

from typing import TYPE_CHECKING

from ..core.timer import jiffies
from .inet_connection_sock_timer import inet_csk_clear_xmit_timer, inet_csk_reset_xmit_timer
from .tcp_cong import TCP_CA_CWR, TCP_CA_LOSS, TCP_CA_OPEN, TCP_CA_RECOVERY
from .tcp_defs import (
    ICSK_TIME_PROBE0,
    ICSK_TIME_REO_TIMEOUT,
    TCP_ECN_OK,
    TCP_NAGLE_OFF,
    TCP_RTO_MAX,
    TCPCB_EVER_RETRANS,
    TCPCB_LOST,
    TCPCB_SACKED_ACKED,
    TCPCB_SACKED_RETRANS,
    TCPHDR_ECE,
    TCPHDR_SYN,
    TcpSkbCb,
    after,
    before,
)
from .tcp_input_challenge import tcp_send_challenge_ack
from .tcp_input_mtup import tcp_mtup_probe_success
from .tcp_input_options import tcp_replace_ts_recent
from .tcp_input_recovery import tcp_cwnd_reduction, tcp_enter_cwr, tcp_fastretrans_alert
from .tcp_input_rtt import tcp_ack_update_rtt
from .tcp_input_sack import tcp_check_sack_reordering, tcp_sacktag_write_queue
from .tcp_output import tcp_current_mss
from .tcp_output_retrans import tcp_xmit_retransmit_queue
from .tcp_output_window import tcp_sync_mss, tcp_wnd_end
from .tcp_output_write import __tcp_push_pending_frames, tcp_set_skb_tso_segs, tcp_trim_head
from .tcp_recovery import tcp_rack_advance, tcp_rack_update_reo_wnd
from .tcp_state import tcp_skb_free
from .tcp_timer_arm import inet_csk_rto_backoff_probe, tcp_rearm_rto, tcp_schedule_loss_probe

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = ["TCP_ACK_TOO_OLD", "TCP_ACK_UNSENT", "AckState", "tcp_ack", "tcp_ack_update_window", "tcp_snd_una_update"]

# What tcp_ack() returns for an ACK that is not taken.
TCP_ACK_TOO_OLD = -1
TCP_ACK_UNSENT = -2


class AckState:
    """What is learned from one ACK on the way through (Linux: the ``FLAG_*`` and ``struct tcp_sacktag_state``).

    Members
    -------
    advanced, data_acked : bool
        It acknowledges something new; data.
    data_sacked, orig_sacked, dsacking : bool
        It has new blocks; of something that was not sent once more; one of something that came twice.
    dupacks : int
        1 for a duplicate ACK.
    window : bool
        It changes the window.
    has_data : bool
        The segment has data.
    ece : bool
        It tells of congestion.
    reord : int or None
        The lowest number that came out of order.
    rexmit, rexmit_new : bool
        What was lost is to be sent once more; new data in its place.
    sack_first_us, sack_last_us : int
        When the first and the last that the blocks cover were sent; -1: none.
    dsack_of_probe : bool
        What came twice was a probe of the tail.
    """

    __slots__ = (
        "advanced",
        "data_acked",
        "data_sacked",
        "dsack_of_probe",
        "dsacking",
        "dupacks",
        "ece",
        "has_data",
        "orig_sacked",
        "reord",
        "retrans_data_acked",
        "rexmit",
        "rexmit_new",
        "sack_first_us",
        "sack_last_us",
        "window",
    )

    def __init__(self) -> None:
        self.advanced = self.data_acked = self.data_sacked = self.orig_sacked = False
        self.dsacking = self.window = self.has_data = self.ece = self.rexmit = self.rexmit_new = False
        self.dsack_of_probe = self.retrans_data_acked = False
        self.dupacks = 0
        self.reord: int | None = None
        self.sack_first_us = self.sack_last_us = -1


def tcp_snd_una_update(sk: "TcpSock", ack: int) -> None:
    """Note what was acknowledged."""
    sk.bytes_acked += ack - sk.snd_una & 0xFFFFFFFF
    if not after(sk.snd_up, ack):
        sk.snd_up = ack  # The pointer of urgent data is behind.
    sk.snd_una = ack
    if before(sk.highest_sack, ack):
        sk.highest_sack = ack


def tcp_ack_update_window(sk: "TcpSock", skb: "SkBuff", ack: int, seq: int) -> bool:
    """Take the peer's window over from a segment that is newer than the last (RFC 9293 §3.10.7.4); return if it is."""
    window = skb.cb.window
    if not skb.cb.tcp_flags & TCPHDR_SYN:
        window <<= sk.rx_opt.snd_wscale
    other = window > sk.snd_wnd or not window  # One that only got smaller may be an old one.
    if not (after(ack, sk.snd_una) or after(seq, sk.snd_wl1) or (seq == sk.snd_wl1 and other)):
        return False
    sk.snd_wl1 = seq
    if sk.snd_wnd != window:
        sk.snd_wnd = window
        if window > sk.max_window:
            sk.max_window = window
            tcp_sync_mss(sk, sk.icsk_pmtu_cookie)
    return True


def _count_acked(sk: "TcpSock", cb: TcpSkbCb, seq: int, segs: int, state: AckState, prior_fack: int) -> None:
    """Count segments of a packet, which began at ``seq``, that are acknowledged for good."""
    sacked = cb.sacked
    if sacked & TCPCB_SACKED_RETRANS:
        sk.retrans_out -= segs
        state.retrans_data_acked = True
    elif sacked & TCPCB_EVER_RETRANS:
        state.retrans_data_acked = True
    elif not sacked & TCPCB_SACKED_ACKED:
        if not after(cb.end_seq, sk.high_seq):
            state.orig_sacked = True
        if before(seq, prior_fack):
            if state.reord is None or before(seq, state.reord):
                state.reord = seq
    if sacked & TCPCB_SACKED_ACKED:
        sk.sacked_out -= segs
    elif sk.rx_opt.sack_ok:
        sk.delivered += segs
        tcp_rack_advance(sk, sacked, cb.end_seq, cb.tx_us)
    if sacked & TCPCB_LOST:
        sk.lost_out -= segs
    sk.packets_out -= segs
    if cb.tcp_flags & TCPHDR_SYN:
        sk.retrans_stamp = 0
    else:
        state.data_acked = True


def tcp_tso_acked(sk: "TcpSock", skb: "SkBuff") -> int:
    """Take what was acknowledged off the front of a packet of several segments; return how many of these it was.

    It is cut at the ends of segments only, so that those keep their place; of one whose FIN lacks, the last one stays.
    """
    cb: TcpSkbCb = skb.cb
    if cb.segs == 1 or not after(sk.snd_una, cb.seq):
        return 0
    before_segs = cb.segs
    mss = skb.gso_size
    length = min(sk.snd_una - cb.seq & 0xFFFFFFFF, skb.len - 1) // mss * mss
    if not length:
        return 0
    try:
        tcp_trim_head(sk, skb, length)
    except OSError:
        return 0
    return before_segs - tcp_set_skb_tso_segs(skb, mss)


def tcp_clean_rtx_queue(sk: "TcpSock", state: AckState, prior_fack: int) -> bool:
    """Forget what was acknowledged, and learn from it; return whether the timer is to start anew."""
    queue = sk.tcp_rtx_queue
    first_us = last_us = ca_us = -1
    acked = 0
    now_us = sk.tcp_mstamp_us
    while queue:
        skb = queue[0]
        cb: TcpSkbCb = skb.cb
        seq = cb.seq
        fully_acked = not after(cb.end_seq, sk.snd_una)
        segs = cb.segs if fully_acked else tcp_tso_acked(sk, skb)
        if not segs:
            break
        _count_acked(sk, cb, seq, segs, state, prior_fack)
        acked += segs
        if not cb.sacked & (TCPCB_EVER_RETRANS | TCPCB_SACKED_ACKED):
            if first_us < 0:
                first_us = cb.tx_us
            last_us = cb.tx_us
        if not fully_acked:
            break
        queue.popleft()
        tcp_skb_free(sk, skb)
    seq_rtt_us = sack_rtt_us = -1
    if first_us >= 0 and not state.retrans_data_acked:
        seq_rtt_us = now_us - first_us
        ca_us = now_us - last_us
    if state.sack_first_us >= 0:
        sack_rtt_us = now_us - state.sack_first_us
        ca_us = now_us - state.sack_last_us
    rtt_us = tcp_ack_update_rtt(sk, acked > 0, seq_rtt_us, sack_rtt_us, ca_us)
    if acked:
        if sk.icsk_mtup_size and not after(sk.mtu_probe_end, sk.snd_una):
            tcp_mtup_probe_success(sk)
        if not sk.rx_opt.sack_ok:
            if state.retrans_data_acked:
                state.orig_sacked = False  # Which of them made it go on cannot be told.
            _remove_reno_sacks(sk, state, acked)
        elif state.reord is not None and not after(state.reord, sk.highest_sack):
            tcp_check_sack_reordering(sk, state.reord)
    if sk.ca_ops.pkts_acked is not None and (acked or state.data_sacked):
        sk.ca_ops.pkts_acked(sk, acked, rtt_us)
    return acked > 0


def _remove_reno_sacks(sk: "TcpSock", state: AckState, acked: int) -> None:
    """Take an ACK's packets off those that duplicate ACKs have counted as arrived."""
    sk.delivered += max(acked - sk.sacked_out, 1)
    if acked - 1 >= sk.sacked_out:
        sk.sacked_out = 0
    else:
        sk.sacked_out -= acked - 1
    sk.sacked_out = min(sk.sacked_out, max(sk.packets_out - sk.lost_out, 0))


def _ack_probe(sk: "TcpSock") -> None:
    """See what an ACK says about a window that is being probed (``tcp_ack_probe``)."""
    if not sk.sk_write_queue:
        return
    if not after(sk.sk_write_queue[0].cb.end_seq, tcp_wnd_end(sk)):
        sk.icsk_backoff = sk.icsk_probes_tstamp = 0
        inet_csk_clear_xmit_timer(sk)
    else:
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_PROBE0, inet_csk_rto_backoff_probe(sk, TCP_RTO_MAX))


def tcp_process_tlp_ack(sk: "TcpSock", ack: int, state: AckState) -> None:
    """See what became of a probe of the tail (RFC 8985 §7.4): if it repaired a loss, the window goes down."""
    if before(ack, sk.tlp_high_seq):
        return
    if not sk.tlp_retrans or state.dsack_of_probe:
        sk.tlp_high_seq = 0  # It was new data, or not needed.
    elif after(ack, sk.tlp_high_seq):
        sk.tlp_high_seq = 0
        _recover_by_probe(sk)
    elif not (state.data_sacked or state.advanced or state.window) and not state.has_data:
        sk.tlp_high_seq = 0  # Both arrived: this is the ACK of the second.
    elif state.advanced and ack == sk.tlp_high_seq and sk.rx_opt.saw_tstamp and not state.orig_sacked:
        sk.tlp_high_seq = 0
        _recover_by_probe(sk)


def _recover_by_probe(sk: "TcpSock") -> None:
    if sk.icsk_ca_state not in (TCP_CA_OPEN, TCP_CA_CWR):
        return
    tcp_enter_cwr(sk)
    sk.net.mib["TcpExt:TCPLossProbeRecovery"] += 1


def tcp_xmit_recovery(sk: "TcpSock", state: AckState) -> None:
    """Send what an ACK made it possible to send: new data, to find out about a timeout, or what was lost."""
    if state.rexmit_new:
        __tcp_push_pending_frames(sk, tcp_current_mss(sk), TCP_NAGLE_OFF)
        if after(sk.snd_nxt, sk.high_seq):
            return
        sk.frto = False
    if state.rexmit or state.rexmit_new:
        tcp_xmit_retransmit_queue(sk)


def tcp_ack(
    sk: "TcpSock", skb: "SkBuff", *, slowpath: bool = True, update_ts: bool = False, challenge: bool = True
) -> int:
    """Look at the acknowledgement of a segment.

    Parameters
    ----------
    sk, skb : TcpSock, SkBuff
        The connection and the segment.
    slowpath : bool
        It may have more to it than acknowledging everything anew.
    update_ts : bool
        Its time stamp may be the one to echo.
    challenge : bool
        One that is much too old is answered.

    Returns
    -------
    int
        1; 0 if it is old; ``TCP_ACK_TOO_OLD``, ``TCP_ACK_UNSENT``.
    """
    cb: TcpSkbCb = skb.cb
    ack = cb.ack_seq
    prior_una = sk.snd_una
    mib = sk.net.mib
    state = AckState()
    if before(ack, prior_una):
        if before(ack, prior_una - max(sk.max_window, 1) & 0xFFFFFFFF):
            if challenge:  # RFC 5961 §5.2.
                tcp_send_challenge_ack(sk)
            return TCP_ACK_TOO_OLD
        if sk.rx_opt.sacks:
            _old_ack(sk, ack, state)
        return 0
    if after(ack, sk.snd_nxt):
        return TCP_ACK_UNSENT
    prior_packets = sk.packets_out
    prior_delivered = sk.delivered
    prior_lost = sk.lost_out
    prior_fack = sk.highest_sack if sk.sacked_out and sk.rx_opt.sack_ok else prior_una
    state.advanced = after(ack, prior_una)
    if state.advanced:
        sk.icsk_retransmits = 0
    if update_ts:
        tcp_replace_ts_recent(sk, cb.seq)
    state.has_data = cb.seq != cb.end_seq
    if not slowpath and state.advanced:
        sk.snd_wl1 = cb.seq
        tcp_snd_una_update(sk, ack)
        state.window = True
        mib["TcpExt:TCPHPAcks"] += 1
    else:
        if not state.has_data:
            mib["TcpExt:TCPPureAcks"] += 1
        state.window = tcp_ack_update_window(sk, skb, ack, cb.seq)
        if state.advanced:
            tcp_snd_una_update(sk, ack)
        if sk.rx_opt.sacks:
            tcp_sacktag_write_queue(sk, ack, state)
        if cb.tcp_flags & TCPHDR_ECE and not cb.tcp_flags & TCPHDR_SYN and sk.ecn_flags & TCP_ECN_OK:
            state.ece = True
    sk.icsk_probes_out = 0
    sk.rcv_tstamp = jiffies(sk.kernel)
    if not prior_packets:
        if state.dsacking:
            tcp_fastretrans_alert(sk, state)
        _ack_probe(sk)
        if sk.tlp_high_seq:
            tcp_process_tlp_ack(sk, ack, state)
        return 1
    restart = tcp_clean_rtx_queue(sk, state, prior_fack)
    if sk.rx_opt.sack_ok:
        tcp_rack_update_reo_wnd(sk, prior_delivered)
    if sk.tlp_high_seq:
        tcp_process_tlp_ack(sk, ack, state)
    same = not state.advanced and not state.window and not state.has_data
    if same and ack == sk.snd_una and sk.packets_out and not state.dsacking:
        state.dupacks = 1
    dubious = same or state.data_sacked or state.ece or sk.icsk_ca_state != TCP_CA_OPEN
    if dubious:
        tcp_fastretrans_alert(sk, state)
    if restart and sk.icsk_pending != ICSK_TIME_REO_TIMEOUT:
        # The probe's timer if it can be, else that of retransmission.
        if not tcp_schedule_loss_probe(sk, True):
            tcp_rearm_rto(sk)
    delivered = sk.delivered - prior_delivered
    mib["TcpExt:TCPDelivered"] += delivered
    if state.ece:
        mib["TcpExt:TCPDeliveredCE"] += delivered
    _cong_control(sk, state, delivered, max(sk.lost_out - prior_lost, 0))
    tcp_xmit_recovery(sk, state)
    return 1


def _old_ack(sk: "TcpSock", ack: int, state: AckState) -> None:
    """Take from an ACK that came late only what its blocks say."""
    prior = sk.delivered
    tcp_sacktag_write_queue(sk, ack, state)
    tcp_fastretrans_alert(sk, state)
    sk.net.mib["TcpExt:TCPDelivered"] += sk.delivered - prior
    tcp_xmit_recovery(sk, state)


def _cong_control(sk: "TcpSock", state: AckState, delivered: int, lost: int) -> None:
    """Open or close the window as the state wants it (``tcp_cong_control``)."""
    if sk.icsk_ca_state in (TCP_CA_CWR, TCP_CA_RECOVERY):
        tcp_cwnd_reduction(sk, delivered, lost, state.advanced)
        return
    # After a timeout by what is acknowledged only; in disorder while packets come out of order anyhow.
    if sk.reordering > sk.net.ipv4.sysctl_tcp_reordering:
        opens = state.advanced or state.data_sacked
    else:
        opens = state.data_acked
    if opens and (not state.ece or sk.icsk_ca_state == TCP_CA_LOSS):
        sk.ca_ops.cong_avoid(sk, delivered)

"""States of a sender in trouble: recovery, loss, undoing (Linux: net/ipv4/tcp_input.c; RFC 5681, 6937, 6582, 5682)."""

from typing import TYPE_CHECKING

from .tcp_cong import (
    CA_EVENT_LOSS,
    TCP_CA_CWR,
    TCP_CA_DISORDER,
    TCP_CA_LOSS,
    TCP_CA_OPEN,
    TCP_CA_RECOVERY,
    tcp_set_ca_state,
)
from .tcp_defs import (
    TCP_ECN_OK,
    TCP_ECN_QUEUE_CWR,
    TCPCB_EVER_RETRANS,
    TCPCB_LOST,
    TCPCB_SACKED_ACKED,
    TCPCB_SACKED_RETRANS,
    after,
    before,
)
from .tcp_input_mtup import tcp_mtup_probe_failed
from .tcp_output_retrans import tcp_simple_retransmit
from .tcp_output_window import tcp_wnd_end
from .tcp_output_write import tcp_current_ssthresh, tcp_packets_in_flight
from .tcp_recovery import tcp_mark_skb_lost, tcp_newreno_mark_lost, tcp_rack_mark_lost

if TYPE_CHECKING:
    from .tcp_input_ack import AckState
    from .tcp_sock import TcpSock

__all__ = [
    "tcp_cwnd_reduction",
    "tcp_enter_cwr",
    "tcp_enter_loss",
    "tcp_enter_recovery",
    "tcp_enter_simple_recovery",
    "tcp_fastretrans_alert",
    "tcp_identify_packet_loss",
    "tcp_timeout_mark_lost",
]

_INFINITE = 0x7FFFFFFF


def tcp_init_undo(sk: "TcpSock") -> None:
    """Note where a recovery begins, in case it turns out as unneeded."""
    sk.undo_marker = sk.snd_una
    sk.undo_retrans = sk.retrans_out or -1


def tcp_init_cwnd_reduction(sk: "TcpSock") -> None:
    """Begin to bring the window down to the threshold in proportion to what arrives (RFC 6937 §3)."""
    sk.high_seq = sk.snd_nxt
    sk.tlp_high_seq = 0
    sk.snd_cwnd_cnt = 0
    sk.prior_cwnd = sk.snd_cwnd
    sk.prr_delivered = sk.prr_out = 0
    sk.snd_ssthresh = sk.ca_ops.ssthresh(sk)
    if sk.ecn_flags & TCP_ECN_OK:
        sk.ecn_flags |= TCP_ECN_QUEUE_CWR


def tcp_cwnd_reduction(sk: "TcpSock", newly_acked: int, newly_lost: int, advanced: bool) -> None:
    """Set the window so that no more goes out than arrives, until it is at the threshold (RFC 6937 §3.1)."""
    if newly_acked <= 0 or not sk.prior_cwnd:
        return
    in_flight = tcp_packets_in_flight(sk)
    delta = sk.snd_ssthresh - in_flight
    sk.prr_delivered += newly_acked
    if delta < 0:
        count = -(-sk.snd_ssthresh * sk.prr_delivered // sk.prior_cwnd) - sk.prr_out
    else:
        count = max(sk.prr_delivered - sk.prr_out, newly_acked)
        if advanced and not newly_lost:
            count += 1
        count = min(delta, count)
    sk.snd_cwnd = in_flight + max(count, 0 if sk.prr_out else 1)


def tcp_end_cwnd_reduction(sk: "TcpSock") -> None:
    """End that: the window is the threshold now."""
    if sk.snd_ssthresh < _INFINITE and (sk.icsk_ca_state == TCP_CA_CWR or sk.undo_marker):
        sk.snd_cwnd = sk.snd_ssthresh


def tcp_enter_cwr(sk: "TcpSock") -> None:
    """Bring the window down, since congestion was notified of, by the network or by a queue of this host."""
    sk.prior_ssthresh = 0
    if sk.icsk_ca_state < TCP_CA_CWR:
        sk.undo_marker = 0
        tcp_init_cwnd_reduction(sk)
        tcp_set_ca_state(sk, TCP_CA_CWR)


def tcp_enter_recovery(sk: "TcpSock", ece: bool) -> None:
    """Begin to send once more what was lost, before any timeout (RFC 5681 §3.2, RFC 6675)."""
    sk.net.mib["TcpExt:TCPSackRecovery" if sk.rx_opt.sack_ok else "TcpExt:TCPRenoRecovery"] += 1
    sk.prior_ssthresh = 0
    tcp_init_undo(sk)
    if sk.icsk_ca_state not in (TCP_CA_CWR, TCP_CA_RECOVERY):
        if not ece:
            sk.prior_ssthresh = tcp_current_ssthresh(sk)
        tcp_init_cwnd_reduction(sk)
    tcp_set_ca_state(sk, TCP_CA_RECOVERY)


def tcp_enter_simple_recovery(sk: "TcpSock") -> None:
    """Send once more what was too long for the way: neither the window nor the threshold goes down."""
    sk.high_seq = sk.snd_nxt
    sk.snd_ssthresh = tcp_current_ssthresh(sk)
    sk.prior_ssthresh = sk.undo_marker = 0
    tcp_set_ca_state(sk, TCP_CA_LOSS)


def tcp_timeout_mark_lost(sk: "TcpSock") -> None:
    """Count as lost all that the peer does not have."""
    head = sk.tcp_rtx_queue[0] if sk.tcp_rtx_queue else None
    if head is not None and head.cb.sacked & TCPCB_SACKED_ACKED:
        # It said that it had the oldest, and does not acknowledge it (RFC 2018 §8): nothing that it said counts.
        sk.net.mib["TcpExt:TCPSACKReneging"] += 1
        for skb in sk.tcp_rtx_queue:
            skb.cb.sacked &= ~TCPCB_SACKED_ACKED
        sk.sacked_out = 0
    elif not sk.rx_opt.sack_ok:
        sk.sacked_out = 0
    for skb in sk.tcp_rtx_queue:
        tcp_mark_skb_lost(sk, skb)


def tcp_enter_loss(sk: "TcpSock") -> None:
    """Begin anew with one packet, since the timer of retransmission ended (RFC 5681 §3.1, equation 4)."""
    fresh = sk.icsk_ca_state < TCP_CA_RECOVERY
    tcp_timeout_mark_lost(sk)
    if (
        sk.icsk_ca_state <= TCP_CA_DISORDER
        or not after(sk.high_seq, sk.snd_una)
        or (sk.icsk_ca_state == TCP_CA_LOSS and not sk.icsk_retransmits)
    ):
        sk.prior_ssthresh = tcp_current_ssthresh(sk)
        sk.prior_cwnd = sk.snd_cwnd
        sk.snd_ssthresh = sk.ca_ops.ssthresh(sk)
        if sk.ca_ops.cwnd_event is not None:
            sk.ca_ops.cwnd_event(sk, CA_EVENT_LOSS)
        tcp_init_undo(sk)
    sk.snd_cwnd = tcp_packets_in_flight(sk) + 1
    sk.snd_cwnd_cnt = 0
    # Timeouts one after another tell that packets are not only late.
    if sk.icsk_ca_state <= TCP_CA_DISORDER and sk.sacked_out >= sk.net.ipv4.sysctl_tcp_reordering:
        sk.reordering = min(sk.reordering, sk.net.ipv4.sysctl_tcp_reordering)
    tcp_set_ca_state(sk, TCP_CA_LOSS)
    sk.high_seq = sk.snd_nxt
    if sk.ecn_flags & TCP_ECN_OK:
        sk.ecn_flags |= TCP_ECN_QUEUE_CWR
    sk.tlp_high_seq = 0
    # RFC 5682 §2.1: of the first timeout it is found out whether it was needed.
    sk.frto = bool(sk.net.ipv4.sysctl_tcp_frto) and (fresh or sk.icsk_retransmits > 0)


def _packet_delayed(sk: "TcpSock") -> bool:
    """Return whether the ACK was of the packet itself, not of what was sent once more: by its time stamp (RFC 3522)."""
    opt = sk.rx_opt
    if not sk.retrans_stamp or not opt.saw_tstamp or not opt.rcv_tsecr:
        return False
    return before(opt.rcv_tsecr, sk.retrans_stamp // 1000 & 0xFFFFFFFF)


def _may_undo(sk: "TcpSock") -> bool:
    return sk.undo_marker != 0 and (not sk.undo_retrans or _packet_delayed(sk))


def tcp_undo_cwnd_reduction(sk: "TcpSock", *, unmark_loss: bool) -> None:
    """Give the window back that was taken in vain."""
    if unmark_loss:
        for skb in sk.tcp_rtx_queue:
            skb.cb.sacked &= ~TCPCB_LOST
        sk.lost_out = 0
    if sk.prior_ssthresh:
        sk.snd_cwnd = sk.ca_ops.undo_cwnd(sk)
        if sk.prior_ssthresh > sk.snd_ssthresh:
            sk.snd_ssthresh = sk.prior_ssthresh
            sk.ecn_flags &= ~TCP_ECN_QUEUE_CWR
    sk.undo_marker = 0
    sk.rack_advanced = True


def tcp_try_undo_recovery(sk: "TcpSock") -> bool:
    """Undo a recovery if it was not needed, and end it; return whether it has to go on a little (RFC 6582 §3.2)."""
    if _may_undo(sk):
        in_loss = sk.icsk_ca_state == TCP_CA_LOSS
        tcp_undo_cwnd_reduction(sk, unmark_loss=False)
        sk.net.mib["TcpExt:TCPLossUndo" if in_loss else "TcpExt:TCPFullUndo"] += 1
    elif sk.rack_reo_wnd_persist:
        sk.rack_reo_wnd_persist -= 1
    if sk.snd_una == sk.high_seq and not sk.rx_opt.sack_ok:
        # Duplicate ACKs of what was before must not begin a second recovery.
        if not sk.retrans_out:
            sk.retrans_stamp = 0
        return True
    tcp_set_ca_state(sk, TCP_CA_OPEN)
    return False


def tcp_try_undo_dsack(sk: "TcpSock") -> bool:
    """Undo a recovery of which the peer has received each packet twice."""
    if sk.undo_marker and not sk.undo_retrans:
        sk.rack_reo_wnd_persist = min(16, sk.rack_reo_wnd_persist + 1)
        sk.net.mib["TcpExt:TCPDSACKUndo"] += 1
        tcp_undo_cwnd_reduction(sk, unmark_loss=False)
        return True
    return False


def tcp_try_undo_loss(sk: "TcpSock", frto_undo: bool) -> bool:
    """Undo a timeout that was too early; return whether it was."""
    if not frto_undo and not _may_undo(sk):
        return False
    tcp_undo_cwnd_reduction(sk, unmark_loss=True)
    mib = sk.net.mib
    mib["TcpExt:TCPLossUndo"] += 1
    if frto_undo:
        mib["TcpExt:TCPSpuriousRTOs"] += 1
    sk.icsk_retransmits = 0
    if frto_undo or sk.rx_opt.sack_ok:
        tcp_set_ca_state(sk, TCP_CA_OPEN)
    return True


def tcp_try_undo_partial(sk: "TcpSock") -> bool:
    """Undo a recovery by a partial ACK that is of the packet itself; return whether nothing is to be sent."""
    if sk.undo_marker and _packet_delayed(sk):
        if sk.retrans_out:
            return True
        tcp_undo_cwnd_reduction(sk, unmark_loss=True)
        sk.net.mib["TcpExt:TCPPartialUndo"] += 1
        tcp_try_keep_open(sk)
        return True
    return False


def tcp_any_retrans_done(sk: "TcpSock") -> bool:
    """Return whether something was sent once more that is not acknowledged yet."""
    if sk.retrans_out:
        return True
    return bool(sk.tcp_rtx_queue and sk.tcp_rtx_queue[0].cb.sacked & (TCPCB_SACKED_RETRANS | TCPCB_EVER_RETRANS))


def tcp_try_keep_open(sk: "TcpSock") -> None:
    """Return to the usual state, or to one of disorder while something is missing."""
    state = TCP_CA_DISORDER if sk.sacked_out + sk.lost_out or tcp_any_retrans_done(sk) else TCP_CA_OPEN
    if sk.icsk_ca_state != state:
        tcp_set_ca_state(sk, state)
        sk.high_seq = sk.snd_nxt


def tcp_add_reno_sack(sk: "TcpSock", count: int) -> None:
    """Count a duplicate ACK as a packet that arrived, of a peer that says no more (RFC 5681 §3.2)."""
    if count:
        before_out = sk.sacked_out
        sk.sacked_out = min(sk.sacked_out + count, max(sk.packets_out - sk.lost_out, 0))
        sk.delivered += max(sk.sacked_out - before_out, 0)


def tcp_identify_packet_loss(sk: "TcpSock", advanced: bool) -> None:
    """Find out what was lost: by time, or by duplicate ACKs of a peer without SACK."""
    if not sk.tcp_rtx_queue:
        return
    if sk.rx_opt.sack_ok:
        tcp_rack_mark_lost(sk)
    else:
        tcp_newreno_mark_lost(sk, advanced)


def tcp_process_loss(sk: "TcpSock", state: "AckState") -> None:
    """Go on after a timeout, which may have been too early (F-RTO, RFC 5682 §3)."""
    recovered = not before(sk.snd_una, sk.high_seq)
    if state.advanced and tcp_try_undo_loss(sk, False):
        return
    if sk.frto:
        # Something arrived that was not sent once more: nothing was lost then.
        if state.orig_sacked and tcp_try_undo_loss(sk, True):
            return
        if after(sk.snd_nxt, sk.high_seq):
            if state.data_sacked or state.dupacks:
                sk.frto = False
        elif state.advanced and not recovered:
            sk.high_seq = sk.snd_nxt
            # Step 2b: new data shows which it was, if there is some and it may go.
            if sk.sk_write_queue and after(tcp_wnd_end(sk), sk.snd_nxt):
                state.rexmit_new = True
                return
            sk.frto = False
    if recovered:
        tcp_try_undo_recovery(sk)
        return
    if not sk.rx_opt.sack_ok:
        if after(sk.snd_nxt, sk.high_seq) and state.dupacks:
            tcp_add_reno_sack(sk, state.dupacks)
        elif state.advanced:
            sk.sacked_out = 0
    state.rexmit = True


def tcp_fastretrans_alert(sk: "TcpSock", state: "AckState") -> None:
    """Look at an ACK that says something unusual, and change the state of the sender by it."""
    sack_ok = sk.rx_opt.sack_ok
    if not sk.packets_out and sk.sacked_out:
        sk.sacked_out = 0
    if state.ece:
        sk.prior_ssthresh = 0
    ca = sk.icsk_ca_state
    if ca == TCP_CA_OPEN:
        sk.retrans_stamp = 0
    elif not before(sk.snd_una, sk.high_seq):
        if ca == TCP_CA_CWR:
            if sk.snd_una != sk.high_seq:
                tcp_end_cwnd_reduction(sk)
                tcp_set_ca_state(sk, TCP_CA_OPEN)
        elif ca == TCP_CA_RECOVERY:
            if not sack_ok:
                sk.sacked_out = 0
            if tcp_try_undo_recovery(sk):
                return
            tcp_end_cwnd_reduction(sk)
    ca = sk.icsk_ca_state
    if ca == TCP_CA_RECOVERY:
        if not state.advanced:
            if not sack_ok:
                tcp_add_reno_sack(sk, state.dupacks)
        elif tcp_try_undo_partial(sk):
            return
        if tcp_try_undo_dsack(sk):
            tcp_try_keep_open(sk)
        tcp_identify_packet_loss(sk, state.advanced)
        state.rexmit = True
        return
    if ca == TCP_CA_LOSS:
        tcp_process_loss(sk, state)
        if sk.icsk_ca_state != TCP_CA_LOSS:
            tcp_try_keep_open(sk)
        else:
            tcp_identify_packet_loss(sk, state.advanced)
        return
    if not sack_ok:
        if state.advanced:
            sk.sacked_out = 0
        tcp_add_reno_sack(sk, state.dupacks)
    if ca <= TCP_CA_DISORDER:
        tcp_try_undo_dsack(sk)
    tcp_identify_packet_loss(sk, state.advanced)
    if not sk.lost_out:
        if state.ece:
            tcp_enter_cwr(sk)
        if sk.icsk_ca_state != TCP_CA_CWR:
            if not sk.retrans_out:
                sk.retrans_stamp = 0
            tcp_try_keep_open(sk)
        return
    if sk.icsk_ca_state < TCP_CA_CWR and sk.icsk_mtup_size and sk.snd_una == sk.mtu_probe_start:
        # A packet was lost because it was long: that says nothing of congestion.
        tcp_mtup_probe_failed(sk)
        sk.snd_cwnd += 1
        tcp_simple_retransmit(sk)
        return
    tcp_enter_recovery(sk, state.ece)
    state.rexmit = True

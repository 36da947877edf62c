"""Segments of a connection that is made (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.10.7.4, RFC 5961, RFC 7323 §5)."""

from errno import ECONNREFUSED, ECONNRESET, EPIPE
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..core.skbuff_csum import skb_checksum_complete
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_SYN_SENT,
    TCPF_CLOSE_WAIT,
    TCPF_CLOSING,
    TCPF_LAST_ACK,
)
from .tcp_defs import (
    ICSK_ACK_NOW,
    ICSK_ACK_SCHED,
    TCPHDR_ACK,
    TCPHDR_PSH,
    TCPHDR_RST,
    TCPHDR_SYN,
    TcpSkbCb,
    after,
    before,
)
from .tcp_input_ack import TCP_ACK_TOO_OLD, TCP_ACK_UNSENT, tcp_ack
from .tcp_input_challenge import tcp_oow_rate_limited, tcp_send_challenge_ack
from .tcp_input_data import (
    pull_octets,
    tcp_data_queue,
    tcp_data_ready,
    tcp_event_data_recv,
    tcp_in_quickack_mode,
    tcp_queue_rcv,
    tcp_send_dupack,
)
from .tcp_input_options import tcp_fast_parse_options, tcp_paws_discard, tcp_store_ts_recent
from .tcp_input_rtt import tcp_rcv_rtt_measure_ts
from .tcp_input_urg import tcp_urg
from .tcp_ipv4 import inet_sk_rx_dst_set
from .tcp_output import tcp_check_space, tcp_mstamp_refresh
from .tcp_output_ack import tcp_send_ack, tcp_send_delayed_ack
from .tcp_output_window import __tcp_select_window, tcp_receive_window
from .tcp_output_write import tcp_push_pending_frames
from .tcp_state import tcp_done_with_error

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = [
    "__tcp_ack_snd_check",
    "tcp_ack_snd_check",
    "tcp_data_snd_check",
    "tcp_drop_ack",
    "tcp_rcv_established",
    "tcp_reset",
    "tcp_sequence",
    "tcp_validate_incoming",
]

# States in which the peer's FIN has come.
_AFTER_FIN = TCPF_CLOSE_WAIT | TCPF_LAST_ACK | TCPF_CLOSING
_PLAIN = TCPHDR_ACK | TCPHDR_PSH  # What the usual segment has at most.


def tcp_reset(sk: "TcpSock", skb: "SkBuff", reason: SkbDropReason = SkbDropReason.TCP_RESET) -> None:
    """End a connection because of an RST (RFC 9293 §3.10.7.4, second check), or of what has to be answered with one."""
    kfree_skb_reason(skb, reason)
    state = sk.sk_state
    if state == TCP_SYN_SENT:
        error = ECONNREFUSED
    elif state == TCP_CLOSE_WAIT:
        error = EPIPE
    elif state == TCP_CLOSE:
        return
    else:
        error = ECONNRESET
    tcp_done_with_error(sk, error)


def tcp_sequence(sk: "TcpSock", seq: int, end_seq: int) -> SkbDropReason | None:
    """Return why a segment is not acceptable, None if it is (RFC 9293 §3.10.7.4, first check)."""
    if before(end_seq, sk.rcv_wup):
        return SkbDropReason.TCP_OLD_DATA
    if after(seq, sk.rcv_nxt + tcp_receive_window(sk) & 0xFFFFFFFF):
        return SkbDropReason.TCP_INVALID_SEQUENCE
    return None


def _disordered_ack(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Return whether a segment with an old time stamp is only an ACK that was overtaken (RFC 7323 §5.3)."""
    cb: TcpSkbCb = skb.cb
    opt = sk.rx_opt
    return (
        bool(cb.tcp_flags & TCPHDR_ACK)
        and cb.seq == cb.end_seq == sk.rcv_nxt
        and cb.ack_seq == sk.snd_una
        and (opt.ts_recent - opt.rcv_tsval & 0xFFFFFFFF) <= sk.icsk_rto * 4
    )


def _send_dupack(sk: "TcpSock", skb: "SkBuff", counter: str) -> None:
    """Answer a segment that cannot be taken: data always, others not too often."""
    cb: TcpSkbCb = skb.cb
    if cb.seq == cb.end_seq or cb.tcp_flags & TCPHDR_SYN:
        if tcp_oow_rate_limited(sk.net, sk.last_oow_ack_us, counter):
            return
        sk.last_oow_ack_us = sk.kernel.now_ns() // 1000
    tcp_send_dupack(sk, skb)


def tcp_validate_incoming(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Make the first checks: time stamp, sequence number, RST, SYN; return whether to go on, else it is consumed.

    RFC 5961: an RST counts only with exactly the number that is expected next (or the end of what came early, or of
    a FIN); a SYN not at all.
    """
    cb: TcpSkbCb = skb.cb
    flags = cb.tcp_flags
    mib = sk.net.mib
    saw_tstamp = tcp_fast_parse_options(sk, skb)
    if saw_tstamp and tcp_paws_discard(sk.net, sk.rx_opt) and not _disordered_ack(sk, skb):
        if not flags & TCPHDR_RST:
            mib["TcpExt:PAWSEstab"] += 1
            _send_dupack(sk, skb, "PAWS")
            kfree_skb_reason(skb, SkbDropReason.TCP_RFC7323_PAWS)
            return False
    reason = tcp_sequence(sk, cb.seq, cb.end_seq)
    if reason is not None:
        if flags & TCPHDR_RST:
            if _resets_after_fin(sk, cb):
                tcp_reset(sk, skb)
                return False
        elif flags & TCPHDR_SYN:
            _syn_challenge(sk, skb)
            return False
        else:
            if reason == SkbDropReason.TCP_INVALID_SEQUENCE:
                mib["TcpExt:BeyondWindow"] += 1
            _send_dupack(sk, skb, "Seq")
        kfree_skb_reason(skb, reason)
        return False
    if flags & TCPHDR_RST:
        exact = cb.seq == sk.rcv_nxt or _resets_after_fin(sk, cb)
        if not exact and sk.rx_opt.sack_ok and sk.selective_acks:
            highest = sk.selective_acks[0][1]
            for _, end in sk.selective_acks[1:]:
                highest = end if after(end, highest) else highest
            exact = cb.seq == highest
        if exact:
            tcp_reset(sk, skb)
        else:
            tcp_send_challenge_ack(sk)
            kfree_skb_reason(skb, SkbDropReason.TCP_RESET)
        return False
    if flags & TCPHDR_SYN:
        _syn_challenge(sk, skb)
        return False
    return True


def _resets_after_fin(sk: "TcpSock", cb: TcpSkbCb) -> bool:
    """Return whether an RST has the number of the peer's FIN, after which some peers send it so."""
    return cb.seq == sk.rcv_nxt - 1 & 0xFFFFFFFF and 1 << sk.sk_state & _AFTER_FIN != 0


def _syn_challenge(sk: "TcpSock", skb: "SkBuff") -> None:
    """Answer a SYN within a connection (RFC 5961 §4.2): a peer that was started anew resets it then."""
    sk.net.mib["TcpExt:TCPSYNChallenge"] += 1
    sk.net.mib["Tcp:InErrs"] += 1
    tcp_send_challenge_ack(sk)
    kfree_skb_reason(skb, SkbDropReason.TCP_INVALID_SYN)


def __tcp_ack_snd_check(sk: "TcpSock", ofo_possible: bool) -> None:
    """Acknowledge now or later: two full segments at the latest (RFC 9293 §3.8.6.3, RFC 5681 §4.2)."""
    unacked = sk.rcv_nxt - sk.rcv_wup & 0xFFFFFFFF
    if unacked > sk.ack_rcv_mss and (
        # Only if the window goes on, too; or the program has as much as it wants.
        sk.rcv_nxt - sk.copied_seq & 0xFFFFFFFF < sk.sk_rcvlowat or __tcp_select_window(sk) >= sk.rcv_wnd
    ):
        tcp_send_ack(sk)
    elif tcp_in_quickack_mode(sk) or sk.ack_pending & ICSK_ACK_NOW:
        tcp_send_ack(sk)
    elif not ofo_possible or not sk.out_of_order_queue:
        tcp_send_delayed_ack(sk)
    else:
        tcp_send_ack(sk)


def tcp_ack_snd_check(sk: "TcpSock") -> None:
    """Acknowledge if something is to be."""
    if sk.ack_pending & ICSK_ACK_SCHED:
        __tcp_ack_snd_check(sk, True)


def tcp_data_snd_check(sk: "TcpSock") -> None:
    """Send what the ACK made room for, and wake who waits for room."""
    tcp_push_pending_frames(sk)
    tcp_check_space(sk)


def tcp_drop_ack(sk: "TcpSock", skb: "SkBuff", result: int) -> None:
    """Drop a segment whose acknowledgement is not acceptable; one of what was never sent is answered."""
    if result == TCP_ACK_UNSENT:
        _send_dupack(sk, skb, "Challenge")
    reason = SkbDropReason.TCP_TOO_OLD_ACK if result == TCP_ACK_TOO_OLD else SkbDropReason.TCP_ACK_UNSENT_DATA
    kfree_skb_reason(skb, reason)


def tcp_rcv_established(sk: "TcpSock", skb: "SkBuff") -> None:
    """Receive a segment of a connection in ESTABLISHED; it is consumed.

    Nearly all have the number that is expected, no flags but ACK and PSH, and a window that did not change: they
    are seen to in few steps (Van Jacobson's header prediction).
    """
    tcp_mstamp_refresh(sk)
    if sk.sk_rx_dst is None:
        rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
        inet_sk_rx_dst_set(sk, skb, rt)
    cb: TcpSkbCb = skb.cb
    if (
        not cb.tcp_flags & ~_PLAIN
        and cb.tcp_flags & TCPHDR_ACK
        and cb.seq == sk.rcv_nxt
        # An older one takes the other way, where RFC 5961 §5.2 is seen to; Linux takes its data in any case.
        and cb.ack_seq - sk.snd_una & 0xFFFFFFFF <= sk.snd_nxt - sk.snd_una & 0xFFFFFFFF
        and cb.window << sk.rx_opt.snd_wscale == sk.snd_wnd
        and not sk.out_of_order_queue
        and not sk.urg_data
        and cb.doff == sk.tcp_header_len
    ):
        found = _fast(sk, skb)
        if found == _DONE:
            return
        if found == _VALID:
            _step5(sk, skb)
            return
    if skb_checksum_complete(skb):
        _csum_error(sk, skb)
        return
    if not cb.tcp_flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN):
        kfree_skb_reason(skb, SkbDropReason.TCP_FLAGS)
        return
    if tcp_validate_incoming(sk, skb):
        _step5(sk, skb)


def _step5(sk: "TcpSock", skb: "SkBuff") -> None:
    """Receive a segment that is acceptable, from the fifth check of RFC 9293 §3.10.7.4 on."""
    cb: TcpSkbCb = skb.cb
    result = tcp_ack(sk, skb, update_ts=True)
    if result < 0:
        tcp_drop_ack(sk, skb, result)
        return
    tcp_rcv_rtt_measure_ts(sk, skb)
    tcp_urg(sk, skb)
    pull_octets(skb, cb.doff)
    tcp_data_queue(sk, skb)
    if sk.sk_state == TCP_CLOSE:
        return
    tcp_data_snd_check(sk)
    tcp_ack_snd_check(sk)


def _csum_error(sk: "TcpSock", skb: "SkBuff") -> None:
    sk.net.mib["Tcp:InCsumErrors"] += 1
    sk.net.mib["Tcp:InErrs"] += 1
    kfree_skb_reason(skb, SkbDropReason.TCP_CSUM)


# What _fast() finds: nothing was done; the same, but the segment is acceptable; it was received.
_UNEXPECTED, _VALID, _DONE = range(3)


def _fast(sk: "TcpSock", skb: "SkBuff") -> int:
    """Receive a segment that is as expected; if it is not after all, or there is no memory for it yet, say so."""
    cb: TcpSkbCb = skb.cb
    opt = sk.rx_opt
    if opt.tstamp_ok:
        if not tcp_fast_parse_options(sk, skb) or opt.sacks:
            return _UNEXPECTED
        # PAWS: an old one takes the other way.
        if opt.rcv_tsval - opt.ts_recent & 0xFFFFFFFF > 0x7FFFFFFF:
            return _UNEXPECTED
    else:
        opt.saw_tstamp = False
        opt.sacks = []
    mib = sk.net.mib
    length = skb.len - cb.doff
    if not length:
        if sk.packets_out and not after(cb.ack_seq, sk.snd_una):
            return _UNEXPECTED  # A duplicate ACK.
        if skb_checksum_complete(skb):
            _csum_error(sk, skb)
            return _DONE
        if opt.tstamp_ok and sk.rcv_nxt == sk.rcv_wup:
            tcp_store_ts_recent(sk)
        tcp_ack(sk, skb, slowpath=False)
        kfree_skb_reason(skb, SkbDropReason.CONSUMED)
        tcp_data_snd_check(sk)
        return _DONE
    if skb_checksum_complete(skb):
        _csum_error(sk, skb)
        return _DONE
    if length > tcp_receive_window(sk):
        return _UNEXPECTED
    if skb.truesize > sk.sk_forward_alloc or sk.sk_rmem_alloc > sk.sk_rcvbuf:
        return _VALID
    if opt.tstamp_ok and sk.rcv_nxt == sk.rcv_wup:
        tcp_store_ts_recent(sk)
    tcp_rcv_rtt_measure_ts(sk, skb)
    mib["TcpExt:TCPHPHits"] += 1
    sk.duplicate_sack = None
    pull_octets(skb, cb.doff)
    tcp_queue_rcv(sk, skb)
    tcp_event_data_recv(sk, skb)
    if cb.ack_seq != sk.snd_una:
        # It acknowledges as well.
        tcp_ack(sk, skb, slowpath=False)
        tcp_data_snd_check(sk)
        if not sk.ack_pending & ICSK_ACK_SCHED:
            tcp_data_ready(sk)
            return _DONE
    else:
        sk.snd_wl1 = cb.seq
    __tcp_ack_snd_check(sk, False)
    tcp_data_ready(sk)
    return _DONE

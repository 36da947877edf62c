"""RACK: losses found by time (Linux: net/ipv4/tcp_recovery.c; RFC 8985 §6)."""

from contextlib import suppress
from typing import TYPE_CHECKING

from .inet_connection_sock_timer import inet_csk_reset_xmit_timer
from .tcp_cong import TCP_CA_RECOVERY
from .tcp_defs import (
    ICSK_TIME_REO_TIMEOUT,
    TCPCB_LOST,
    TCPCB_SACKED_ACKED,
    TCPCB_SACKED_RETRANS,
    TcpSkbCb,
    after,
)
from .tcp_output_write import tcp_fragment

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "tcp_mark_skb_lost",
    "tcp_newreno_mark_lost",
    "tcp_rack_advance",
    "tcp_rack_mark_lost",
    "tcp_rack_sent_after",
    "tcp_rack_update_reo_wnd",
]

_REO_WND_RECOVERIES = 16  # For so many recoveries a wider window is kept.
_REO_WND_STEPS = 255


def tcp_mark_skb_lost(sk: "TcpSock", skb: "SkBuff") -> None:
    """Count a packet as lost, also one that was sent once more."""
    cb: TcpSkbCb = skb.cb
    if cb.sacked & TCPCB_SACKED_ACKED:
        return
    if cb.sacked & TCPCB_SACKED_RETRANS:
        cb.sacked &= ~TCPCB_SACKED_RETRANS
        sk.retrans_out -= cb.segs
        if cb.sacked & TCPCB_LOST:
            sk.net.mib["TcpExt:TCPLostRetransmit"] += cb.segs
            return
    if not cb.sacked & TCPCB_LOST:
        cb.sacked |= TCPCB_LOST
        sk.lost_out += cb.segs


def tcp_rack_sent_after(us1: int, us2: int, seq1: int, seq2: int) -> bool:
    """Return whether one packet went after another; of two at the same time the one with higher numbers did."""
    return us1 > us2 or (us1 == us2 and after(seq1, seq2))


def tcp_rack_advance(sk: "TcpSock", sacked: int, end_seq: int, tx_us: int) -> None:
    """Note a packet that arrived, if none that went later has (RFC 8985 §6.2, step 2).

    What was sent once more and is acknowledged in less than the shortest round trip was not lost: it tells nothing.
    """
    rtt_us = sk.tcp_mstamp_us - tx_us
    if rtt_us < sk.min_rtt_us and sacked & TCPCB_SACKED_RETRANS:
        return
    sk.rack_advanced = True
    sk.rack_rtt_us = rtt_us
    if tcp_rack_sent_after(tx_us, sk.rack_mstamp_us, end_seq, sk.rack_end_seq):
        sk.rack_mstamp_us = tx_us
        sk.rack_end_seq = end_seq


def tcp_rack_reo_wnd(sk: "TcpSock") -> int:
    """Return for how long packets may be out of order, in µs (RFC 8985 §6.2, step 4)."""
    if not sk.reord_seen:
        if sk.icsk_ca_state >= TCP_CA_RECOVERY or sk.sacked_out >= sk.reordering:
            return 0
    return min((sk.min_rtt_us >> 2) * sk.rack_reo_wnd_steps, sk.srtt_us >> 3)


def tcp_rack_detect_loss(sk: "TcpSock") -> int:
    """Count as lost what went so long before a packet that arrived; return after how many µs to look again, or 0."""
    timeout = 0
    window = tcp_rack_reo_wnd(sk)
    for skb in sk.tcp_rtx_queue:
        cb: TcpSkbCb = skb.cb
        if cb.sacked & TCPCB_SACKED_ACKED or (cb.sacked & TCPCB_LOST and not cb.sacked & TCPCB_SACKED_RETRANS):
            continue
        if not tcp_rack_sent_after(sk.rack_mstamp_us, cb.tx_us, sk.rack_end_seq, cb.end_seq):
            if cb.sacked & TCPCB_SACKED_RETRANS:
                continue
            break  # Those behind went later still, or were sent once more since.
        remaining = cb.tx_us + sk.rack_rtt_us + window - sk.tcp_mstamp_us
        if remaining <= 0:
            tcp_mark_skb_lost(sk, skb)
        else:
            timeout = max(timeout, remaining)
    return timeout


def tcp_rack_mark_lost(sk: "TcpSock") -> None:
    """Find losses after an ACK, and look again when what is late would be lost."""
    if not sk.rack_advanced:
        return
    sk.rack_advanced = False
    timeout = tcp_rack_detect_loss(sk)
    if timeout:
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_REO_TIMEOUT, -(-timeout // 4000) + 1)


def tcp_rack_update_reo_wnd(sk: "TcpSock", prior_delivered: int) -> None:
    """Widen the window of reordering by a quarter of a round trip for each round with a D-SACK (step 4, again)."""
    if sk.rack_dsack_seen and prior_delivered >= sk.rack_last_delivered:
        sk.rack_dsack_seen = False
        sk.rack_reo_wnd_steps = min(sk.rack_reo_wnd_steps + 1, _REO_WND_STEPS)
        sk.rack_last_delivered = sk.delivered
        sk.rack_reo_wnd_persist = _REO_WND_RECOVERIES
    elif not sk.rack_reo_wnd_persist:
        sk.rack_reo_wnd_steps = 1


def tcp_newreno_mark_lost(sk: "TcpSock", snd_una_advanced: bool) -> None:
    """Count the oldest packet as lost: after three duplicate ACKs, or a partial one in recovery (RFC 6582)."""
    state = sk.icsk_ca_state
    if (state < TCP_CA_RECOVERY and sk.sacked_out >= sk.reordering) or (state == TCP_CA_RECOVERY and snd_una_advanced):
        if sk.tcp_rtx_queue:
            skb = sk.tcp_rtx_queue[0]
            if not skb.cb.sacked & TCPCB_LOST:
                if skb.gso_size and skb.len > skb.gso_size:
                    with suppress(OSError):  # Without memory all of it counts as lost.
                        tcp_fragment(sk, sk.tcp_rtx_queue, 0, skb.gso_size, skb.gso_size)
                tcp_mark_skb_lost(sk, skb)

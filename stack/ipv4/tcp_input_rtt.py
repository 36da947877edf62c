"""Round trips and the timeout (Linux: net/ipv4/tcp_input.c; RFC 6298)."""

from typing import TYPE_CHECKING

from .tcp_defs import TCP_RTO_MAX, TCP_RTO_MIN, TcpSkbCb, before

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "tcp_ack_update_rtt",
    "tcp_rcv_rtt_measure",
    "tcp_rcv_rtt_measure_ts",
    "tcp_rtt_estimator",
    "tcp_set_rto",
    "tcp_synack_rtt_meas",
]

_US_PER_JIFFY = 4000
_LONGEST_MS = 1 << 21  # What is longer cannot be told in µs.


def tcp_rtt_estimator(sk: "TcpSock", rtt_us: int) -> None:
    """Take a round trip into the mean and the variation (RFC 6298 §2.2, §2.3), kept 8 and 4 times as large."""
    rtt_us = max(rtt_us, 1)
    if not sk.srtt_us:
        sk.srtt_us = rtt_us << 3
        sk.rttvar_us = rtt_us << 1
        return
    delta = abs((sk.srtt_us >> 3) - rtt_us)
    sk.rttvar_us += delta - (sk.rttvar_us >> 2)
    sk.srtt_us = max(sk.srtt_us + rtt_us - (sk.srtt_us >> 3), 1)


def tcp_set_rto(sk: "TcpSock") -> None:
    """Set the timeout: the mean and 4 times the variation, of which at least 200 ms are taken, as Linux does."""
    rto_us = (sk.srtt_us >> 3) + max(sk.rttvar_us, TCP_RTO_MIN * _US_PER_JIFFY)
    sk.icsk_rto = min(-(-rto_us // _US_PER_JIFFY), TCP_RTO_MAX)


def tcp_ack_update_rtt(sk: "TcpSock", acked: bool, seq_rtt_us: int, sack_rtt_us: int, ca_rtt_us: int) -> int:
    """Learn from an ACK how long a round trip was, and set the timeout; return it in µs, -1 if nothing is known.

    Karn: what was sent more than once tells nothing; but a time stamp does (RFC 7323 §4).
    """
    if seq_rtt_us < 0:
        seq_rtt_us = sack_rtt_us
    opt = sk.rx_opt
    if seq_rtt_us < 0 and opt.saw_tstamp and opt.rcv_tsecr and acked:
        delta_ms = sk.tcp_mstamp_us // 1000 - opt.rcv_tsecr & 0xFFFFFFFF
        if delta_ms < 1 << 22:
            seq_rtt_us = ca_rtt_us = max(delta_ms, 1) * 1000
    if seq_rtt_us < 0:
        return -1
    if ca_rtt_us >= 0 and (not sk.min_rtt_us or ca_rtt_us < sk.min_rtt_us):
        sk.min_rtt_us = max(ca_rtt_us, 1)
    tcp_rtt_estimator(sk, seq_rtt_us)
    tcp_set_rto(sk)
    sk.icsk_backoff = 0  # RFC 6298 §5: a good measurement ends backing off.
    return ca_rtt_us


def tcp_synack_rtt_meas(sk: "TcpSock", sent_us: int) -> None:
    """Learn the round trip from the answer to a SYN-ACK that was sent once; ``sent_us`` is 0 otherwise."""
    rtt_us = sk.kernel.now_ns() // 1000 - sent_us if sent_us else -1
    tcp_ack_update_rtt(sk, False, rtt_us, -1, rtt_us)


def tcp_rcv_rtt_update(sk: "TcpSock", sample_us: int, *, win_dep: bool) -> None:
    """Take a round trip that a receiver saw into its estimate, kept 8 times as large.

    Of those that depend on the window only the shortest counts, for a program may have been slow.
    """
    if not sk.rcv_rtt_us:
        sk.rcv_rtt_us = sample_us << 3
    elif win_dep:
        sk.rcv_rtt_us = min(sk.rcv_rtt_us, sample_us << 3)
    else:
        sk.rcv_rtt_us += sample_us - (sk.rcv_rtt_us >> 3)


def tcp_rcv_rtt_measure(sk: "TcpSock") -> None:
    """Estimate the round trip of a host that receives only: how long a window takes."""
    if sk.rcv_rtt_time_us:
        if before(sk.rcv_nxt, sk.rcv_rtt_seq):
            return
        tcp_rcv_rtt_update(sk, max(sk.tcp_mstamp_us - sk.rcv_rtt_time_us, 1), win_dep=True)
    sk.rcv_rtt_seq = sk.rcv_nxt + sk.rcv_wnd & 0xFFFFFFFF
    sk.rcv_rtt_time_us = sk.tcp_mstamp_us or 1


def tcp_rcv_rtt_measure_ts(sk: "TcpSock", skb: "SkBuff") -> None:
    """Estimate it by the time stamp that a full segment echoes, each once."""
    echo = sk.rx_opt.rcv_tsecr
    if echo == sk.rcv_rtt_last_tsecr or not sk.rx_opt.saw_tstamp:
        return
    sk.rcv_rtt_last_tsecr = echo
    cb: TcpSkbCb = skb.cb
    delta_ms = sk.tcp_mstamp_us // 1000 - echo & 0xFFFFFFFF
    if cb.end_seq - cb.seq & 0xFFFFFFFF >= sk.ack_rcv_mss and delta_ms < _LONGEST_MS:
        tcp_rcv_rtt_update(sk, max(delta_ms, 1) * 1000, win_dep=False)

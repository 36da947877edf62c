"""Round trips and the timeout (Linux: net/ipv4/tcp_input.c; RFC 6298)."""

from typing import TYPE_CHECKING

from .tcp_defs import TCP_RTO_MAX, TCP_RTO_MIN

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["tcp_ack_update_rtt", "tcp_rtt_estimator", "tcp_set_rto", "tcp_synack_rtt_meas"]

_US_PER_JIFFY = 4000


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

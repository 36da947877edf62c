"""Setting the timers of a sender (Linux: net/ipv4/tcp_input.c, tcp_output.c; RFC 6298 §5, RFC 8985 §7)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ
from .inet_connection_sock_timer import inet_csk_clear_xmit_timer, inet_csk_reset_xmit_timer
from .tcp_cong import TCP_CA_CWR, TCP_CA_OPEN
from .tcp_defs import (
    ICSK_TIME_LOSS_PROBE,
    ICSK_TIME_REO_TIMEOUT,
    ICSK_TIME_RETRANS,
    TCP_RTO_MAX,
    TCP_RTO_MIN,
    TCP_TIMEOUT_INIT,
)

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["inet_csk_rto_backoff_probe", "tcp_rearm_rto", "tcp_rto_delta_us", "tcp_schedule_loss_probe"]

_TLP_MIN = 2  # A begun tick, and one more.


def tcp_rto_delta_us(sk: "TcpSock") -> int:
    """Return how long it is until the oldest packet has to be sent once more, in µs; perhaps less than 0."""
    head = sk.tcp_rtx_queue[0].cb
    return int(head.tx_us + sk.icsk_rto * 4000 - sk.kernel.now_ns() // 1000)


def tcp_rearm_rto(sk: "TcpSock") -> None:
    """Start the timer of retransmission, or stop it if nothing is on its way (RFC 6298 §5.2, §5.3)."""
    if not sk.packets_out:
        inet_csk_clear_xmit_timer(sk)
        return
    rto = sk.icsk_rto
    if sk.icsk_pending in (ICSK_TIME_LOSS_PROBE, ICSK_TIME_REO_TIMEOUT):
        # What was on its way before the probe's timer counts from when it went.
        rto = max(-(-tcp_rto_delta_us(sk) // 4000), 1)
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, min(rto, TCP_RTO_MAX))


def tcp_schedule_loss_probe(sk: "TcpSock", advancing_rto: bool) -> bool:
    """Have the tail probed before the timer of retransmission ends (RFC 8985 §7.2); return whether that was possible.

    After two round trips; with one packet on its way later by the longest delay of its ACK.
    """
    if not sk.net.ipv4.sysctl_tcp_early_retrans or not sk.packets_out or not sk.rx_opt.sack_ok:
        return False
    if sk.icsk_ca_state not in (TCP_CA_OPEN, TCP_CA_CWR):
        return False
    if sk.srtt_us:
        timeout = -(-(sk.srtt_us >> 2) // 4000)
        if sk.packets_out == 1:
            timeout += TCP_RTO_MIN
        else:
            timeout += _TLP_MIN
    else:
        timeout = TCP_TIMEOUT_INIT
    rto = sk.icsk_rto * 4000 if advancing_rto else tcp_rto_delta_us(sk)
    if rto > 0:
        timeout = min(timeout, max(-(-rto // 4000), 1))
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_LOSS_PROBE, timeout)
    return True


def inet_csk_rto_backoff_probe(sk: "TcpSock", most: int) -> int:
    """Return after how many jiffies a window is probed (RFC 9293 §3.8.6.1: at least after a timeout, doubling)."""
    return min(max(sk.icsk_rto, HZ // 5) << min(sk.icsk_backoff, 9), most)

"""What happens when time is up (Linux: net/ipv4/tcp_timer.c; RFC 6298 §5, RFC 9293 §3.8, RFC 8985 §7)."""

from errno import ETIMEDOUT
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_error_report
from ..core.dst import dst_negative_advice
from ..core.sock import SOCK_KEEPOPEN, sk_dst_reset
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_FIN_WAIT2,
    TCP_LISTEN,
    TCP_SYN_SENT,
    TCPF_CLOSE,
    TCPF_LISTEN,
    TCPF_SYN_RECV,
    TCPF_SYN_SENT,
)
from ..core.timer import HZ, jiffies
from .inet_connection_sock_timer import (
    inet_csk_reset_keepalive_timer,
    inet_csk_reset_xmit_timer,
    inet_csk_rto_backoff,
    sk_reset_timer,
)
from .tcp_cong import TCP_CA_LOSS, TCP_CA_RECOVERY
from .tcp_defs import (
    ICSK_ACK_SCHED,
    ICSK_ACK_TIMER,
    ICSK_TIME_LOSS_PROBE,
    ICSK_TIME_PROBE0,
    ICSK_TIME_REO_TIMEOUT,
    ICSK_TIME_RETRANS,
    TCP_ATO_MIN,
    TCP_RESOURCE_PROBE_INTERVAL,
    TCP_RTO_MAX,
    TCP_TIMEWAIT_LEN,
)
from .tcp_input_recovery import tcp_enter_loss, tcp_enter_recovery
from .tcp_keepalive import (
    keepalive_intvl_when,
    keepalive_probes,
    keepalive_time_elapsed,
    keepalive_time_when,
    tcp_fin_time,
)
from .tcp_memory import tcp_check_oom
from .tcp_minisocks_wait import tcp_time_wait
from .tcp_output import tcp_current_mss, tcp_mstamp_refresh
from .tcp_output_ack import (
    inet_csk_in_pingpong_mode,
    tcp_send_ack,
    tcp_send_active_reset,
    tcp_send_probe0,
    tcp_write_wakeup,
)
from .tcp_output_retrans import tcp_retransmit_skb, tcp_send_loss_probe, tcp_xmit_retransmit_queue
from .tcp_output_window import tcp_mss_to_mtu, tcp_mtu_to_mss, tcp_sync_mss
from .tcp_output_write import tcp_packets_in_flight, tcp_write_xmit
from .tcp_recovery import tcp_rack_detect_loss
from .tcp_state import tcp_done, tcp_write_queue_purge
from .tcp_timer_arm import tcp_rearm_rto

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = [
    "retransmits_timed_out",
    "tcp_delack_timer",
    "tcp_delack_timer_handler",
    "tcp_init_xmit_timers",
    "tcp_keepalive_timer",
    "tcp_release_cb",
    "tcp_retransmit_timer",
    "tcp_write_err",
    "tcp_write_timer",
    "tcp_write_timer_handler",
]

# Bits of tsq_flags: what waits for the lock.
TCPF_TSQ_DEFERRED = 1
TCPF_WRITE_TIMER_DEFERRED = 2
TCPF_DELACK_TIMER_DEFERRED = 4
TCPF_MTU_REDUCED_DEFERRED = 8

_PROBE_INTERVAL = 500 * HZ // 1000


def tcp_init_xmit_timers(sk: "TcpSock") -> None:
    """Say what the timers of a socket do."""
    sk.retransmit_timer.function = lambda: tcp_write_timer(sk)
    sk.delack_timer.function = lambda: tcp_delack_timer(sk)
    sk.sk_timer.function = lambda: tcp_keepalive_timer(sk)
    sk.tsq_timer.function = lambda: tcp_tsq_handler(sk)


def tcp_tsq_handler(sk: "TcpSock") -> None:
    """Send more, since what was sent has left the host."""
    if sk.sk_owned:
        sk.tsq_flags |= TCPF_TSQ_DEFERRED
    else:
        tcp_tsq_write(sk)


def tcp_tsq_write(sk: "TcpSock") -> None:
    """Send what waits."""
    if not 1 << sk.sk_state & (TCPF_CLOSE | TCPF_LISTEN | TCPF_SYN_SENT):
        if sk.lost_out > sk.retrans_out and sk.snd_cwnd > tcp_packets_in_flight(sk):
            tcp_mstamp_refresh(sk)
            tcp_xmit_retransmit_queue(sk)
        tcp_write_xmit(sk, tcp_current_mss(sk), sk.nonagle, 0)


def tcp_release_cb(sk: "TcpSock") -> None:
    """Do what came while a task had the lock."""
    flags, sk.tsq_flags = sk.tsq_flags, 0
    if not flags:
        return
    if flags & TCPF_TSQ_DEFERRED:
        tcp_tsq_write(sk)
    if flags & TCPF_WRITE_TIMER_DEFERRED:
        tcp_write_timer_handler(sk)
    if flags & TCPF_DELACK_TIMER_DEFERRED:
        tcp_delack_timer_handler(sk)
    if flags & TCPF_MTU_REDUCED_DEFERRED:
        from .tcp_ipv4_err import tcp_v4_mtu_reduced  # It is built on this module.

        tcp_v4_mtu_reduced(sk)


def tcp_write_err(sk: "TcpSock") -> None:
    """End a connection whose peer does not answer; why is what ICMP said last, or ``ETIMEDOUT``."""
    sk.sk_err = sk.sk_err_soft or ETIMEDOUT
    if not sk.dead:
        sock_def_error_report(sk)
    tcp_write_queue_purge(sk)
    tcp_done(sk)
    sk.net.mib["TcpExt:TCPAbortOnTimeout"] += 1


def _orphan_retries(sk: "TcpSock", alive: bool) -> int:
    """Return how often something is sent for a connection without a program (``tcp_orphan_retries``)."""
    retries: int = sk.net.ipv4.sysctl_tcp_orphan_retries
    if sk.sk_err_soft and not alive:
        retries = 0
    return retries or (8 if alive else 0)


def tcp_out_of_resources(sk: "TcpSock", do_reset: bool) -> bool:
    """End a connection without a program if memory is short, or there are too many of those (``tcp_max_orphans``).

    One that was silent for long, or of which ICMP said something, counts twice, or four times.
    """
    silent = jiffies(sk.kernel) - sk.lsndtime
    shift = (silent > 2 * TCP_RTO_MAX or not do_reset) + (sk.sk_err_soft != 0)
    if not tcp_check_oom(sk, shift):
        return False
    if do_reset or silent <= TCP_TIMEWAIT_LEN or not (sk.snd_wnd or sk.packets_out):
        tcp_send_active_reset(sk)
    tcp_done(sk)
    sk.net.mib["TcpExt:TCPAbortOnMemory"] += 1
    return True


def retransmits_timed_out(sk: "TcpSock", boundary: int, timeout: int) -> bool:
    """Return whether something was sent once more for too long.

    As long as so many doublings of the shortest timeout take, or for ``timeout`` jiffies if that is not 0 (RFC 1122
    §4.2.3.5 counts, Linux takes the time that counting would need).
    """
    if not sk.icsk_retransmits:
        return False
    start_us = sk.rto_stamp_us
    if not timeout:
        rto = HZ if sk.sk_state == TCP_SYN_SENT else HZ // 5
        threshold = (TCP_RTO_MAX // rto).bit_length() - 1
        if boundary <= threshold:
            timeout = ((2 << boundary) - 1) * rto
        else:
            timeout = ((2 << threshold) - 1) * rto + (boundary - threshold) * TCP_RTO_MAX
    return (sk.tcp_mstamp_us - start_us) // 4000 >= timeout


def tcp_write_timeout(sk: "TcpSock") -> bool:
    """Return whether the connection ended, since sending once more has been in vain for too long."""
    ipv4 = sk.net.ipv4
    if 1 << sk.sk_state & (TCPF_SYN_SENT | TCPF_SYN_RECV):
        if sk.icsk_retransmits:
            dst_negative_advice(sk)
        retries = sk.icsk_syn_retries or ipv4.sysctl_tcp_syn_retries
        expired = sk.icsk_retransmits >= retries
    else:
        if sk.icsk_retransmits and retransmits_timed_out(sk, ipv4.sysctl_tcp_retries1, 0):
            _mtu_probing(sk)
            dst_negative_advice(sk)
        retries = ipv4.sysctl_tcp_retries2
        if sk.dead:
            alive = sk.icsk_rto < TCP_RTO_MAX
            retries = _orphan_retries(sk, alive)
            if tcp_out_of_resources(sk, alive or not retransmits_timed_out(sk, retries, 0)):
                return True
        expired = sk.icsk_retransmits > 0 and retransmits_timed_out(sk, retries, sk.icsk_user_timeout)
    if expired:
        tcp_write_err(sk)
    return expired


def _mtu_probing(sk: "TcpSock") -> None:
    """Try shorter segments, since the way may swallow long ones without a word (RFC 4821; ``tcp_mtu_probing``)."""
    ipv4 = sk.net.ipv4
    if not ipv4.sysctl_tcp_mtu_probing:
        return
    if not sk.icsk_mtup_enabled:
        sk.icsk_mtup_enabled = True
        sk.icsk_mtup_stamp = jiffies(sk.kernel)
    else:
        mss = min(tcp_mtu_to_mss(sk, sk.icsk_mtup_low) >> 1, ipv4.sysctl_tcp_base_mss)
        mss = max(mss, ipv4.sysctl_tcp_mtu_probe_floor, ipv4.sysctl_tcp_min_snd_mss)
        sk.icsk_mtup_low = tcp_mss_to_mtu(sk, mss)
    tcp_sync_mss(sk, sk.icsk_pmtu_cookie)


def tcp_delack_timer(sk: "TcpSock") -> None:
    """Acknowledge what was not acknowledged yet, when nobody has the lock."""
    if sk.sk_owned:
        sk.net.mib["TcpExt:DelayedACKLocked"] += 1
        sk.tsq_flags |= TCPF_DELACK_TIMER_DEFERRED
    else:
        tcp_delack_timer_handler(sk)


def tcp_delack_timer_handler(sk: "TcpSock") -> None:
    """Acknowledge what was not acknowledged yet."""
    if 1 << sk.sk_state & (TCPF_CLOSE | TCPF_LISTEN) or not sk.ack_pending & ICSK_ACK_TIMER:
        return
    if jiffies(sk.kernel) < sk.ack_timeout:
        sk_reset_timer(sk.delack_timer, sk.ack_timeout)
        return
    sk.ack_pending &= ~ICSK_ACK_TIMER
    if sk.ack_pending & ICSK_ACK_SCHED:
        if not inet_csk_in_pingpong_mode(sk):
            # It was delayed in vain: not so long next time.
            sk.ack_ato = min(sk.ack_ato << 1, sk.icsk_rto)
        else:
            # No answer came with which to send it: it is no dialogue.
            sk.ack_pingpong = 0
            sk.ack_ato = TCP_ATO_MIN
        tcp_mstamp_refresh(sk)
        tcp_send_ack(sk)
        sk.net.mib["TcpExt:DelayedACKs"] += 1


def tcp_probe_timer(sk: "TcpSock") -> None:
    """Probe a window of 0, or end a connection that was stopped for too long by one that nobody opens."""
    if sk.packets_out or not sk.sk_write_queue:
        sk.icsk_probes_out = sk.icsk_probes_tstamp = 0
        return
    ipv4 = sk.net.ipv4
    now = jiffies(sk.kernel)
    if not sk.icsk_probes_tstamp:
        sk.icsk_probes_tstamp = now or 1
    elif sk.icsk_user_timeout and now - sk.icsk_probes_tstamp >= sk.icsk_user_timeout:
        tcp_write_err(sk)
        return
    most = ipv4.sysctl_tcp_retries2
    if sk.dead:
        alive = inet_csk_rto_backoff(sk, TCP_RTO_MAX) < TCP_RTO_MAX
        most = _orphan_retries(sk, alive)
        if not alive and sk.icsk_backoff >= most:
            tcp_write_err(sk)
            return
        if tcp_out_of_resources(sk, True):
            return
    # RFC 9293 §3.8.6.1: as long as the peer answers it may keep its window shut; then nothing is counted here.
    if sk.icsk_probes_out >= most:
        tcp_write_err(sk)
    else:
        tcp_send_probe0(sk)


def tcp_retransmit_timer(sk: "TcpSock") -> None:
    """Send the oldest packet once more, and wait twice as long for its acknowledgement (RFC 6298 §5.4 to §5.6)."""
    if not sk.packets_out or not sk.tcp_rtx_queue:
        return
    mib = sk.net.mib
    head = sk.tcp_rtx_queue[0]
    syn = 1 << sk.sk_state & (TCPF_SYN_SENT | TCPF_SYN_RECV)
    if not sk.snd_wnd and not sk.dead and not syn:
        # The window was shut with packets on their way: the peer is there, so this goes on until it is silent.
        if jiffies(sk.kernel) - sk.rcv_tstamp > TCP_RTO_MAX:
            tcp_write_err(sk)
            return
        tcp_enter_loss(sk)
        tcp_retransmit_skb(sk, head, 1)
    else:
        mib["TcpExt:TCPTimeouts"] += 1
        if tcp_write_timeout(sk):
            return
        _count_failure(sk)
        if not sk.icsk_retransmits:
            # Since then nothing was acknowledged.
            sk.rto_stamp_us = sk.tcp_rtx_queue[0].cb.tx_us or 1
        tcp_enter_loss(sk)
        sk.icsk_retransmits += 1
        head = sk.tcp_rtx_queue[0]
        if tcp_retransmit_skb(sk, head, 1):
            # A queue of this host is full: soon again.
            inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, TCP_RESOURCE_PROBE_INTERVAL)
            return
    if not sk.snd_wnd or syn or sk.icsk_rto < TCP_RTO_MAX:
        sk.icsk_backoff += 1
    sk.icsk_rto = min(sk.icsk_rto << 1, TCP_RTO_MAX)
    timeout = sk.icsk_rto
    if sk.icsk_user_timeout and not syn:
        left = sk.icsk_user_timeout - (sk.tcp_mstamp_us - sk.rto_stamp_us) // 4000
        timeout = min(timeout, max(left, 1))
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, timeout)
    if retransmits_timed_out(sk, sk.net.ipv4.sysctl_tcp_retries1 + 1, 0):
        sk_dst_reset(sk)  # There may be another way by now.


def _count_failure(sk: "TcpSock") -> None:
    """Count in which state the timer of retransmission had to end for the first time."""
    if sk.icsk_retransmits:
        return
    kind = "Sack" if sk.rx_opt.sack_ok else "Reno"
    if sk.icsk_ca_state == TCP_CA_RECOVERY:
        sk.net.mib[f"TcpExt:TCP{kind}RecoveryFail"] += 1
    elif sk.icsk_ca_state == TCP_CA_LOSS:
        sk.net.mib["TcpExt:TCPLossFailures"] += 1
    elif sk.sacked_out:
        sk.net.mib[f"TcpExt:TCP{kind}Failures"] += 1


def tcp_rack_reo_timeout(sk: "TcpSock") -> None:
    """Count as lost what did not come within the window of reordering (RFC 8985 §6.2, step 5)."""
    in_flight = tcp_packets_in_flight(sk)
    timeout = tcp_rack_detect_loss(sk)
    if in_flight != tcp_packets_in_flight(sk):
        if sk.icsk_ca_state not in (TCP_CA_RECOVERY, TCP_CA_LOSS):
            tcp_enter_recovery(sk, False)
        tcp_xmit_retransmit_queue(sk)
    if timeout:
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_REO_TIMEOUT, -(-timeout // 4000) + 1)
    if sk.icsk_pending != ICSK_TIME_RETRANS:
        tcp_rearm_rto(sk)


def tcp_write_timer_handler(sk: "TcpSock") -> None:
    """Do what the timer of a sender is for."""
    if 1 << sk.sk_state & (TCPF_CLOSE | TCPF_LISTEN) or not sk.icsk_pending:
        return
    if jiffies(sk.kernel) < sk.icsk_timeout:
        sk_reset_timer(sk.retransmit_timer, sk.icsk_timeout)
        return
    tcp_mstamp_refresh(sk)
    event = sk.icsk_pending
    if event == ICSK_TIME_REO_TIMEOUT:
        tcp_rack_reo_timeout(sk)
    elif event == ICSK_TIME_LOSS_PROBE:
        tcp_send_loss_probe(sk)
    elif event == ICSK_TIME_RETRANS:
        sk.icsk_pending = 0
        tcp_retransmit_timer(sk)
    elif event == ICSK_TIME_PROBE0:
        sk.icsk_pending = 0
        tcp_probe_timer(sk)


def tcp_write_timer(sk: "TcpSock") -> None:
    """Do it when nobody has the lock."""
    if sk.sk_owned:
        sk.tsq_flags |= TCPF_WRITE_TIMER_DEFERRED
    else:
        tcp_write_timer_handler(sk)


def tcp_keepalive_timer(sk: "TcpSock") -> None:
    """Ask a silent peer whether it is there (RFC 9293 §3.8.4), or end a connection without a program."""
    if sk.sk_owned:
        inet_csk_reset_keepalive_timer(sk, HZ // 20)
        return
    state = sk.sk_state
    if state == TCP_LISTEN:
        return
    tcp_mstamp_refresh(sk)
    if state == TCP_FIN_WAIT2 and sk.dead:
        if sk.linger2 >= 0:
            timeo = tcp_fin_time(sk) - TCP_TIMEWAIT_LEN
            if timeo > 0:
                tcp_time_wait(sk, TCP_FIN_WAIT2, timeo)
                return
        tcp_send_active_reset(sk)
        tcp_done(sk)
        return
    if not sk.sk_flags & SOCK_KEEPOPEN or state in (TCP_CLOSE, TCP_SYN_SENT):
        return
    elapsed = keepalive_time_when(sk)
    if not sk.packets_out and not sk.sk_write_queue:
        elapsed = keepalive_time_elapsed(sk)
        if elapsed >= keepalive_time_when(sk):
            user = sk.icsk_user_timeout
            if (user and elapsed >= user and sk.icsk_probes_out > 0) or (
                not user and sk.icsk_probes_out >= keepalive_probes(sk)
            ):
                tcp_send_active_reset(sk)
                tcp_write_err(sk)
                return
            if tcp_write_wakeup(sk, "TcpExt:TCPKeepAlive") <= 0:
                sk.icsk_probes_out += 1
                elapsed = keepalive_intvl_when(sk)
            else:
                elapsed = _PROBE_INTERVAL
        else:
            elapsed = keepalive_time_when(sk) - elapsed
    inet_csk_reset_keepalive_timer(sk, max(elapsed, 1))

"""Segments without data: acknowledgements, probes, FIN and RST (Linux: net/ipv4/tcp_output.c; RFC 9293 §3.8.6)."""

from typing import TYPE_CHECKING

from ..core.skbuff import alloc_skb, skb_reserve
from ..core.sock_mem import sk_forced_mem_schedule
from ..core.tcp_states import TCP_CLOSE
from ..core.timer import HZ, jiffies
from .inet_connection_sock_timer import inet_csk_reset_xmit_timer, sk_reset_timer
from .tcp_defs import (
    ICSK_ACK_SCHED,
    ICSK_ACK_TIMER,
    ICSK_TIME_PROBE0,
    MAX_TCP_HEADER,
    TCP_ATO_MIN,
    TCP_DELACK_MAX,
    TCP_DELACK_MIN,
    TCP_NAGLE_OFF,
    TCP_RESOURCE_PROBE_INTERVAL,
    TCP_RTO_MAX,
    TCPHDR_ACK,
    TCPHDR_FIN,
    TCPHDR_PSH,
    TCPHDR_RST,
    TcpSkbCb,
    after,
    before,
)
from .tcp_memory import tcp_under_memory_pressure
from .tcp_output import (
    __tcp_transmit_skb,
    tcp_current_mss,
    tcp_mstamp_refresh,
    tcp_transmit_skb,
)
from .tcp_output_window import tcp_acceptable_seq, tcp_wnd_end
from .tcp_output_write import (
    __tcp_push_pending_frames,
    tcp_charge_skb,
    tcp_event_new_data_sent,
    tcp_fragment,
    tcp_set_skb_tso_segs,
)
from .tcp_timer_arm import inet_csk_rto_backoff_probe

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "__tcp_send_ack",
    "inet_csk_in_pingpong_mode",
    "tcp_send_ack",
    "tcp_send_active_reset",
    "tcp_send_delayed_ack",
    "tcp_send_fin",
    "tcp_send_probe0",
    "tcp_write_wakeup",
    "tcp_xmit_probe_skb",
]

_PINGPONG_THRESHOLD = 1


def inet_csk_in_pingpong_mode(sk: "TcpSock") -> bool:
    """Return whether data goes to and fro, so that an acknowledgement may soon travel with an answer."""
    return sk.ack_pingpong >= _PINGPONG_THRESHOLD


def _control_skb(sk: "TcpSock", seq: int, flags: int) -> "SkBuff":
    skb = alloc_skb(sk.kernel, MAX_TCP_HEADER)
    skb_reserve(skb, MAX_TCP_HEADER)
    length = 1 if flags & TCPHDR_FIN else 0
    skb.cb = TcpSkbCb(seq, seq + length & 0xFFFFFFFF, flags)
    return skb


def tcp_send_ack(sk: "TcpSock") -> None:
    """Acknowledge all that has come."""
    __tcp_send_ack(sk, sk.rcv_nxt)


def __tcp_send_ack(sk: "TcpSock", rcv_nxt: int) -> None:
    """Acknowledge up to a sequence number; without memory for that, a little later."""
    if sk.sk_state == TCP_CLOSE:
        return
    tcp_mstamp_refresh(sk)
    try:
        skb = _control_skb(sk, tcp_acceptable_seq(sk), TCPHDR_ACK)
    except OSError:
        sk.ack_pending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER
        sk.ack_ato = TCP_ATO_MIN
        sk.ack_timeout = jiffies(sk.kernel) + TCP_DELACK_MAX
        sk_reset_timer(sk.delack_timer, sk.ack_timeout)
        return
    __tcp_transmit_skb(sk, skb, False, rcv_nxt)


def tcp_send_delayed_ack(sk: "TcpSock") -> None:
    """Acknowledge later, with an answer perhaps (RFC 9293 §3.8.6.3: within 0.5 s; here 40 to 200 ms)."""
    ato = sk.ack_ato
    if ato > TCP_DELACK_MIN:
        most = HZ // 2
        if inet_csk_in_pingpong_mode(sk) or sk.ack_pending & 4:
            most = TCP_DELACK_MAX
        if sk.srtt_us:
            most = min(most, max((sk.srtt_us >> 3) // 4000, TCP_DELACK_MIN))
        ato = min(ato, most)
    ato = min(ato, TCP_DELACK_MAX)
    timeout = jiffies(sk.kernel) + ato
    if sk.ack_pending & ICSK_ACK_TIMER:
        # It was delayed already: no further, and at once if that is soon.
        if sk.ack_timeout - jiffies(sk.kernel) <= ato >> 2:
            tcp_send_ack(sk)
            return
        timeout = min(timeout, sk.ack_timeout)
    sk.ack_pending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER
    sk.ack_timeout = timeout
    sk_reset_timer(sk.delack_timer, timeout)


def tcp_send_fin(sk: "TcpSock") -> None:
    """Say that no more comes: with the last packet that waits, or with one of its own."""
    last = sk.sk_write_queue[-1] if sk.sk_write_queue else None
    if last is None and sk.tcp_rtx_queue and tcp_under_memory_pressure(sk):
        last = sk.tcp_rtx_queue[-1]
    if last is not None:
        cb: TcpSkbCb = last.cb
        cb.tcp_flags |= TCPHDR_FIN
        cb.end_seq = cb.end_seq + 1 & 0xFFFFFFFF
        sk.write_seq = sk.write_seq + 1 & 0xFFFFFFFF
        if not sk.sk_write_queue:
            # As if it had gone with what went, and was lost: that needs no memory.
            sk.snd_nxt = sk.snd_nxt + 1 & 0xFFFFFFFF
            return
    else:
        skb = _control_skb(sk, sk.write_seq, TCPHDR_ACK | TCPHDR_FIN)
        sk_forced_mem_schedule(sk, skb.truesize)
        sk.sk_write_queue.append(skb)
        tcp_charge_skb(sk, skb)
        sk.write_seq = sk.write_seq + 1 & 0xFFFFFFFF
    __tcp_push_pending_frames(sk, tcp_current_mss(sk), TCP_NAGLE_OFF)


def tcp_send_active_reset(sk: "TcpSock") -> None:
    """End a connection at once, and tell the peer so."""
    sk.net.mib["Tcp:OutRsts"] += 1
    try:
        skb = _control_skb(sk, tcp_acceptable_seq(sk), TCPHDR_ACK | TCPHDR_RST)
    except OSError:
        sk.net.mib["TcpExt:TCPAbortFailed"] += 1
        return
    tcp_mstamp_refresh(sk)
    if tcp_transmit_skb(sk, skb, False):
        sk.net.mib["TcpExt:TCPAbortFailed"] += 1


def tcp_xmit_probe_skb(sk: "TcpSock", urgent: int, counter: str) -> int:
    """Send a segment that the peer must answer: its sequence number was acknowledged (RFC 9293 §3.8.4)."""
    try:
        # With urgent data the number is the next one, so that the pointer counts.
        skb = _control_skb(sk, sk.snd_una - (0 if urgent else 1) & 0xFFFFFFFF, TCPHDR_ACK)
    except OSError:
        return -1
    sk.net.mib[counter] += 1
    tcp_mstamp_refresh(sk)
    return tcp_transmit_skb(sk, skb, False)


def tcp_write_wakeup(sk: "TcpSock", counter: str) -> int:
    """Probe the peer's window with what it would take of the next packet, or with none; return 0 if it went."""
    if sk.sk_state == TCP_CLOSE:
        return -1
    queue = sk.sk_write_queue
    if queue and before(queue[0].cb.seq, tcp_wnd_end(sk)):
        skb = queue[0]
        cb: TcpSkbCb = skb.cb
        mss = tcp_current_mss(sk)
        room = tcp_wnd_end(sk) - cb.seq & 0xFFFFFFFF
        if before(sk.pushed_seq, cb.end_seq):
            sk.pushed_seq = cb.end_seq
        if room < (cb.end_seq - cb.seq & 0xFFFFFFFF) or skb.len > mss:
            cb.tcp_flags |= TCPHDR_PSH
            try:
                tcp_fragment(sk, queue, 0, min(room, mss, skb.len), mss)
            except OSError:
                return -1
        else:
            tcp_set_skb_tso_segs(skb, mss)
        cb.tcp_flags |= TCPHDR_PSH
        tcp_mstamp_refresh(sk)
        error = tcp_transmit_skb(sk, skb, True)
        if not error:
            tcp_event_new_data_sent(sk, skb)
        return error
    if sk.snd_up != sk.snd_una and after(sk.snd_up, sk.snd_una) and before(sk.snd_up, sk.snd_una + 0xFFFF):
        tcp_xmit_probe_skb(sk, 1, counter)
    return tcp_xmit_probe_skb(sk, 0, counter)


def tcp_send_probe0(sk: "TcpSock") -> None:
    """Probe a window of 0, and less and less often while it stays so."""
    error = tcp_write_wakeup(sk, "TcpExt:TCPWinProbe")
    if sk.packets_out or not sk.sk_write_queue:
        sk.icsk_probes_out = sk.icsk_backoff = sk.icsk_probes_tstamp = 0
        return
    sk.icsk_probes_out += 1
    if not error:
        sk.icsk_backoff = min(sk.icsk_backoff + 1, sk.net.ipv4.sysctl_tcp_retries2)
        timeout = inet_csk_rto_backoff_probe(sk, TCP_RTO_MAX)
    else:
        timeout = TCP_RESOURCE_PROBE_INTERVAL
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_PROBE0, timeout)

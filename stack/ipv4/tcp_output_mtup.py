"""Finding out the longest packet that a way takes, by trying (Linux: net/ipv4/tcp_output.c; RFC 4821)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ, jiffies
from .tcp_cong import TCP_CA_OPEN
from .tcp_defs import TCPHDR_ACK, TCPHDR_FIN, TCPHDR_PSH, TcpSkbCb, after
from .tcp_output import tcp_current_mss, tcp_transmit_skb
from .tcp_output_window import mtup_search_high, tcp_mss_to_mtu, tcp_mtu_to_mss, tcp_wnd_end
from .tcp_output_write import (
    tcp_charge_skb,
    tcp_event_new_data_sent,
    tcp_packets_in_flight,
    tcp_set_skb_tso_segs,
    tcp_stream_alloc_skb,
    tcp_trim_head,
)
from .tcp_state import tcp_skb_free

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = ["MTU_PROBE_NO", "MTU_PROBE_SENT", "MTU_PROBE_WAIT", "tcp_mtu_check_reprobe", "tcp_mtu_probe"]

# What tcp_mtu_probe() returns: nothing is probed; what waits has to wait, for a probe; one went.
MTU_PROBE_NO, MTU_PROBE_WAIT, MTU_PROBE_SENT = -1, 0, 1
_LEAST_CWND = 11


def tcp_mtu_check_reprobe(sk: "TcpSock") -> None:
    """Search anew between what is used and the most there may be, since the way may have changed."""
    if jiffies(sk.kernel) - sk.icsk_mtup_stamp >= sk.net.ipv4.sysctl_tcp_probe_interval * HZ:
        mss = tcp_current_mss(sk)
        sk.icsk_mtup_size = 0
        sk.icsk_mtup_high = mtup_search_high(sk)
        sk.icsk_mtup_low = tcp_mss_to_mtu(sk, mss)
        sk.icsk_mtup_stamp = jiffies(sk.kernel)


def tcp_mtu_probe(sk: "TcpSock") -> int:
    """Send a packet that is longer than others, in the middle of what the way may take (RFC 4821 §7.2, §7.3).

    Only while there is no trouble, and so much behind it that its loss would be seen at once: then it is no sign of
    congestion.
    """
    if (
        not sk.icsk_mtup_enabled
        or sk.icsk_mtup_size
        or sk.icsk_ca_state != TCP_CA_OPEN
        or sk.snd_cwnd < _LEAST_CWND
        or sk.selective_acks
        or sk.duplicate_sack
    ):
        return MTU_PROBE_NO
    mss = tcp_current_mss(sk)
    size = tcp_mtu_to_mss(sk, sk.icsk_mtup_high + sk.icsk_mtup_low >> 1)
    needed = size + (sk.reordering + 1) * sk.mss_cache
    interval = sk.icsk_mtup_high - sk.icsk_mtup_low
    if size > tcp_mtu_to_mss(sk, sk.icsk_mtup_high) or interval < sk.net.ipv4.sysctl_tcp_probe_threshold:
        tcp_mtu_check_reprobe(sk)
        return MTU_PROBE_NO
    if sk.write_seq - sk.snd_nxt & 0xFFFFFFFF < needed or sk.snd_wnd < needed:
        return MTU_PROBE_NO
    if after(sk.snd_nxt + needed & 0xFFFFFFFF, tcp_wnd_end(sk)):
        return MTU_PROBE_WAIT
    in_flight = tcp_packets_in_flight(sk)
    if in_flight + 2 > sk.snd_cwnd:
        return MTU_PROBE_WAIT if in_flight else MTU_PROBE_NO
    return _send_probe(sk, size, mss)


def _send_probe(sk: "TcpSock", size: int, mss: int) -> int:
    """Make a packet of the first octets that wait, and send it whole."""
    if sum(skb.len for skb in sk.sk_write_queue) < size:
        return MTU_PROBE_NO  # The rest is a FIN.
    try:
        probe = tcp_stream_alloc_skb(sk, False)
    except OSError:
        return MTU_PROBE_NO
    tcp_charge_skb(sk, probe)
    seq = sk.sk_write_queue[0].cb.seq
    probe.cb = TcpSkbCb(seq, seq + size & 0xFFFFFFFF, TCPHDR_ACK)
    while probe.len < size:
        _move_head(sk, probe, size - probe.len, mss)
    sk.sk_write_queue.appendleft(probe)
    tcp_set_skb_tso_segs(probe, probe.len)
    if tcp_transmit_skb(sk, probe, clone_it=True):
        return MTU_PROBE_NO  # It goes as segments of the usual size.
    sk.snd_cwnd -= 1  # It is about as long as two.
    tcp_event_new_data_sent(sk, probe)
    sk.icsk_mtup_size = tcp_mss_to_mtu(sk, probe.len)
    sk.mtu_probe_start, sk.mtu_probe_end = probe.cb.seq, probe.cb.end_seq
    return MTU_PROBE_SENT


def _move_head(sk: "TcpSock", probe: "SkBuff", length: int, mss: int) -> None:
    """Move at most so many octets from the first packet that waits to the end of the probe, memory and all."""
    skb = sk.sk_write_queue[0]
    cb: TcpSkbCb = skb.cb
    rest = length = min(length, skb.len)
    for page, offset, size in skb.frags:
        if not rest:
            break
        part = min(size, rest)
        page.count += 1
        probe.frags.append((page, offset, part))
        rest -= part
    probe.len += length
    probe.data_len += length
    probe.truesize += length
    sk.sk_wmem_queued += length
    sk.sk_forward_alloc -= length
    if length == skb.len:
        probe.cb.tcp_flags |= cb.tcp_flags
        sk.sk_write_queue.popleft()
        tcp_skb_free(sk, skb)
    else:
        probe.cb.tcp_flags |= cb.tcp_flags & ~(TCPHDR_FIN | TCPHDR_PSH)
        tcp_trim_head(sk, skb, length)
        tcp_set_skb_tso_segs(skb, mss)

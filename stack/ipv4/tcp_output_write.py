"""New data on its way out: cutting, Nagle, the windows (Linux: net/ipv4/tcp_output.c; RFC 9293 §3.7, §3.8)."""

from errno import ENOMEM
from typing import TYPE_CHECKING

from ..core.skbuff import SHINFO_OCTETS, SKB_GSO_TCPV4, STRUCT_OCTETS, alloc_skb, consume_skb, put_page, skb_reserve
from ..core.skbuff_data import pskb_expand_head, skb_cloned
from ..core.sock_mem import sk_forced_mem_schedule, sk_mem_uncharge, sk_stream_moderate_sndbuf, sk_wmem_schedule
from ..core.tcp_states import TCP_CLOSE
from ..core.timer import jiffies
from .inet_connection_sock_timer import inet_csk_reset_xmit_timer
from .tcp_cong import CA_EVENT_CWND_RESTART, TCP_CA_CWR, TCP_CA_OPEN, TCP_CA_RECOVERY, tcp_is_cwnd_limited
from .tcp_defs import (
    ICSK_TIME_LOSS_PROBE,
    ICSK_TIME_PROBE0,
    MAX_TCP_HEADER,
    TCP_CORK_NAGLE,
    TCP_INIT_CWND,
    TCP_NAGLE_PUSH,
    TCP_RTO_MAX,
    TCPCB_LOST,
    TCPCB_SACKED_ACKED,
    TCPCB_SACKED_RETRANS,
    TCPHDR_CWR,
    TCPHDR_FIN,
    TCPHDR_PSH,
    TcpSkbCb,
    after,
    before,
)
from .tcp_memory import tcp_enter_memory_pressure
from .tcp_output import tcp_check_space, tcp_current_mss, tcp_mstamp_refresh, tcp_small_queue_check, tcp_transmit_skb
from .tcp_output_window import tcp_wnd_end
from .tcp_timer_arm import inet_csk_rto_backoff_probe, tcp_rearm_rto, tcp_schedule_loss_probe

if TYPE_CHECKING:
    from collections import deque

    from ..core.skbuff import Frag, SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "__tcp_push_pending_frames",
    "tcp_adjust_pcount",
    "tcp_charge_skb",
    "tcp_check_probe_timer",
    "tcp_current_ssthresh",
    "tcp_cwnd_restart",
    "tcp_cwnd_test",
    "tcp_event_new_data_sent",
    "tcp_fragment",
    "tcp_packets_in_flight",
    "tcp_push_one",
    "tcp_push_pending_frames",
    "tcp_set_skb_tso_segs",
    "tcp_stream_alloc_skb",
    "tcp_trim_head",
    "tcp_write_xmit",
]

_GSO_MAX_TRUESIZE = 65536 + SHINFO_OCTETS + STRUCT_OCTETS


def tcp_stream_alloc_skb(sk: "TcpSock", force_schedule: bool = True) -> "SkBuff":
    """Return an empty packet to send: a head for headers, whose data is to lie in fragments.

    With ``force_schedule`` it is for what has to go, however much memory all sockets have.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    try:
        skb = alloc_skb(sk.kernel, MAX_TCP_HEADER)
    except OSError:
        tcp_enter_memory_pressure(sk)
        sk_stream_moderate_sndbuf(sk)
        raise
    skb_reserve(skb, MAX_TCP_HEADER)
    if force_schedule:
        sk_forced_mem_schedule(sk, skb.truesize)
    elif not sk_wmem_schedule(sk, skb.truesize):
        consume_skb(skb)
        raise OSError(ENOMEM, "sockets have as much as they may (tcp_mem)")
    return skb


def tcp_charge_skb(sk: "TcpSock", skb: "SkBuff") -> None:
    """Count a packet's memory among what a socket has to send (``sk_wmem_queued_add``, ``sk_mem_charge``)."""
    sk.sk_wmem_queued += skb.truesize
    sk.sk_forward_alloc -= skb.truesize


def tcp_packets_in_flight(sk: "TcpSock") -> int:
    """Return how many packets are in the network, as far as is known (RFC 6675: pipe)."""
    return sk.packets_out - sk.sacked_out - sk.lost_out + sk.retrans_out


def tcp_set_skb_tso_segs(skb: "SkBuff", mss: int) -> int:
    """Note as how many packets one goes, and return that."""
    cb: TcpSkbCb = skb.cb
    if skb.len <= mss:
        skb.gso_size = 0
        cb.segs = 1
    else:
        cb.segs = -(-skb.len // mss)
        skb.gso_size, skb.gso_type, skb.gso_segs = mss, SKB_GSO_TCPV4, cb.segs
    return cb.segs


def tcp_fragment(sk: "TcpSock", queue: "deque[SkBuff]", index: int, length: int, mss: int) -> "SkBuff":
    """Cut the packet at a place of a queue in two, after so many octets; return the new one, which comes behind it.

    Raises
    ------
    OSError
        ``ENOMEM``; the packet is as it was.
    """
    skb = queue[index]
    # What a peer's blocks cut into ever smaller packets must not take all memory (CVE-2019-11478).
    limit = sk.sk_sndbuf + 2 * _GSO_MAX_TRUESIZE
    if sk.sk_wmem_queued >> 1 > limit and queue is sk.tcp_rtx_queue and 0 < index < len(queue) - 1:
        sk.net.mib["TcpExt:TCPWqueueTooBig"] += 1
        raise OSError(ENOMEM, "there are too many small packets to send once more")
    new = tcp_stream_alloc_skb(sk)
    if skb_cloned(skb):
        try:
            pskb_expand_head(skb, 0, 0)
        except OSError:
            consume_skb(new)
            raise
    cb: TcpSkbCb = skb.cb
    moved = skb.len - length
    tcp_charge_skb(sk, new)
    _split_frags(skb, new, length)
    new.priority, new.tstamp_ns = skb.priority, skb.tstamp_ns
    skb.truesize -= moved
    new.truesize += moved
    ncb = new.cb = TcpSkbCb(cb.seq + length & 0xFFFFFFFF, cb.end_seq, cb.tcp_flags & ~TCPHDR_CWR)
    cb.end_seq = ncb.seq
    cb.tcp_flags &= ~(TCPHDR_FIN | TCPHDR_PSH)
    ncb.sacked, ncb.tx_us, ncb.delivered, ncb.app_limited = cb.sacked, cb.tx_us, cb.delivered, cb.app_limited
    old_segs = cb.segs
    tcp_set_skb_tso_segs(skb, mss)
    tcp_set_skb_tso_segs(new, mss)
    if not before(sk.snd_nxt, ncb.end_seq):
        tcp_adjust_pcount(sk, cb, cb.segs + ncb.segs - old_segs)
    queue.insert(index + 1, new)
    return new


def tcp_adjust_pcount(sk: "TcpSock", cb: TcpSkbCb, more: int) -> None:
    """Count the packets of one that was cut, which may be more than before (``tcp_adjust_pcount``)."""
    if not more:
        return
    sk.packets_out += more
    if cb.sacked & TCPCB_SACKED_ACKED:
        sk.sacked_out += more
    if cb.sacked & TCPCB_SACKED_RETRANS:
        sk.retrans_out += more
    if cb.sacked & TCPCB_LOST:
        sk.lost_out += more


def _split_frags(skb: "SkBuff", new: "SkBuff", length: int) -> None:
    """Move the octets of a packet from ``length`` on, all of them in fragments, to a new one."""
    frags = skb.frags
    kept: list[Frag] = []
    at = 0
    for page, offset, size in frags:
        if at + size <= length:
            kept.append((page, offset, size))
        elif at >= length:
            new.frags.append((page, offset, size))
        else:
            part = length - at
            page.count += 1
            kept.append((page, offset, part))
            new.frags.append((page, offset + part, size - part))
        at += size
    skb.frags = kept
    new.len = new.data_len = skb.len - length
    skb.len = skb.data_len = length


def tcp_trim_head(sk: "TcpSock", skb: "SkBuff", length: int) -> None:
    """Take octets that were acknowledged off the front of a packet.

    Raises
    ------
    OSError
        ``ENOMEM``; the packet is as it was.
    """
    if skb_cloned(skb):
        pskb_expand_head(skb, 0, 0)
    rest = length
    kept: list[Frag] = []
    for page, offset, size in skb.frags:
        if rest >= size:
            rest -= size
            put_page(sk.kernel, page)
            continue
        kept.append((page, offset + rest, size - rest))
        rest = 0
    skb.frags = kept
    skb.len -= length
    skb.data_len -= length
    skb.truesize -= length
    sk.sk_wmem_queued -= length
    sk_mem_uncharge(sk, length)
    cb: TcpSkbCb = skb.cb
    cb.seq = cb.seq + length & 0xFFFFFFFF
    if skb.gso_size:
        tcp_set_skb_tso_segs(skb, skb.gso_size)


def tcp_cwnd_restart(sk: "TcpSock", delta: int) -> None:
    """Halve the window for each timeout that nothing was sent for, down to the first one (RFC 5681 §4.1)."""
    restart = min(TCP_INIT_CWND, sk.snd_cwnd)
    cwnd = sk.snd_cwnd
    if sk.ca_ops.cwnd_event is not None:
        sk.ca_ops.cwnd_event(sk, CA_EVENT_CWND_RESTART)
    sk.snd_ssthresh = tcp_current_ssthresh(sk)
    delta -= sk.icsk_rto
    while delta > 0 and cwnd > restart:
        cwnd >>= 1
        delta -= sk.icsk_rto
    sk.snd_cwnd = max(cwnd, restart)
    sk.snd_cwnd_stamp = jiffies(sk.kernel)
    sk.snd_cwnd_used = 0


def tcp_current_ssthresh(sk: "TcpSock") -> int:
    """Return the threshold of slow start, not less than three quarters of the window while there is no trouble."""
    if sk.icsk_ca_state in (TCP_CA_CWR, TCP_CA_RECOVERY):
        return sk.snd_ssthresh
    return max(sk.snd_ssthresh, (sk.snd_cwnd >> 1) + (sk.snd_cwnd >> 2))


def tcp_cwnd_application_limited(sk: "TcpSock") -> None:
    """Let the window shrink that a program did not use for a timeout (RFC 7661 is a later word on it)."""
    if sk.icsk_ca_state == TCP_CA_OPEN:
        used = max(sk.snd_cwnd_used, TCP_INIT_CWND)
        if used < sk.snd_cwnd:
            sk.snd_ssthresh = tcp_current_ssthresh(sk)
            sk.snd_cwnd = sk.snd_cwnd + used >> 1
        sk.snd_cwnd_used = 0
    sk.snd_cwnd_stamp = jiffies(sk.kernel)


def tcp_cwnd_validate(sk: "TcpSock", is_cwnd_limited: bool) -> None:
    """Note whether the window is what limits sending: only then it may open further (RFC 2861)."""
    if sk.packets_out > sk.max_packets_out or is_cwnd_limited or not before(sk.snd_una, sk.cwnd_usage_seq):
        sk.is_cwnd_limited = is_cwnd_limited
        sk.max_packets_out = sk.packets_out
        sk.cwnd_usage_seq = sk.snd_nxt
    if tcp_is_cwnd_limited(sk):
        sk.snd_cwnd_used = 0
        sk.snd_cwnd_stamp = jiffies(sk.kernel)
    else:
        sk.snd_cwnd_used = max(sk.snd_cwnd_used, sk.packets_out)
        if sk.net.ipv4.sysctl_tcp_slow_start_after_idle and (jiffies(sk.kernel) - sk.snd_cwnd_stamp >= sk.icsk_rto):
            tcp_cwnd_application_limited(sk)


def tcp_cwnd_test(sk: "TcpSock") -> int:
    """Return how many packets the congestion window allows now."""
    return max(sk.snd_cwnd - tcp_packets_in_flight(sk), 0)


def tcp_snd_wnd_test(sk: "TcpSock", skb: "SkBuff", mss: int) -> bool:
    """Return whether the peer's window takes the first segment of a packet."""
    cb: TcpSkbCb = skb.cb
    end = cb.end_seq if skb.len <= mss else cb.seq + mss & 0xFFFFFFFF
    return not after(end, tcp_wnd_end(sk))


def tcp_nagle_check(sk: "TcpSock", skb: "SkBuff", mss: int, nonagle: int) -> bool:
    """Return whether a packet has to wait: it is short, and another short one is not acknowledged (RFC 896, RFC 1122).

    ``TCP_CORK`` lets short ones wait in any case.
    """
    if skb.len >= mss:
        return False
    if nonagle & TCP_CORK_NAGLE:
        return True
    minshall = after(sk.snd_sml, sk.snd_una) and not after(sk.snd_sml, sk.snd_nxt)
    return not nonagle and sk.packets_out > 0 and minshall


def _nagle_test(sk: "TcpSock", skb: "SkBuff", mss: int, nonagle: int) -> bool:
    """Return whether a packet may go now."""
    if nonagle & TCP_NAGLE_PUSH:
        return True
    if skb.cb.tcp_flags & TCPHDR_FIN or sk.snd_up != sk.snd_una:
        return True
    return not tcp_nagle_check(sk, skb, mss, nonagle)


def tcp_event_new_data_sent(sk: "TcpSock", skb: "SkBuff") -> None:
    """Move a packet that went to those that are not acknowledged."""
    prior = sk.packets_out
    cb: TcpSkbCb = skb.cb
    sk.snd_nxt = cb.end_seq
    sk.sk_write_queue.popleft()
    sk.tcp_rtx_queue.append(skb)
    sk.packets_out += cb.segs
    if not prior or sk.icsk_pending == ICSK_TIME_LOSS_PROBE:
        tcp_rearm_rto(sk)
    sk.net.mib["TcpExt:TCPOrigDataSent"] += cb.segs
    tcp_check_space(sk)


def _mss_split_point(sk: "TcpSock", skb: "SkBuff", mss: int, quota: int, nonagle: int) -> int:
    """Return how much of a packet may go: whole segments, but what the window and Nagle allow of the last one."""
    cb: TcpSkbCb = skb.cb
    window = tcp_wnd_end(sk) - cb.seq & 0xFFFFFFFF
    most = quota * mss
    if most <= window and skb is not sk.sk_write_queue[-1]:
        return most
    needed = min(skb.len, window)
    if most <= needed:
        return most
    partial = needed % mss
    if tcp_nagle_check_partial(sk, partial, mss, nonagle):
        return needed - partial
    return needed


def tcp_nagle_check_partial(sk: "TcpSock", partial: int, mss: int, nonagle: int) -> bool:
    """Return whether the end of a packet that makes no whole segment has to wait."""
    if not partial or partial >= mss:
        return False
    if nonagle & TCP_CORK_NAGLE:
        return True
    minshall = after(sk.snd_sml, sk.snd_una) and not after(sk.snd_sml, sk.snd_nxt)
    return not nonagle and sk.packets_out > 0 and minshall


def tcp_write_xmit(sk: "TcpSock", mss_now: int, nonagle: int, push_one: int) -> bool:
    """Send what both windows allow of what waits.

    Parameters
    ----------
    sk : TcpSock
        The socket, locked.
    mss_now : int
        How much data a segment may have.
    nonagle : int
        Bits as of ``TCP_NAGLE_OFF``.
    push_one : int
        1: one packet at most; 2: one in any case, to probe the tail.

    Returns
    -------
    bool
        Whether nothing is on its way though something waits: the window has to be probed.
    """
    tcp_mstamp_refresh(sk)
    max_segs = tcp_tso_segs(sk)
    sent = 0
    is_cwnd_limited = False
    if sk.icsk_mtup_enabled and not push_one:
        from .tcp_output_mtup import MTU_PROBE_WAIT, tcp_mtu_probe  # It is built on this module.

        probed = tcp_mtu_probe(sk)
        if probed == MTU_PROBE_WAIT:
            return False
        sent = max(probed, 0)
    queue = sk.sk_write_queue
    while queue:
        skb = queue[0]
        segs = tcp_set_skb_tso_segs(skb, mss_now)
        quota = tcp_cwnd_test(sk)
        if not quota:
            is_cwnd_limited = True
            if push_one != 2:
                break
            quota = 1
        if not tcp_snd_wnd_test(sk, skb, mss_now):
            break
        if segs == 1 and not _nagle_test(sk, skb, mss_now, nonagle if len(queue) == 1 else TCP_NAGLE_PUSH):
            break
        limit = mss_now
        if segs > 1 and sk.snd_up == sk.snd_una:
            limit = _mss_split_point(sk, skb, mss_now, min(quota, max_segs), nonagle)
        if skb.len > limit:
            try:
                tcp_fragment(sk, queue, 0, limit, mss_now)
            except OSError:
                break
        if tcp_small_queue_check(sk):
            break
        cb: TcpSkbCb = skb.cb
        if cb.end_seq == cb.seq:
            break  # Nothing is left of it.
        if tcp_transmit_skb(sk, skb, clone_it=True):
            break
        tcp_event_new_data_sent(sk, skb)
        if skb.len < cb.segs * mss_now:
            sk.snd_sml = cb.end_seq  # tcp_minshall_update()
        sent += cb.segs
        if push_one:
            break
    is_cwnd_limited = is_cwnd_limited or tcp_packets_in_flight(sk) >= sk.snd_cwnd
    if sent or is_cwnd_limited:
        tcp_cwnd_validate(sk, is_cwnd_limited)
    if sent:
        if sk.icsk_ca_state in (TCP_CA_CWR, TCP_CA_RECOVERY):
            sk.prr_out += sent
        if push_one != 2:
            tcp_schedule_loss_probe(sk, False)
        return False
    return not sk.packets_out and bool(queue)


def tcp_tso_segs(sk: "TcpSock") -> int:
    """Return as how many packets one may go that is cut below: nothing is sent at a pace, which would make it fewer."""
    return sk.sk_gso_max_segs


def __tcp_push_pending_frames(sk: "TcpSock", mss: int, nonagle: int) -> None:
    """Send what may go, and see that what may not does not wait for ever."""
    if sk.sk_state == TCP_CLOSE:
        return
    if tcp_write_xmit(sk, mss, nonagle, 0):
        tcp_check_probe_timer(sk)


def tcp_push_pending_frames(sk: "TcpSock") -> None:
    """Send what may go, if anything waits."""
    if sk.sk_write_queue:
        __tcp_push_pending_frames(sk, tcp_current_mss(sk), sk.nonagle)


def tcp_push_one(sk: "TcpSock", mss: int) -> None:
    """Send one packet, of which there is a whole segment."""
    tcp_write_xmit(sk, mss, TCP_NAGLE_PUSH, 1)


def tcp_check_probe_timer(sk: "TcpSock") -> None:
    """Have the window probed if nothing else would make the connection go on (RFC 9293 §3.8.6.1)."""
    if not sk.packets_out and not sk.icsk_pending:
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_PROBE0, inet_csk_rto_backoff_probe(sk, TCP_RTO_MAX))

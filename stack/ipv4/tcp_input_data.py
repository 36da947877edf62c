"""Received data: in order, too early, or once more (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.10.7.4)."""

from typing import TYPE_CHECKING

from ..core.datagram import sock_def_readable
from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import consume_skb, kfree_skb_reason
from ..core.skbuff_data import pskb_may_pull
from ..core.sock import RCV_SHUTDOWN, sock_def_wakeup
from ..core.sock_mem import sk_forced_mem_schedule
from ..core.tcp_states import (
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_SYN_RECV,
    TCP_TIME_WAIT,
)
from ..core.timer import jiffies
from .tcp_defs import (
    ICSK_ACK_NOW,
    ICSK_ACK_SCHED,
    TCP_ATO_MIN,
    TCP_ECN_DEMAND_CWR,
    TCP_ECN_OK,
    TCP_ECN_SEEN,
    TCP_MAX_QUICKACKS,
    TCPHDR_CWR,
    TCPHDR_FIN,
    TcpSkbCb,
    after,
    before,
)
from .tcp_input_prune import tcp_rfree, tcp_set_owner_r, tcp_try_rmem_schedule
from .tcp_input_rtt import tcp_rcv_rtt_measure
from .tcp_memory import tcp_under_memory_pressure
from .tcp_minisocks_wait import tcp_time_wait
from .tcp_output_ack import inet_csk_in_pingpong_mode, tcp_send_ack
from .tcp_output_window import tcp_full_space, tcp_receive_window, tcp_space, tcp_win_from_space
from .tcp_state import skb_rbtree_purge, tcp_set_state

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "pull_octets",
    "tcp_data_queue",
    "tcp_data_queue_ofo",
    "tcp_data_ready",
    "tcp_dsack_set",
    "tcp_enter_quickack_mode",
    "tcp_event_data_recv",
    "tcp_fin",
    "tcp_in_quickack_mode",
    "tcp_ofo_queue",
    "tcp_queue_rcv",
    "tcp_send_dupack",
]

_MAX_SACKS = 4  # TCP_NUM_SACKS
_ADVERTISED_MSS_MIN = 536


def tcp_incr_quickack(sk: "TcpSock", most: int) -> None:
    """Have so many segments acknowledged at once as fill half a window."""
    quick = sk.rcv_wnd // (2 * max(sk.ack_rcv_mss, 1)) or 2
    sk.ack_quick = max(sk.ack_quick, min(quick, most))


def tcp_enter_quickack_mode(sk: "TcpSock", most: int = TCP_MAX_QUICKACKS) -> None:
    """Acknowledge at once for a while: the peer waits for it."""
    tcp_incr_quickack(sk, most)
    sk.ack_pingpong = 0
    sk.ack_ato = TCP_ATO_MIN


def tcp_in_quickack_mode(sk: "TcpSock") -> bool:
    """Return whether segments are to be acknowledged at once."""
    return bool(sk.ack_quick) and not inet_csk_in_pingpong_mode(sk)


def tcp_measure_rcv_mss(sk: "TcpSock", skb: "SkBuff") -> None:
    """Learn how long the peer's segments are (``ack_rcv_mss``)."""
    length = skb.gso_size or skb.len
    if length >= sk.ack_rcv_mss:
        sk.ack_rcv_mss = min(length, sk.advmss)
        sk.ack_last_seg_size = 0
    elif length >= _ADVERTISED_MSS_MIN:
        if length == sk.ack_last_seg_size:
            sk.ack_rcv_mss = length
        else:
            sk.ack_last_seg_size = length


def tcp_grow_window(sk: "TcpSock", skb: "SkBuff") -> None:
    """Let the window grow if packets do not take much more memory than they have data."""
    room = min(sk.window_clamp, tcp_space(sk)) - sk.rcv_ssthresh
    if room <= 0 or tcp_under_memory_pressure(sk):
        return
    if tcp_win_from_space(sk, skb.truesize) <= skb.len:
        incr = 2 * sk.advmss
    else:
        # It takes more: the window grows less, as memory allows it.
        truesize, window, incr = tcp_win_from_space(sk, skb.truesize) >> 1, tcp_full_space(sk) >> 1, 0
        while sk.rcv_ssthresh <= window:
            if truesize <= skb.len:
                incr = 2 * sk.ack_rcv_mss
                break
            truesize >>= 1
            window >>= 1
    if incr:
        sk.rcv_ssthresh += min(room, max(incr, 2 * skb.len))
        sk.ack_quick |= 1


def tcp_event_data_recv(sk: "TcpSock", skb: "SkBuff") -> None:
    """Learn from data that came how the next is to be acknowledged."""
    sk.ack_pending |= ICSK_ACK_SCHED
    tcp_measure_rcv_mss(sk, skb)
    tcp_rcv_rtt_measure(sk)
    now = jiffies(sk.kernel)
    if not sk.ack_ato:
        tcp_incr_quickack(sk, TCP_MAX_QUICKACKS)
        sk.ack_ato = TCP_ATO_MIN
    else:
        gap = now - sk.ack_lrcvtime
        if gap <= TCP_ATO_MIN // 2:
            sk.ack_ato = (sk.ack_ato >> 1) + TCP_ATO_MIN // 2
        elif gap < sk.ack_ato:
            sk.ack_ato = min((sk.ack_ato >> 1) + gap, sk.icsk_rto)
        elif gap > sk.icsk_rto:
            # The peer was silent for long: it begins slowly, and wants to hear soon.
            tcp_incr_quickack(sk, TCP_MAX_QUICKACKS)
    sk.ack_lrcvtime = now
    _ecn_check_ce(sk, skb)
    if skb.len >= 128:
        tcp_grow_window(sk, skb)


def _ecn_check_ce(sk: "TcpSock", skb: "SkBuff") -> None:
    """Note whether the network has marked a packet (RFC 3168 §6.1.3)."""
    if not sk.ecn_flags & TCP_ECN_OK:
        return
    mark = skb.cb.ip_dsfield & 3
    if mark == 3:
        if not sk.ecn_flags & TCP_ECN_DEMAND_CWR:
            tcp_enter_quickack_mode(sk, 2)
            sk.ecn_flags |= TCP_ECN_DEMAND_CWR
        sk.ecn_flags |= TCP_ECN_SEEN
    elif mark:
        sk.ecn_flags |= TCP_ECN_SEEN
    elif sk.ecn_flags & TCP_ECN_SEEN:
        tcp_enter_quickack_mode(sk, 2)  # Sent once more: the peer waits.


def _ecn_accept_cwr(sk: "TcpSock", cb: TcpSkbCb) -> None:
    if cb.tcp_flags & TCPHDR_CWR:
        sk.ecn_flags &= ~TCP_ECN_DEMAND_CWR
        if cb.seq != cb.end_seq:
            sk.ack_pending |= ICSK_ACK_NOW  # It tells whether the window really went down.


def tcp_dsack_set(sk: "TcpSock", seq: int, end_seq: int) -> None:
    """Tell the peer of what came twice with the next ACK (RFC 2883)."""
    if sk.rx_opt.sack_ok and sk.net.ipv4.sysctl_tcp_dsack:
        old = before(seq, sk.rcv_nxt)
        sk.net.mib["TcpExt:TCPDSACKOldSent" if old else "TcpExt:TCPDSACKOfoSent"] += 1
        sk.duplicate_sack = (seq, end_seq)


def tcp_send_dupack(sk: "TcpSock", skb: "SkBuff") -> None:
    """Answer a segment that has nothing new, at once."""
    cb: TcpSkbCb = skb.cb
    if cb.end_seq != cb.seq and before(cb.seq, sk.rcv_nxt):
        sk.net.mib["TcpExt:DelayedACKLost"] += 1
        tcp_enter_quickack_mode(sk)
        tcp_dsack_set(sk, cb.seq, sk.rcv_nxt if after(cb.end_seq, sk.rcv_nxt) else cb.end_seq)
    tcp_send_ack(sk)


def tcp_fin(sk: "TcpSock") -> None:
    """Receive a FIN (RFC 9293 §3.10.7.4, eighth check)."""
    sk.ack_pending |= ICSK_ACK_SCHED
    sk.sk_shutdown |= RCV_SHUTDOWN
    state = sk.sk_state
    if state in (TCP_SYN_RECV, TCP_ESTABLISHED):
        tcp_set_state(sk, TCP_CLOSE_WAIT)
        sk.ack_pingpong = 1
    elif state == TCP_FIN_WAIT1:
        # Both close at once.
        tcp_send_ack(sk)
        tcp_set_state(sk, TCP_CLOSING)
    elif state == TCP_FIN_WAIT2:
        tcp_send_ack(sk)
        tcp_time_wait(sk, TCP_TIME_WAIT, 0)
    # What came early and is behind the FIN is nothing that the peer has sent.
    skb_rbtree_purge(sk)
    sk.selective_acks.clear()
    if not sk.dead:
        sock_def_wakeup(sk)


def tcp_queue_rcv(sk: "TcpSock", skb: "SkBuff") -> None:
    """Append data that is expected next to what the program reads."""
    cb: TcpSkbCb = skb.cb
    sk.bytes_received += cb.end_seq - sk.rcv_nxt & 0xFFFFFFFF
    sk.rcv_nxt = cb.end_seq
    sk.sk_receive_queue.append(skb)
    if skb.destructor is not tcp_rfree:
        tcp_set_owner_r(skb, sk)


def tcp_data_ready(sk: "TcpSock") -> None:
    """Wake who waits for data, if there is as much as it wants (``SO_RCVLOWAT``), or no room for more."""
    available = sk.rcv_nxt - sk.copied_seq & 0xFFFFFFFF
    if (
        available >= sk.sk_rcvlowat
        or sk.sk_shutdown & RCV_SHUTDOWN
        or available + sk.ack_rcv_mss > sk.rcv_wnd
        or sk.sk_rmem_alloc >= sk.sk_rcvbuf - (sk.sk_rcvbuf >> 3)
    ):
        sock_def_readable(sk)


def tcp_data_queue(sk: "TcpSock", skb: "SkBuff") -> None:
    """Receive the data of a segment, whose header is taken off; it is consumed."""
    cb: TcpSkbCb = skb.cb
    if cb.seq == cb.end_seq:
        consume_skb(skb)
        return
    _ecn_accept_cwr(sk, cb)
    mib = sk.net.mib
    sk.duplicate_sack = None
    if cb.seq == sk.rcv_nxt:
        left = tcp_receive_window(sk)
        if not left:
            mib["TcpExt:TCPZeroWindowDrop"] += 1
            _out_of_window(sk, skb, SkbDropReason.TCP_ZEROWINDOW)
            return
        _queue_and_out(sk, skb)
        return
    if not after(cb.end_seq, sk.rcv_nxt):
        # All of it came before.
        tcp_dsack_set(sk, cb.seq, cb.end_seq)
        mib["TcpExt:DelayedACKLost"] += 1
        _out_of_window(sk, skb, SkbDropReason.TCP_OLD_DATA)
        return
    if not before(cb.seq, sk.rcv_nxt + tcp_receive_window(sk) & 0xFFFFFFFF):
        _out_of_window(sk, skb, SkbDropReason.TCP_OVERWINDOW)
        return
    if before(cb.seq, sk.rcv_nxt):
        # Some of it came before.
        tcp_dsack_set(sk, cb.seq, sk.rcv_nxt)
        if not tcp_receive_window(sk):
            mib["TcpExt:TCPZeroWindowDrop"] += 1
            _out_of_window(sk, skb, SkbDropReason.TCP_ZEROWINDOW)
            return
        _queue_and_out(sk, skb)
        return
    tcp_data_queue_ofo(sk, skb)


def _out_of_window(sk: "TcpSock", skb: "SkBuff", reason: SkbDropReason) -> None:
    """Drop a segment that cannot be taken, and say what can."""
    tcp_enter_quickack_mode(sk)
    sk.ack_pending |= ICSK_ACK_SCHED
    kfree_skb_reason(skb, reason)


def _queue_and_out(sk: "TcpSock", skb: "SkBuff") -> None:
    """Give the program what comes next, and what came early behind it."""
    cb: TcpSkbCb = skb.cb
    mib = sk.net.mib
    if not sk.sk_receive_queue:
        # The program has nothing to read, so that nothing would ever be freed: it gets this.
        sk_forced_mem_schedule(sk, skb.truesize)
    elif not tcp_try_rmem_schedule(sk, skb, skb.truesize):
        mib["TcpExt:TCPRcvQDrop"] += 1
        sk.ack_pending |= ICSK_ACK_SCHED | ICSK_ACK_NOW
        sock_def_readable(sk)
        kfree_skb_reason(skb, SkbDropReason.PROTO_MEM)
        return
    _skip_old(sk, skb)
    fin = cb.tcp_flags & TCPHDR_FIN
    tcp_queue_rcv(sk, skb)
    if skb.len:
        tcp_event_data_recv(sk, skb)
    if fin:
        tcp_fin(sk)
    if sk.out_of_order_queue:
        tcp_ofo_queue(sk)
        # A gap was filled: the peer should know at once (RFC 5681 §4.2).
        if not sk.out_of_order_queue:
            sk.ack_pending |= ICSK_ACK_NOW
    if sk.selective_acks:
        sk.selective_acks = [block for block in sk.selective_acks if after(block[1], sk.rcv_nxt)]
    if not sk.dead:
        tcp_data_ready(sk)


def _skip_old(sk: "TcpSock", skb: "SkBuff") -> None:
    """Take off what was received before: then each octet is in the queue once."""
    cb: TcpSkbCb = skb.cb
    old = sk.rcv_nxt - cb.seq & 0xFFFFFFFF
    if not old:
        return
    if old <= skb.len:
        pull_octets(skb, old)
        cb.seq = sk.rcv_nxt


def pull_octets(skb: "SkBuff", count: int) -> None:
    """Take octets off the front of a packet, wherever they lie."""
    if count > skb.len - skb.data_len:
        pskb_may_pull(skb, count)
    skb.data += count
    skb.len -= count


def tcp_ofo_queue(sk: "TcpSock") -> None:
    """Move what came early and is expected now to what the program reads."""
    queue = sk.out_of_order_queue
    while queue and not after(queue[0].cb.seq, sk.rcv_nxt):
        skb = queue.pop(0)
        cb: TcpSkbCb = skb.cb
        if not after(cb.end_seq, sk.rcv_nxt):
            kfree_skb_reason(skb, SkbDropReason.TCP_OFO_DROP)
            continue
        _skip_old(sk, skb)
        fin = cb.tcp_flags & TCPHDR_FIN
        tcp_queue_rcv(sk, skb)
        if fin:
            tcp_fin(sk)
            return


def tcp_data_queue_ofo(sk: "TcpSock", skb: "SkBuff") -> None:
    """Keep data that came before what is expected, and tell the peer which (RFC 2018 §4)."""
    cb: TcpSkbCb = skb.cb
    mib = sk.net.mib
    _ecn_check_ce(sk, skb)
    sk.ack_pending |= ICSK_ACK_SCHED
    sk.ack_pending |= ICSK_ACK_NOW if not sk.out_of_order_queue else 0
    if not tcp_try_rmem_schedule(sk, skb, skb.truesize):
        mib["TcpExt:TCPOFODrop"] += 1
        sock_def_readable(sk)
        kfree_skb_reason(skb, SkbDropReason.PROTO_MEM)
        return
    tcp_set_owner_r(skb, sk)  # Now: what is freed below would take what was set apart for it along.
    mib["TcpExt:TCPOFOQueue"] += 1
    queue = sk.out_of_order_queue
    seq, end = cb.seq, cb.end_seq
    at = len(queue)
    while at and before(seq, queue[at - 1].cb.seq):
        at -= 1
    if at and not before(queue[at - 1].cb.end_seq, end):
        # One that is there has all of it.
        mib["TcpExt:TCPOFOMerge"] += 1
        tcp_dsack_set(sk, seq, end)
        kfree_skb_reason(skb, SkbDropReason.TCP_OFOMERGE)
        return
    if at and queue[at - 1].cb.seq == seq:
        at -= 1  # It has all of this one.
    elif at and after(queue[at - 1].cb.end_seq, seq):
        tcp_dsack_set(sk, seq, queue[at - 1].cb.end_seq)
    while at < len(queue) and not after(queue[at].cb.end_seq, end):
        # It has all of one that is there.
        old: TcpSkbCb = queue[at].cb
        tcp_dsack_set(sk, old.seq, old.end_seq)
        mib["TcpExt:TCPOFOMerge"] += 1
        kfree_skb_reason(queue.pop(at), SkbDropReason.TCP_OFOMERGE)
    if at < len(queue) and after(end, queue[at].cb.seq):
        tcp_dsack_set(sk, queue[at].cb.seq, end)
    queue.insert(at, skb)
    if sk.rx_opt.sack_ok:
        _sack_new_ofo_skb(sk, seq, end)
    tcp_grow_window(sk, skb)


def _sack_new_ofo_skb(sk: "TcpSock", seq: int, end: int) -> None:
    """Put the block that a segment belongs to in front; those that it joins become one (RFC 2018 §4)."""
    rest: list[tuple[int, int]] = []
    for start, stop in sk.selective_acks:
        if after(start, end) or before(stop, seq):
            rest.append((start, stop))
        else:
            seq = start if before(start, seq) else seq
            end = stop if after(stop, end) else end
    sk.selective_acks = [(seq, end), *rest][:_MAX_SACKS]

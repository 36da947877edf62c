"""Memory of what came: what to do when there is none (Linux: net/ipv4/tcp_input.c; RFC 2018 §8)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import PAGE_SIZE, SHINFO_OCTETS, alloc_skb, consume_skb, kfree_skb_reason, skb_orphan, skb_put
from ..core.skbuff_data import skb_copy_bits
from ..core.sock import SOCK_RCVBUF_LOCK
from ..core.sock_mem import __sk_mem_reclaim, sk_rmem_schedule
from .tcp_defs import TCPHDR_FIN, TCPHDR_SYN, TcpSkbCb, after, before
from .tcp_memory import tcp_under_memory_pressure
from .tcp_output_window import tcp_adjust_rcv_ssthresh, tcp_win_from_space

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "tcp_clamp_window",
    "tcp_collapse",
    "tcp_collapse_ofo_queue",
    "tcp_prune_ofo_queue",
    "tcp_prune_queue",
    "tcp_rfree",
    "tcp_set_owner_r",
    "tcp_try_rmem_schedule",
]

_COLLAPSED_OCTETS = PAGE_SIZE - SHINFO_OCTETS  # What one packet holds whose data was copied together.


def tcp_rfree(skb: "SkBuff") -> None:
    """Destroy a packet that came: what it took is free again, whole pages for other sockets (``sock_rfree``)."""
    sk: TcpSock = skb.sk  # type: ignore[assignment]  # What tcp_set_owner_r() set.
    size = skb.truesize
    sk.sk_rmem_alloc -= size
    free = sk.sk_forward_alloc + size
    sk.sk_forward_alloc = free
    if free >= PAGE_SIZE:
        __sk_mem_reclaim(sk, free)


def tcp_set_owner_r(skb: "SkBuff", sk: "TcpSock") -> None:
    """Count a packet's memory against its receiver, out of what was set apart for that (``skb_set_owner_r``)."""
    skb_orphan(skb)
    skb.sk = sk
    skb.destructor = tcp_rfree
    sk.sk_rmem_alloc += skb.truesize
    sk.sk_forward_alloc -= skb.truesize


def tcp_try_rmem_schedule(sk: "TcpSock", skb: "SkBuff", size: int) -> bool:
    """Return whether there is memory for a packet, of the socket and of all, making some if needed."""
    if sk.sk_rmem_alloc <= sk.sk_rcvbuf and sk_rmem_schedule(sk, size):
        return True
    if not tcp_prune_queue(sk, skb):
        return False
    while not sk_rmem_schedule(sk, size):
        if not tcp_prune_ofo_queue(sk, skb):
            return False
    return True


def tcp_prune_queue(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Make room for a packet: copy together what holds more memory than data, then throw away what came too early.

    Returns
    -------
    bool
        Whether the socket has no more than its buffer now.
    """
    mib = sk.net.mib
    mib["TcpExt:PruneCalled"] += 1
    if sk.sk_rmem_alloc >= sk.sk_rcvbuf:
        tcp_clamp_window(sk)
    elif tcp_under_memory_pressure(sk):
        tcp_adjust_rcv_ssthresh(sk)
    if sk.sk_rmem_alloc <= sk.sk_rcvbuf:
        return True
    tcp_collapse_ofo_queue(sk)
    if sk.sk_receive_queue:
        collapsed = tcp_collapse(sk, list(sk.sk_receive_queue), sk.copied_seq, sk.rcv_nxt)
        sk.sk_receive_queue.clear()
        sk.sk_receive_queue.extend(collapsed)
    if sk.sk_rmem_alloc <= sk.sk_rcvbuf:
        return True
    tcp_prune_ofo_queue(sk, skb)
    if sk.sk_rmem_alloc <= sk.sk_rcvbuf:
        return True
    mib["TcpExt:RcvPruned"] += 1
    return False


def tcp_clamp_window(sk: "TcpSock") -> None:
    """Let the buffer grow to what is in it while there is enough memory for all; else have the window shrink."""
    memory = sk.sk_memory
    assert memory is not None
    sk.ack_quick = 0
    most = sk.net.ipv4.sysctl_tcp_rmem[2]
    if (
        sk.sk_rcvbuf < most
        and not sk.sk_userlocks & SOCK_RCVBUF_LOCK
        and not memory.memory_pressure
        and memory.memory_allocated < memory.sysctl_mem[0]
    ):
        sk.sk_rcvbuf = min(sk.sk_rmem_alloc, most)
    if sk.sk_rmem_alloc > sk.sk_rcvbuf:
        sk.rcv_ssthresh = min(sk.window_clamp, 2 * sk.advmss)


def tcp_prune_ofo_queue(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Throw away what came too early, the latest numbers first: the peer has not forgotten it (RFC 2018 §8).

    What comes before the packet for which room is made stays; an eighth of the buffer is freed at a time.

    Returns
    -------
    bool
        Whether there was something.
    """
    queue = sk.out_of_order_queue
    start = skb.cb.seq
    goal = sk.sk_rcvbuf >> 3
    pruned = False
    while queue and not after(start, queue[-1].cb.seq):
        last = queue.pop()
        pruned = True
        goal -= last.truesize
        kfree_skb_reason(last, SkbDropReason.TCP_OFO_QUEUE_PRUNE)
        if not queue or goal <= 0:
            if sk.sk_rmem_alloc <= sk.sk_rcvbuf and not tcp_under_memory_pressure(sk):
                break
            goal = sk.sk_rcvbuf >> 3
    if pruned:
        sk.net.mib["TcpExt:OfoPruned"] += 1
        sk.selective_acks.clear()  # What the peer was told does not hold any more.
    return pruned


def _is_bloated(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Return whether a packet holds more memory than window for its data."""
    return tcp_win_from_space(sk, skb.truesize) > skb.len


def tcp_collapse(sk: "TcpSock", queue: "list[SkBuff]", start: int, end: int) -> "list[SkBuff]":
    """Copy the data of packets, from a sequence number to another, into as few as can hold it; return the queue then.

    The first ones stay that are no worse than a copy. A SYN or FIN ends it.
    """
    at = 0
    kept: list[SkBuff] = []
    while at < len(queue):
        skb = queue[at]
        cb: TcpSkbCb = skb.cb
        following = queue[at + 1] if at + 1 < len(queue) else None
        if cb.tcp_flags & (TCPHDR_SYN | TCPHDR_FIN):
            return [*kept, *queue[at:]]
        if not before(start, cb.end_seq):
            _collapse_one(sk, skb)  # It was read, or another one has all of it.
            at += 1
            continue
        if _is_bloated(sk, skb) or before(cb.seq, start) or (following and cb.end_seq != following.cb.seq):
            break
        start = cb.end_seq
        kept.append(skb)
        at += 1
    return [*kept, *_copy_together(sk, queue[at:], start, end)]


def _collapse_one(sk: "TcpSock", skb: "SkBuff") -> None:
    """Free a packet whose data is elsewhere (``tcp_collapse_one``)."""
    consume_skb(skb)
    sk.net.mib["TcpExt:TCPRcvCollapsed"] += 1


def _copy_together(sk: "TcpSock", queue: "list[SkBuff]", start: int, end: int) -> "list[SkBuff]":
    """Return packets with the data of others, which are freed; what cannot be copied is as it was."""
    done: list[SkBuff] = []
    new: SkBuff | None = None
    for at, skb in enumerate(queue):
        cb: TcpSkbCb = skb.cb
        if cb.tcp_flags & (TCPHDR_SYN | TCPHDR_FIN):
            return [*done, *queue[at:]]
        while before(start, cb.end_seq):
            room = _COLLAPSED_OCTETS - new.len if new is not None else 0
            if new is None or not room:
                try:
                    size = min(_COLLAPSED_OCTETS, end - start & 0xFFFFFFFF)
                    new = alloc_skb(sk.kernel, size)
                except OSError:
                    return [*done, *queue[at:]]  # The start of this one may be in two places, which does no harm.
                new.dev = skb.dev
                new.cb = TcpSkbCb(start, start, cb.tcp_flags)
                new.cb.ip_dsfield, new.tstamp_ns = cb.ip_dsfield, skb.tstamp_ns
                tcp_set_owner_r(new, sk)
                done.append(new)
                room = size
            offset = start - cb.seq & 0xFFFFFFFF
            size = min(room, skb.len - offset)
            to = skb_put(new, size)
            new.view[to : to + size] = skb_copy_bits(skb, offset, size)
            start = start + size & 0xFFFFFFFF
            new.cb.end_seq = start
        _collapse_one(sk, skb)
    return done


def tcp_collapse_ofo_queue(sk: "TcpSock") -> None:
    """Copy what came too early together, each run of it for itself; small ones only until an eighth of the buffer."""
    queue = sk.out_of_order_queue
    whole: list[SkBuff] = []
    tiny = 0
    at = 0
    while at < len(queue):
        first = at
        start, end = queue[at].cb.seq, queue[at].cb.end_seq
        size = queue[at].truesize
        at += 1
        while at < len(queue) and not after(queue[at].cb.seq, end):
            size += queue[at].truesize
            if after(queue[at].cb.end_seq, end):
                end = queue[at].cb.end_seq
            at += 1
        if size != queue[first].truesize or end - start & 0xFFFFFFFF >= _COLLAPSED_OCTETS:
            whole += tcp_collapse(sk, queue[first:at], start, end)
            continue
        whole += queue[first:at]
        tiny += size
        if tiny > sk.sk_rcvbuf >> 3:
            whole += queue[at:]
            break
    queue[:] = whole

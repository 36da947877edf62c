"""Memory of all sockets of a protocol together, in pages, and its limits (Linux: net/core/sock.c, include/net/sock.h).

What a socket has in its queues is taken from ``sk_forward_alloc``, and given back to it; that grows by whole pages,
which count for the protocol. So nearly always accounting is an addition, and ``memory_allocated`` is never less than
what the sockets have.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .skbuff import PAGE_SIZE
from .sock import SOCK_MIN_SNDBUF, SOCK_SNDBUF_LOCK

if TYPE_CHECKING:
    from .sock import Sock

__all__ = [
    "SK_MEM_RECV",
    "SK_MEM_SEND",
    "ProtoMemory",
    "__sk_mem_raise_allocated",
    "__sk_mem_reclaim",
    "__sk_mem_reduce_allocated",
    "__sk_mem_schedule",
    "nr_free_buffer_pages",
    "sk_forced_mem_schedule",
    "sk_mem_pages",
    "sk_mem_reclaim",
    "sk_mem_uncharge",
    "sk_rmem_schedule",
    "sk_stream_moderate_sndbuf",
    "sk_wmem_schedule",
]

PAGE_SHIFT = PAGE_SIZE.bit_length() - 1
SK_MEM_SEND, SK_MEM_RECV = 0, 1


class ProtoMemory:
    """What the sockets of a protocol have on one host (Linux: what ``struct proto`` points to).

    Members
    -------
    memory_allocated, sockets_allocated : int
        Pages, and the sockets that have them.
    sysctl_mem : tuple[int, int, int]
        In pages: below the first there is enough; beyond the second sockets save; beyond the third they get nothing.
    memory_pressure : int
        Whether they save: since when, in jiffies; 0: they need not.
    enter, leave : callable or None
        Begin and end that; None: the protocol does not save.
    least : callable
        Returns how much one socket may have in any case, of ``SK_MEM_SEND`` or ``SK_MEM_RECV``, in octets.
    """

    __slots__ = ("enter", "least", "leave", "memory_allocated", "memory_pressure", "sockets_allocated", "sysctl_mem")

    def __init__(
        self,
        sysctl_mem: tuple[int, int, int],
        *,
        least: Callable[[Any, int], int],
        enter: Callable[[Any], None] | None = None,
        leave: Callable[[Any], None] | None = None,
    ) -> None:
        self.memory_allocated = self.sockets_allocated = self.memory_pressure = 0
        self.sysctl_mem = sysctl_mem
        self.least = least
        self.enter = enter
        self.leave = leave


def nr_free_buffer_pages(octets: int) -> int:
    """Return how many pages a host with so much memory has for buffers."""
    return octets >> PAGE_SHIFT


def sk_mem_pages(octets: int) -> int:
    """Return how many pages so many octets need."""
    return octets + PAGE_SIZE - 1 >> PAGE_SHIFT


def __sk_mem_raise_allocated(sk: "Sock", size: int, pages: int, kind: int) -> bool:
    """Count pages that a socket wants for so many octets; return whether it may have them, else they do not count."""
    memory = sk.sk_memory
    assert memory is not None
    memory.memory_allocated += pages
    allocated = memory.memory_allocated
    low, pressure, most = memory.sysctl_mem
    if allocated <= low:
        if memory.memory_pressure and memory.leave is not None:
            memory.leave(sk)
        return True
    if allocated > pressure and memory.enter is not None:
        memory.enter(sk)
    if allocated <= most and _may_have_more(sk, memory, kind):
        return True
    if kind == SK_MEM_SEND and memory.enter is not None:
        sk_stream_moderate_sndbuf(sk)
        # One whose buffer is full waits for that, and not for us to change our mind.
        if sk.sk_wmem_queued + size >= sk.sk_sndbuf:
            return True
    memory.memory_allocated -= pages
    return False


def _may_have_more(sk: "Sock", memory: ProtoMemory, kind: int) -> bool:
    """Return whether a socket may have more when not much is left: if it has little, or not more than its share."""
    if memory.enter is not None:
        has = sk.sk_wmem_queued if kind == SK_MEM_SEND else sk.sk_rmem_alloc
    else:
        has = sk.sk_wmem_alloc if kind == SK_MEM_SEND else sk.sk_rmem_alloc
    if has < memory.least(sk, kind):
        return True
    if memory.enter is None:
        return False
    if not memory.memory_pressure:
        return True
    pages = sk_mem_pages(sk.sk_wmem_queued + sk.sk_rmem_alloc + sk.sk_forward_alloc)
    return memory.sysctl_mem[2] > memory.sockets_allocated * pages


def __sk_mem_schedule(sk: "Sock", size: int, kind: int) -> bool:
    """Set whole pages apart for so many octets; return whether there were some."""
    pages = sk_mem_pages(size)
    sk.sk_forward_alloc += pages << PAGE_SHIFT
    if __sk_mem_raise_allocated(sk, size, pages, kind):
        return True
    sk.sk_forward_alloc -= pages << PAGE_SHIFT
    return False


def sk_wmem_schedule(sk: "Sock", size: int) -> bool:
    """Return whether there is memory for so many octets to send; then it is set apart."""
    delta = size - sk.sk_forward_alloc
    return delta <= 0 or __sk_mem_schedule(sk, delta, SK_MEM_SEND)


def sk_rmem_schedule(sk: "Sock", size: int) -> bool:
    """Return whether there is memory for so many octets that came; then it is set apart."""
    delta = size - sk.sk_forward_alloc
    return delta <= 0 or __sk_mem_schedule(sk, delta, SK_MEM_RECV)


def sk_forced_mem_schedule(sk: "Sock", size: int) -> None:
    """Set memory apart whether there is some or not: for what a connection needs to come to its end."""
    delta = size - sk.sk_forward_alloc
    if delta > 0:
        pages = sk_mem_pages(delta)
        sk.sk_forward_alloc += pages << PAGE_SHIFT
        assert sk.sk_memory is not None
        sk.sk_memory.memory_allocated += pages


def __sk_mem_reduce_allocated(sk: "Sock", pages: int) -> None:
    """Count pages no longer."""
    memory = sk.sk_memory
    assert memory is not None
    memory.memory_allocated -= pages
    if memory.memory_pressure and memory.leave is not None and memory.memory_allocated < memory.sysctl_mem[0]:
        memory.leave(sk)


def __sk_mem_reclaim(sk: "Sock", octets: int) -> None:
    """Give the whole pages among so many octets back."""
    pages = octets >> PAGE_SHIFT
    sk.sk_forward_alloc -= pages << PAGE_SHIFT
    __sk_mem_reduce_allocated(sk, pages)


def sk_mem_reclaim(sk: "Sock") -> None:
    """Give back what is set apart and makes whole pages."""
    if sk.sk_forward_alloc >= PAGE_SIZE:
        __sk_mem_reclaim(sk, sk.sk_forward_alloc)


def sk_mem_uncharge(sk: "Sock", size: int) -> None:
    """Count octets of a queue as free again."""
    free = sk.sk_forward_alloc + size
    sk.sk_forward_alloc = free
    if free >= PAGE_SIZE:
        __sk_mem_reclaim(sk, free)


def sk_stream_moderate_sndbuf(sk: "Sock") -> None:
    """Let a socket's buffer to send be no more than half of what is in it now, unless the program chose its size."""
    if not sk.sk_userlocks & SOCK_SNDBUF_LOCK:
        sk.sk_sndbuf = max(min(sk.sk_sndbuf, sk.sk_wmem_queued >> 1), SOCK_MIN_SNDBUF)

"""Memory of all connections of a host together (Linux: net/ipv4/tcp.c, include/net/tcp.h; ``tcp_mem``)."""

from typing import TYPE_CHECKING

from ..core.sock import SOCK_MIN_SNDBUF
from ..core.sock_mem import SK_MEM_SEND, ProtoMemory, nr_free_buffer_pages
from ..core.timer import HZ, jiffies

if TYPE_CHECKING:
    from ..core.net import Kernel
    from .tcp_sock import TcpSock

__all__ = [
    "tcp_check_oom",
    "tcp_enter_memory_pressure",
    "tcp_init_mem",
    "tcp_leave_memory_pressure",
    "tcp_out_of_memory",
    "tcp_too_many_orphans",
    "tcp_under_memory_pressure",
]

_LEAST_PAGES = 128


def tcp_init_mem(kernel: "Kernel") -> None:
    """Set the limits: a sixteenth of the host's memory is where sockets begin to save."""
    limit = max(nr_free_buffer_pages(kernel.platform.memory_octets) // 16, _LEAST_PAGES)
    low = limit // 4 * 3
    kernel.proto_memory["TCP"] = ProtoMemory(
        (low, limit, low * 2),
        least=_least,
        enter=tcp_enter_memory_pressure,
        leave=tcp_leave_memory_pressure,
    )


def _least(sk: "TcpSock", kind: int) -> int:
    """Return what one socket may have in any case (``sk_get_wmem0``, ``sk_get_rmem0``)."""
    ipv4 = sk.net.ipv4
    sizes: tuple[int, int, int] = ipv4.sysctl_tcp_wmem if kind == SK_MEM_SEND else ipv4.sysctl_tcp_rmem
    return sizes[0]


def _memory(sk: "TcpSock") -> ProtoMemory:
    memory = sk.sk_memory
    assert memory is not None
    return memory


def tcp_enter_memory_pressure(sk: "TcpSock") -> None:
    """Have all sockets save memory from now on, and count that."""
    memory = _memory(sk)
    if not memory.memory_pressure:
        memory.memory_pressure = jiffies(sk.kernel) or 1
        sk.net.mib["TcpExt:TCPMemoryPressures"] += 1


def tcp_leave_memory_pressure(sk: "TcpSock") -> None:
    """Let sockets have memory again; how long they had to save is counted in ms."""
    memory = _memory(sk)
    if memory.memory_pressure:
        passed = jiffies(sk.kernel) - memory.memory_pressure
        sk.net.mib["TcpExt:TCPMemoryPressuresChrono"] += passed * 1000 // HZ
        memory.memory_pressure = 0


def tcp_under_memory_pressure(sk: "TcpSock") -> bool:
    """Return whether sockets are to save memory."""
    return _memory(sk).memory_pressure != 0


def tcp_too_many_orphans(sk: "TcpSock", shift: int) -> bool:
    """Return whether there are too many connections without a program (``tcp_max_orphans``)."""
    ipv4 = sk.net.ipv4
    return bool(ipv4.tcp_hashinfo.orphan_count << shift > ipv4.sysctl_tcp_max_orphans)


def tcp_out_of_memory(sk: "TcpSock") -> bool:
    """Return whether a socket has something to send for which there is no memory."""
    memory = _memory(sk)
    return sk.sk_wmem_queued > SOCK_MIN_SNDBUF and memory.memory_allocated > memory.sysctl_mem[2]


def tcp_check_oom(sk: "TcpSock", shift: int) -> bool:
    """Return whether a connection without a program has to end for want of resources; ``shift`` makes that likelier."""
    if tcp_too_many_orphans(sk, shift):
        sk.kernel.log.append("TCP: too many orphaned sockets")
        return True
    if tcp_out_of_memory(sk):
        sk.kernel.log.append("TCP: out of memory -- consider tuning tcp_mem")
        return True
    return False

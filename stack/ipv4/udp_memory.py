"""Memory of all datagrams of a host together (Linux: net/ipv4/udp.c; ``udp_mem``)."""

from typing import TYPE_CHECKING

from ..core.skbuff import PAGE_SIZE
from ..core.sock_mem import (
    SK_MEM_RECV,
    ProtoMemory,
    __sk_mem_raise_allocated,
    nr_free_buffer_pages,
    sk_mem_pages,
    sk_mem_uncharge,
)

if TYPE_CHECKING:
    from ..core.net import Kernel
    from .udp import UdpSock

__all__ = ["udp_init", "udp_rmem_charge", "udp_rmem_release"]

_LEAST_PAGES = 128


def udp_init(kernel: "Kernel") -> None:
    """Set the limits: an eighth of the host's memory, and half as much again."""
    limit = max(nr_free_buffer_pages(kernel.platform.memory_octets) // 8, _LEAST_PAGES)
    low = limit // 4 * 3
    # Each socket may have a page in any case (udp_rmem_min, udp_wmem_min).
    kernel.proto_memory["UDP"] = ProtoMemory((low, limit, low * 2), least=lambda _, __: PAGE_SIZE)


def udp_rmem_charge(sk: "UdpSock", size: int) -> bool:
    """Count a datagram's memory; return whether there was some."""
    sk.sk_rmem_alloc += size
    if size >= sk.sk_forward_alloc:
        pages = sk_mem_pages(size)
        if not __sk_mem_raise_allocated(sk, pages * PAGE_SIZE, pages, SK_MEM_RECV):
            sk.sk_rmem_alloc -= size
            return False
        sk.sk_forward_alloc += pages * PAGE_SIZE
    sk.sk_forward_alloc -= size
    return True


def udp_rmem_release(sk: "UdpSock", size: int) -> None:
    """Count a datagram's memory no longer."""
    sk.sk_rmem_alloc -= size
    sk_mem_uncharge(sk, size)

"""From a descriptor to its socket, and from a program's address to the kernel's (Linux: net/socket.c)."""

from collections.abc import Generator
from contextlib import contextmanager
from errno import EBADF
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.msghdr import Sockaddr
    from .core.net import Kernel
    from .socket import Address, Socket

__all__ = ["fdget", "move_addr_to_kernel", "sockfd_lookup_light"]


def sockfd_lookup_light(kernel: "Kernel", fd: int) -> "Socket":
    """Return the socket of a descriptor.

    Raises
    ------
    OSError
        ``EBADF``.
    """
    sock = kernel.files.get(fd)
    if sock is None:
        raise OSError(EBADF, f"descriptor {fd} is not open")
    return sock


@contextmanager
def fdget(kernel: "Kernel", fd: int) -> "Generator[Socket]":
    """Keep the socket of a descriptor, for a call that may sleep: it is released after that if it was closed meanwhile.

    Raises
    ------
    OSError
        ``EBADF``.
    """
    sock = sockfd_lookup_light(kernel, fd)
    sock.f_count += 1
    try:
        yield sock
    finally:
        sock.f_count -= 1
        if not sock.f_count:
            sock.ops.release(sock.sk)


def move_addr_to_kernel(sock: "Socket", address: "Address") -> "Sockaddr":
    """Take over an address from a program; each family has its own kind.

    Raises
    ------
    OSError
        ``EINVAL`` if it is none.
    """
    return sock.ops.sockaddr(address)

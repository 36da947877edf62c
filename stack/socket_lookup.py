"""From a descriptor to its socket (Linux: net/socket.c)."""

from errno import EBADF
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.net import Kernel
    from .socket import Socket

__all__ = ["sockfd_lookup_light"]


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

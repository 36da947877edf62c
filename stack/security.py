"""Hooks for security modules (Linux: security/security.c)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.msghdr import Msghdr
    from .socket import Socket

__all__ = ["security_socket_sendmsg"]


def security_socket_sendmsg(sock: "Socket", msg: "Msghdr", size: int) -> int:
    """Ask each hook of the host, in order, whether a message may be sent; return 0 or the first negative errno."""
    for hook in sock.kernel.security_socket_sendmsg:
        error = hook(sock, msg, size)
        if error:
            return error
    return 0

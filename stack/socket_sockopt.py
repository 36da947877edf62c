"""Sockets, their options: the system calls (Linux: net/socket.c)."""

from sys import byteorder
from typing import TYPE_CHECKING

from .core.sock_options import sock_setsockopt
from .core.sock_options_get import sock_getsockopt
from .socket_lookup import sockfd_lookup_light
from .uapi import SOL_IP, SOL_SOCKET

if TYPE_CHECKING:
    from .core.net import Kernel

__all__ = ["sys_getsockopt", "sys_setsockopt"]


def __x64_sys_setsockopt(kernel: "Kernel", fd: int, level: int, optname: int, value: bytes) -> int:
    sock = sockfd_lookup_light(kernel, fd)
    if level == SOL_SOCKET:
        return sock_setsockopt(sock, optname, value)
    return sock.ops.setsockopt(sock.sk, level, optname, value)


def __x64_sys_getsockopt(kernel: "Kernel", fd: int, level: int, optname: int, optlen: int) -> bytes:
    sock = sockfd_lookup_light(kernel, fd)
    if level == SOL_SOCKET:
        value = sock_getsockopt(sock, optname, optlen)
    else:
        value = sock.ops.getsockopt(sock.sk, level, optname)
    if isinstance(value, bytes):
        return value[:optlen]
    if level == SOL_IP and optlen < 4 and 0 <= value <= 255:
        return bytes((value,))[:optlen]  # Of IP a small number may be one octet.
    return value.to_bytes(4, byteorder, signed=True)[:optlen]


# Inside a class Python changes names that start with two underscores.
sys_setsockopt = __x64_sys_setsockopt
sys_getsockopt = __x64_sys_getsockopt

"""Addresses of IPv4 sockets, as programs give and get them (Linux: include/uapi/linux/in.h)."""

from errno import EINVAL
from operator import index
from socket import inet_pton
from struct import Struct
from typing import Any

from ..core.msghdr import Octets, Sockaddr
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text

__all__ = ["sockaddr_in", "sockaddr_in_address", "sockaddr_in_octets"]

_SOCKADDR_IN = Struct("=H2s4s8x")

_NAMES = {"": 0, "<broadcast>": 0xFFFFFFFF}


def sockaddr_in(address: Octets | tuple[Any, ...]) -> Sockaddr:
    """Return family, IPv4 address and port of ``(host, port)`` or of the octets of a ``struct sockaddr_in``.

    Raises
    ------
    OSError
        ``EINVAL`` if it is none.
    TypeError, OverflowError
        If the port is no integer, or not in 0..65535.
    """
    if isinstance(address, (bytes, bytearray, memoryview)):
        octets = bytes(address)
        if not 16 <= len(octets) <= 128:
            raise OSError(EINVAL, "a struct sockaddr_in has 16 octets")
        family = int.from_bytes(octets[:2], "little")
        return family, int.from_bytes(octets[4:8], "big"), int.from_bytes(octets[2:4], "big")
    host, port = address
    port = index(port)
    if not 0 <= port <= 0xFFFF:
        raise OverflowError("port must be 0-65535.")
    try:
        return AF_INET, int.from_bytes(inet_pton(AF_INET, host), "big"), port
    except OSError:
        if host in _NAMES:
            return AF_INET, _NAMES[host], port
        raise OSError(EINVAL, f"{host!r} is not an IPv4 address") from None


def sockaddr_in_address(name: Sockaddr) -> tuple[str, int]:
    """Return address and port as programs get them."""
    return ipv4_to_text(name[1]), name[2]


def sockaddr_in_octets(name: Sockaddr) -> bytes:
    """Return the octets of a ``struct sockaddr_in``."""
    family, address, port = name
    return _SOCKADDR_IN.pack(family, port.to_bytes(2, "big"), address.to_bytes(4, "big"))

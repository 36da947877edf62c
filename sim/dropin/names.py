"""Names and addresses in the program's ``_socket``: the scenario's table of hosts, and literals; nobody is asked."""

import _socket
import os
from _operator import index
from errno import ENXIO
from typing import Any

from .calls import call, host

__all__ = ["NAMES", "address_of", "inet_address"]


def address_of(name: "str | bytes | bytearray") -> str:
    """Return the IPv4 address of a host, in dotted form.

    Raises
    ------
    socket.gaierror
        If it is neither a name of the scenario nor an address.
    """
    text = _text(name)
    if text == "":
        return "0.0.0.0"
    if text == "<broadcast>":
        return "255.255.255.255"
    found = _socket.getaddrinfo(_literal(text), None, _socket.AF_INET, 0, 0, _socket.AI_NUMERICHOST)
    return str(found[0][4][0])


def inet_address(address: Any, caller: str) -> tuple[str, int]:
    """Return host and port of a program's address of an IPv4 socket, as the kernel takes them.

    Raises
    ------
    TypeError, OverflowError
        As Python's own socket.
    socket.gaierror
        If there is no such host.
    """
    if not isinstance(address, tuple):
        raise TypeError(f"{caller}(): AF_INET address must be tuple, not {type(address).__name__}")
    if len(address) != 2:
        raise TypeError("AF_INET address must be a pair (host, port)")
    name, port = address
    if not isinstance(name, (str, bytes, bytearray)):
        raise TypeError(f"str, bytes or bytearray expected, not {type(name).__name__}")
    number = index(port)
    if not 0 <= number <= 0xFFFF:
        raise OverflowError(f"{caller}(): port must be 0-65535.")
    return address_of(name), number


def _text(name: "str | bytes | bytearray") -> str:
    return name.encode("idna").decode() if isinstance(name, str) else bytes(name).decode()


def _literal(name: str) -> str:
    """Return the address of a name in the table, or what may be one itself."""
    return host.names.get(name.lower().rstrip("."), name)


def _names_of(address: str) -> list[str]:
    return [name for name, known in host.names.items() if known == address]


def _getaddrinfo(
    name: "str | bytes | None",
    port: "str | bytes | int | None",
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    flags &= ~_socket.AI_ADDRCONFIG  # That is about addresses of the real machine.
    if name is None:
        return _socket.getaddrinfo(None, port, family or _socket.AF_INET, type, proto, flags)
    if not isinstance(name, (str, bytes, bytearray)):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    text = _text(name)
    found: list[Any] = _socket.getaddrinfo(_literal(text), port, family, type, proto, flags | _socket.AI_NUMERICHOST)
    if found and found[0][3]:
        found[0] = (*found[0][:3], text, found[0][4])
    return found


def _gethostbyname_ex(name: str) -> tuple[str, list[str], list[str]]:
    return name, [], [address_of(name)]


def _gethostbyaddr(name: str) -> tuple[str, list[str], list[str]]:
    address = address_of(name)
    names = _names_of(address)
    if not names:
        raise _socket.herror(1, "Unknown host")
    return names[0], names[1:], [address]


def _getnameinfo(sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
    text, service = _socket.getnameinfo(sockaddr, flags & ~_socket.NI_NAMEREQD | _socket.NI_NUMERICHOST)
    names = _names_of(text)
    if flags & _socket.NI_NAMEREQD and not names:
        raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")
    return (text if flags & _socket.NI_NUMERICHOST or not names else names[0]), service


def _numberof(wanted: str) -> int:
    for number, name in call("interfaces"):
        if name == wanted:
            return int(number)
    raise OSError("no interface with this name")


def _name_of(wanted: int) -> str:
    for number, name in call("interfaces"):
        if number == wanted:
            return str(name)
    raise OSError(ENXIO, os.strerror(ENXIO))


# What stands in for the functions of ``_socket`` with these names.
NAMES = {
    "getaddrinfo": _getaddrinfo,
    "gethostbyname": address_of,
    "gethostbyname_ex": _gethostbyname_ex,
    "gethostbyaddr": _gethostbyaddr,
    "getnameinfo": _getnameinfo,
    "gethostname": lambda: host.name,
    "if_nameindex": lambda: call("interfaces"),
    "if_nametoindex": _numberof,
    "if_indextoname": _name_of,
}

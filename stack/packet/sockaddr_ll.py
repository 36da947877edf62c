"""Addresses of packet sockets as programs give them (Linux: ``struct sockaddr_ll``; packet(7), Python's socket)."""

from errno import EINVAL, ENODEV
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..uapi import AF_PACKET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..core.msghdr import Sockaddr
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["SockaddrLl", "packet_dev", "sockaddr_ll", "sockaddr_ll_address"]

_SOCKADDR_LL = Struct("=H2siHBB8s")
_ADDR_OCTETS = 8


class SockaddrLl(NamedTuple):
    """An address of a link (Linux: ``struct sockaddr_ll``).

    Members
    -------
    protocol : int
        EtherType, as the host counts.
    device : int or str
        A device's number, or its name; 0 or "": none.
    hatype, pkttype : int
        ``ARPHRD_*`` and ``PACKET_*``.
    addr : bytes
        Link address, of at most 8 octets.
    """

    family: int
    protocol: int
    device: int | str
    hatype: int = 0
    pkttype: int = 0
    addr: bytes = b""


def sockaddr_ll(address: Any) -> SockaddrLl:
    """Take over ``(name, protocol[, pkttype[, hatype[, address]]])``, or the octets of a ``struct sockaddr_ll``.

    Raises
    ------
    OSError
        ``EINVAL`` for too few octets.
    TypeError, ValueError, OverflowError
        For something else, as Python's ``socket`` says.
    """
    if isinstance(address, bytes | bytearray | memoryview):
        octets = bytes(cast("bytes", address))
        if len(octets) < _SOCKADDR_LL.size:
            raise OSError(EINVAL, f"a struct sockaddr_ll has {_SOCKADDR_LL.size} octets, not {len(octets)}")
        family, protocol, ifindex, hatype, pkttype, _, addr = _SOCKADDR_LL.unpack_from(octets)
        return SockaddrLl(family, int.from_bytes(protocol, "big"), ifindex, hatype, pkttype, addr)
    if not isinstance(address, tuple):
        raise TypeError(f"AF_PACKET address must be tuple, not {type(address).__name__}")
    fields: list[Any] = list(cast("Iterable[Any]", address))
    if not 2 <= len(fields) <= 5 or not isinstance(fields[0], str):
        raise TypeError("AF_PACKET address must be a tuple of two to five elements")
    name, protocol, pkttype, hatype, addr = fields + [0, 0, b""][len(fields) - 2 :]
    if len(addr) > _ADDR_OCTETS:
        raise ValueError(f"Hardware address must be {_ADDR_OCTETS} bytes or less")
    if not 0 <= protocol <= 0xFFFF:
        raise OverflowError("proto must be 0-65535.")
    return SockaddrLl(AF_PACKET, protocol, name, hatype, pkttype, bytes(addr).ljust(_ADDR_OCTETS, b"\0"))


def sockaddr_ll_address(address: "Sockaddr") -> tuple[str, int, int, int, bytes]:
    """Return ``(name, protocol, pkttype, hatype, address)`` for a program."""
    _, protocol, name, hatype, pkttype, addr = address
    return name, protocol, pkttype, hatype, addr


def packet_dev(net: "Net", device: int | str) -> "NetDevice | None":
    """Return the device that an address names.

    Raises
    ------
    OSError
        ``ENODEV`` for a name that there is not: Python looks for its number before the call.
    """
    if isinstance(device, int):
        return net.devices.get(device)
    dev = net.dev_by_name.get(device)
    if dev is None:
        raise OSError(ENODEV, f"no device {device!r}")
    return dev

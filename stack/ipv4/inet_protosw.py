"""Which kinds of IPv4 sockets there are (Linux: include/net/protocol.h, net/ipv4/af_inet.c)."""

from collections.abc import Callable
from dataclasses import dataclass
from errno import EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from typing import TYPE_CHECKING

from ..uapi import IPPROTO_IP

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.proto_ops import ProtoOps
    from .inet_sock import InetSock

__all__ = [
    "INET_PROTOSW_PERMANENT",
    "INET_PROTOSW_REUSE",
    "InetProtosw",
    "inet_find_protosw",
    "inet_register_protosw",
    "inet_unregister_protosw",
]

INET_PROTOSW_REUSE = 1  # Its sockets may share an address from the start.
INET_PROTOSW_PERMANENT = 2  # Nobody may take it away, or come before it.


@dataclass(frozen=True, slots=True)
class InetProtosw:
    """A kind of socket (Linux: ``struct inet_protosw``).

    Members
    -------
    type, protocol : int
        What a program asks for; protocol 0 is any.
    make : callable
        Takes namespace, family, type and protocol, and returns the new socket.
    ops : ProtoOps
        Its operations.
    flags : int
        ``INET_PROTOSW_*``.
    """

    type: int
    protocol: int
    make: "Callable[[Net, int, int, int], InetSock]"
    ops: "ProtoOps"
    flags: int = 0


def inet_register_protosw(net: "Net", p: InetProtosw) -> None:
    """Add a kind of socket, before those of its type that others have added.

    Raises
    ------
    OSError
        ``EPERM`` if one that is permanent has its protocol.
    """
    kinds = net.ipv4.inetsw.setdefault(p.type, [])
    place = 0
    for at, other in enumerate(kinds):
        if other.flags & INET_PROTOSW_PERMANENT:
            if other.protocol == p.protocol:
                raise OSError(EPERM, f"protocol {p.protocol} of type {p.type} is permanent")
            place = at + 1
    kinds.insert(place, p)


def inet_unregister_protosw(net: "Net", p: InetProtosw) -> None:
    """Take a kind of socket away.

    Raises
    ------
    OSError
        ``EPERM`` if it is permanent.
    """
    if p.flags & INET_PROTOSW_PERMANENT:
        raise OSError(EPERM, f"protocol {p.protocol} of type {p.type} is permanent")
    net.ipv4.inetsw[p.type].remove(p)


def inet_find_protosw(net: "Net", type: int, protocol: int) -> tuple[InetProtosw, int]:
    """Return the kind of socket for a type and protocol, and the protocol: 0 becomes the type's usual one.

    Raises
    ------
    OSError
        ``ESOCKTNOSUPPORT`` if there are none of the type, ``EPROTONOSUPPORT``.
    """
    kinds = net.ipv4.inetsw.get(type)
    if not kinds:
        raise OSError(ESOCKTNOSUPPORT, f"IPv4 has no sockets of type {type}")
    for answer in kinds:
        if protocol == answer.protocol:
            if protocol != IPPROTO_IP:
                return answer, protocol
        elif protocol == IPPROTO_IP:
            return answer, answer.protocol
        elif answer.protocol == IPPROTO_IP:
            return answer, protocol
    raise OSError(EPROTONOSUPPORT, f"no sockets of type {type} for protocol {protocol}")

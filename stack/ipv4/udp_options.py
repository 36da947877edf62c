"""Options and control messages of UDP (Linux: net/ipv4/udp.c; udp(7))."""

from collections.abc import Callable
from errno import EINVAL, ENOPROTOOPT
from struct import Struct
from typing import TYPE_CHECKING

from ..core.sock import lock_sock_nested, release_sock
from ..uapi import SOL_UDP, UDP_CORK
from ..uapi_options import UDP_ENCAP, UDP_GRO, UDP_NO_CHECK6_RX, UDP_NO_CHECK6_TX, UDP_SEGMENT
from ..xfrm.xfrm import UDP_ENCAP_ESPINUDP

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr
    from .inet_sock import IpcmCookie
    from .udp import UdpSock

__all__ = ["udp_cmsg_send", "udp_lib_getsockopt", "udp_lib_setsockopt"]

_INT = Struct("=i")
_U16 = Struct("=H")

# Options that are a plain truth value, and the members of the socket that have it.
_FLAGS = {
    UDP_CORK: "corkflag",
    UDP_NO_CHECK6_TX: "no_check6_tx",
    UDP_NO_CHECK6_RX: "no_check6_rx",
    UDP_GRO: "gro_enabled",
}


def udp_cmsg_send(msg: "Msghdr", ipc: "IpcmCookie") -> bool:
    """Note what UDP's control messages of a send ask for; return whether there are others.

    Raises
    ------
    OSError
        ``EINVAL`` for one that is unknown or malformed.
    """
    others = False
    for level, kind, data in msg.control:
        if level != SOL_UDP:
            others = True
        elif kind != UDP_SEGMENT or len(data) != _U16.size:
            raise OSError(EINVAL, f"no such control message of UDP: {kind}, with {len(data)} octets")
        else:
            ipc.gso_size = _U16.unpack(data)[0]
    return others


def udp_lib_setsockopt(sk: "UdpSock", optname: int, octets: bytes, push: Callable[["UdpSock"], int]) -> int:
    """Set an option of UDP; ``push`` sends what was corked.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``; what sending a corked datagram raises.
    """
    if len(octets) < _INT.size:
        raise OSError(EINVAL, f"an option of UDP takes {_INT.size} octets, not {len(octets)}")
    value: int = _INT.unpack_from(octets)[0]
    if optname in _FLAGS:
        setattr(sk, _FLAGS[optname], value != 0)
    elif optname == UDP_ENCAP:
        if value not in (0, UDP_ENCAP_ESPINUDP):
            raise OSError(ENOPROTOOPT, f"there is no encapsulation {value}")
        sk.encap_type = value
    elif optname == UDP_SEGMENT:
        if not 0 <= value <= 0xFFFF:
            raise OSError(EINVAL, f"datagrams of {value} octets")
        sk.gso_size = value
    else:
        raise OSError(ENOPROTOOPT, f"UDP has no option {optname}")
    if optname == UDP_CORK and not value and sk.pending:
        lock_sock_nested(sk)
        try:
            error = push(sk)
        finally:
            release_sock(sk)
        if error:
            raise OSError(-error, "the datagram was dropped on its way out")
    return 0


def udp_lib_getsockopt(sk: "UdpSock", optname: int) -> int:
    """Return an option of UDP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``.
    """
    if optname in _FLAGS:
        return int(getattr(sk, _FLAGS[optname]))
    if optname == UDP_ENCAP:
        return sk.encap_type
    if optname == UDP_SEGMENT:
        return sk.gso_size
    raise OSError(ENOPROTOOPT, f"UDP has no option {optname}")

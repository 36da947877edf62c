"""ICMP errors as far as sending needs them: those that this host has to tell itself (Linux: net/ipv4/icmp.c).

A packet of this host that cannot be sent makes the kernel send an ICMP message to itself, which then finds the socket.
Here the error goes to the socket at once.
"""

from errno import EACCES, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOPROTOOPT, EOPNOTSUPP
from typing import TYPE_CHECKING

from .inet_sock import InetSock

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff

__all__ = ["ICMP_DEST_UNREACH", "ICMP_FRAG_NEEDED", "ICMP_HOST_UNREACH", "icmp_err_convert", "icmp_send"]

ICMP_DEST_UNREACH = 3
ICMP_HOST_UNREACH = 1
ICMP_FRAG_NEEDED = 4

# RFC 1122 §4.1.3.3 and §4.2.3.9: the errno for each code of "destination unreachable".
icmp_err_convert = (
    ENETUNREACH,
    EHOSTUNREACH,
    ENOPROTOOPT,
    ECONNREFUSED,
    EMSGSIZE,
    EOPNOTSUPP,
    ENETUNREACH,
    EHOSTDOWN,
    ENETUNREACH,
    ENETUNREACH,
    EHOSTUNREACH,
    ENETUNREACH,
    EHOSTUNREACH,
    EACCES,
    EHOSTUNREACH,
    EHOSTUNREACH,
)


def icmp_send(skb: "SkBuff", type: int, code: int, info: int = 0) -> None:
    """Tell the sender of a packet what happened to it.

    The sender is a socket of this host: the error waits there for its next call. Unless it asked for all errors
    (``IP_RECVERR``) only a connected socket is told; but of a host that does not answer every sender is, as the mission
    map's row B12 wants it, where a UDP socket of Linux 6.1 would see nothing.
    """
    sk = skb.sk
    if type != ICMP_DEST_UNREACH or code >= len(icmp_err_convert) or not isinstance(sk, InetSock):
        return
    if code == ICMP_HOST_UNREACH or sk.recverr or sk.connected:
        sk.sk_err = icmp_err_convert[code]

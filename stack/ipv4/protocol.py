"""Who receives IPv4 packets of which protocol (Linux: net/ipv4/protocol.c)."""

from collections.abc import Callable
from errno import EEXIST
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.gro import NapiGroCb
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["MAX_INET_PROTOS", "NetProtocol", "inet_add_protocol"]

MAX_INET_PROTOS = 256


class NetProtocol:
    """A transport protocol's receive side (Linux: ``struct net_protocol``).

    Members
    -------
    handler : callable
        Receives a packet whose data starts at the transport header. A negative result is the protocol, negated, that
        shall receive it in its place.
    err_handler : callable or None
        Learns of an ICMP error: the skb's data starts at the IPv4 header of the packet that caused it; then the info of
        the message, a path's MTU for one.
    gso_segment : callable or None
        Takes an skb whose data starts at the transport header, and the features of the device that it is for; returns
        the packets that it stands for, complete but for their IPv4 headers.
    gro_receive, gro_complete : callable or None
        As of ``PacketType``, for what lies behind an IPv4 header.
    no_policy : bool
        It asks for the IPsec policy itself.
    """

    __slots__ = ("err_handler", "gro_complete", "gro_receive", "gso_segment", "handler", "no_policy")

    def __init__(
        self,
        handler: "Callable[[SkBuff], int]",
        err_handler: "Callable[[SkBuff, int], int] | None" = None,
        *,
        gso_segment: "Callable[[SkBuff, int], list[SkBuff]] | None" = None,
        gro_receive: "Callable[[list[SkBuff], SkBuff], SkBuff | None] | None" = None,
        gro_complete: "Callable[[SkBuff, NapiGroCb], None] | None" = None,
        no_policy: bool = False,
    ) -> None:
        self.handler = handler
        self.err_handler = err_handler
        self.gso_segment = gso_segment
        self.gro_receive = gro_receive
        self.gro_complete = gro_complete
        self.no_policy = no_policy


def inet_add_protocol(net: "Net", prot: NetProtocol, protocol: int) -> None:
    """Have a protocol receive.

    Raises
    ------
    OSError
        ``EEXIST`` if the number is taken.
    """
    if net.ipv4.inet_protos[protocol] is not None:
        raise OSError(EEXIST, f"protocol {protocol} is taken")
    net.ipv4.inet_protos[protocol] = prot

"""Ping sockets: SOCK_DGRAM of ICMP (Linux: net/ipv4/ping.c); programs have raw ones, so there are none."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["ping_lookup", "ping_rcv"]


def ping_lookup(net: "Net", skb: "SkBuff", ident: int) -> None:
    """Return the ping socket with an identifier: None, as ``ping_group_range`` lets nobody make one by default."""


def ping_rcv(net: "Net", skb: "SkBuff") -> SkbDropReason | None:
    """Receive an echo reply; raw sockets have theirs already. Return why it is dropped."""
    at = skb.transport_header + 4
    ident = skb.view[at] << 8 | skb.view[at + 1]
    ping_lookup(net, skb, ident)
    return SkbDropReason.NO_SOCKET

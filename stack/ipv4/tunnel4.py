"""Who receives IPv4 packets in IPv4 packets: IPsec first, then tunnels (Linux: net/ipv4/tunnel4.c)."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from errno import EEXIST, ENOENT
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..core.skbuff_data import pskb_may_pull
from ..uapi import IPPROTO_IPIP
from .icmp import icmp_send
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_PORT_UNREACH
from .protocol import NetProtocol, inet_add_protocol

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["XfrmTunnel", "tunnel4_rcv", "xfrm4_tunnel_deregister", "xfrm4_tunnel_register"]


@dataclass(frozen=True, slots=True, eq=False)
class XfrmTunnel:
    """One of those (Linux: ``struct xfrm_tunnel``).

    Members
    -------
    handler : callable
        Takes a packet whose data starts at the inner header; returns 0 if it is its, also when it dropped it.
    err_handler : callable
        Takes an ICMP error as ``NetProtocol.err_handler``; returns 0 if it is about a packet of its.
    priority : int
        The lower, the earlier it is asked.
    """

    handler: "Callable[[SkBuff], int]"
    err_handler: "Callable[[SkBuff, int], int]"
    priority: int


def xfrm4_tunnel_register(net: "Net", handler: XfrmTunnel) -> None:
    """Have one more receive packets in packets.

    Raises
    ------
    OSError
        ``EEXIST`` if there is one of its priority.
    """
    handlers = net.ipv4.tunnel4_handlers
    if any(other.priority == handler.priority for other in handlers):
        raise OSError(EEXIST, f"there is a handler of priority {handler.priority}")
    if net.ipv4.inet_protos[IPPROTO_IPIP] is None:
        inet_add_protocol(net, NetProtocol(tunnel4_rcv, tunnel4_err, no_policy=True), IPPROTO_IPIP)
    insort(handlers, handler, key=lambda entry: entry.priority)


def xfrm4_tunnel_deregister(net: "Net", handler: XfrmTunnel) -> None:
    """End that.

    Raises
    ------
    OSError
        ``ENOENT`` if it was not there.
    """
    if handler not in net.ipv4.tunnel4_handlers:
        raise OSError(ENOENT, "not registered")
    net.ipv4.tunnel4_handlers.remove(handler)


def tunnel4_rcv(skb: "SkBuff") -> int:
    """Offer a packet to each; if it is nobody's, tell its sender."""
    dev = skb.dev
    assert dev is not None
    if not pskb_may_pull(skb, 20):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return 0
    for tunnel in dev.net.ipv4.tunnel4_handlers:
        if not tunnel.handler(skb):
            return 0
    icmp_send(skb, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH)
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return 0


def tunnel4_err(skb: "SkBuff", info: int) -> int:
    """Offer an ICMP error to each; return 0 if it was somebody's."""
    dev = skb.dev
    assert dev is not None
    for tunnel in dev.net.ipv4.tunnel4_handlers:
        if not tunnel.err_handler(skb, info):
            return 0
    return -ENOENT

"""Packets for each router on the way (Linux: net/ipv4/ip_input.c; RFC 2113)."""

from typing import TYPE_CHECKING

from ..core.skbuff_data import skb_clone
from .raw import raw_rcv

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .raw import RawSock

__all__ = ["ip_call_ra_chain"]


IP_DEFRAG_CALL_RA_CHAIN = 1


def ip_call_ra_chain(skb: "SkBuff") -> bool:
    """Give a packet with the option Router Alert to the raw sockets that asked for it; return whether one did."""
    from .ip_fragment import ip_defrag, ip_is_fragment  # It needs routing, which needs this.

    dev = skb.dev
    assert dev is not None
    net = dev.net
    last: RawSock | None = None
    protocol = skb.view[skb.network_header + 9]
    for sk in tuple(net.ipv4.ra_chain):
        if sk.inet_num != protocol or sk.sk_bound_dev_if not in (0, dev.ifindex):
            continue
        if last is None and ip_is_fragment(skb):
            whole = ip_defrag(net, skb, IP_DEFRAG_CALL_RA_CHAIN)
            if whole is None:
                return True
            skb = whole
        if last is not None:
            raw_rcv(last, skb_clone(skb))
        last = sk
    if last is None:
        return False
    raw_rcv(last, skb)
    return True

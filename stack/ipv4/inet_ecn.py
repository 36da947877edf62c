"""Explicit congestion notification in headers of tunnels (Linux: include/net/inet_ecn.h; RFC 3168, RFC 6040)."""

from ..core.skbuff import SkBuff
from ..core.skbuff_data import skb_cow_head
from .ip import ip_send_check

__all__ = ["INET_ECN_MASK", "INET_ECN_encapsulate", "IP_ECN_decapsulate"]

_ECT_1 = 1
_ECT_0 = 2
_CE = 3
INET_ECN_MASK = 3


def INET_ECN_encapsulate(outer: int, inner: int) -> int:  # noqa: N802 - the kernel's name
    """Return an outer TOS with the inner packet's ECN; congestion that it met stays inside (RFC 3168 §9.1.1)."""
    ecn = inner & INET_ECN_MASK
    return outer & ~INET_ECN_MASK | (_ECT_0 if ecn == _CE else ecn)


def IP_ECN_decapsulate(outer: int, skb: SkBuff) -> int:  # noqa: N802 - the kernel's name
    """Give a packet, whose outer header had this TOS, the congestion that it met on its way (RFC 6040 §4.2).

    Returns
    -------
    int
        0; 1 if somebody on the way confused the field; 2 if the packet must be dropped, as its sender knows no ECN
        and would never learn of the congestion.
    """
    ecn = outer & INET_ECN_MASK
    inner = skb.view[skb.network_header + 1] & INET_ECN_MASK
    if not inner:
        return 2 if ecn == _CE else int(ecn != 0)
    if ecn == _CE or (ecn == _ECT_1 and inner == _ECT_0):
        skb_cow_head(skb, 0)
        at = skb.network_header + 1
        skb.view[at] = skb.view[at] & 0xFC | ecn
        ip_send_check(skb)
    return 0

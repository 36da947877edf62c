"""Explicit congestion notification in IPv4 headers (RFC 3168; Linux: include/net/inet_ecn.h)."""

from ..core.skbuff import SkBuff
from ..core.skbuff_data import pskb_expand_head, skb_cloned
from ..ethernet.eth import ETH_P_IP

__all__ = ["INET_ECN_set_ce"]

_NOT_ECT, _CE = 0, 3


def INET_ECN_set_ce(skb: SkBuff) -> bool:
    """Mark a packet as having met congestion; return False if its sender does not know of that."""
    if skb.protocol != ETH_P_IP or skb.network_header + 20 > skb.tail:
        return False
    tos = skb.view[skb.network_header + 1]
    if tos & 3 == _NOT_ECT:
        return False
    if tos & 3 == _CE:
        return True
    if skb_cloned(skb):
        try:
            pskb_expand_head(skb, 0, 0)
        except OSError:
            return False
    view, at = skb.view, skb.network_header
    # RFC 1624: the sum over a changed word, from the sum before.
    old = view[at] << 8 | tos
    view[at + 1] = tos | _CE
    check = (~(view[at + 10] << 8 | view[at + 11]) & 0xFFFF) + (~old & 0xFFFF) + (view[at] << 8 | tos | _CE)
    check = (check & 0xFFFF) + (check >> 16)
    check = ~((check & 0xFFFF) + (check >> 16)) & 0xFFFF
    view[at + 10 : at + 12] = check.to_bytes(2, "big")
    return True

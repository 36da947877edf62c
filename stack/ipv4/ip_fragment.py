"""Reassembling IPv4 packets (Linux: net/ipv4/ip_fragment.c): the place for it."""

from errno import ENOMEM
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import SkBuff, kfree_skb_reason

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["IP_DEFRAG_LOCAL_DELIVER", "ip_defrag", "ip_is_fragment"]

IP_DEFRAG_LOCAL_DELIVER = 0


def ip_is_fragment(skb: SkBuff) -> bool:
    """Return whether a packet is one of several: more follow, or its offset is not 0."""
    at = skb.network_header + 6
    return bool(skb.view[at] & 0x3F or skb.view[at + 1])


def ip_defrag(net: "Net", skb: SkBuff, user: int) -> int:
    """Take a fragment; return 0 when it completed a packet, which is then in ``skb``, or a negative errno.

    There are no queues for fragments, so each is dropped as by a kernel that has no memory for one more queue.
    """
    net.mib["Ip:ReasmReqds"] += 1
    net.mib["Ip:ReasmFails"] += 1
    kfree_skb_reason(skb, SkbDropReason.NOMEM)
    return -ENOMEM

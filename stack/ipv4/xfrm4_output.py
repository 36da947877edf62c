"""Sending IPv4 packets through transforms (Linux: net/ipv4/xfrm4_output.c)."""

from typing import TYPE_CHECKING

from ..netfilter.core import NF_HOOK, NF_INET_POST_ROUTING
from ..xfrm.xfrm_output import xfrm_output, xfrm_output_one

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock

__all__ = ["__xfrm4_output", "xfrm4_output", "xfrm4_output_one"]

xfrm4_output_one = xfrm_output_one  # Its name in Linux up to 2.6.24, one for each family.


def xfrm4_output(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Ask the POST_ROUTING hook about a packet as it is, and transform it (``dst.output``)."""
    assert skb.dst is not None
    return NF_HOOK(NF_INET_POST_ROUTING, net, sk, skb, skb.dev, skb.dst.dev, __xfrm4_output)


def __xfrm4_output(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Go on behind the hook."""
    return xfrm_output(net, sk, skb)

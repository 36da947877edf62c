"""Looking for the route of a packet anew (Linux: net/ipv4/netfilter.c)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff_data import pskb_expand_head
from ..xfrm.xfrm import IPPROTO_AH, IPPROTO_ESP
from ..xfrm.xfrm_policy import __xfrm_decode_session, xfrm_lookup
from .fib_frontend import inet_addr_type_dev_table
from .flow import FLOWI_FLAG_ANYSRC, Flowi4
from .ip import LL_RESERVED_SPACE
from .route import ip_route_output_key
from .rtnetlink import RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock

__all__ = ["ip_route_me_harder"]

_ADDRESSES = Struct("!II")


def ip_route_me_harder(net: "Net", sk: "Sock | None", skb: "SkBuff") -> None:
    """Give a packet of this host the route that its header and mark ask for now.

    Raises
    ------
    OSError
        As ``ip_route_output_flow`` and ``xfrm_lookup``, or ``ENOMEM``.
    """
    at = skb.network_header
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, at + 12)
    dst = skb.dst
    kind = inet_addr_type_dev_table(net, None if dst is None else dst.dev, saddr)
    ours = kind in (RtType.LOCAL, RtType.UNICAST)
    fl4 = Flowi4(
        daddr,
        saddr if ours else 0,
        tos=skb.view[at + 1] & 0x1E,
        oif=0 if sk is None else sk.sk_bound_dev_if,
        mark=skb.mark,
        flags=FLOWI_FLAG_ANYSRC if ours else 0,
    )
    rt = ip_route_output_key(net, fl4)
    flow = __xfrm_decode_session(skb, reverse=False)
    if flow.proto not in (IPPROTO_ESP, IPPROTO_AH):  # Of those the policy is done.
        flow.oif = rt.dev.ifindex
        rt = xfrm_lookup(net, rt, flow, sk, 0) or rt
    skb.dst = rt
    headroom = LL_RESERVED_SPACE(rt.dev)
    if skb.data < headroom:
        pskb_expand_head(skb, headroom - skb.data, 0)

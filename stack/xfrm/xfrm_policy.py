"""Where IPsec policies will bend routes (Linux: net/xfrm/xfrm_policy.c); there are none yet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from ..ipv4.flow import Flowi4
    from ..ipv4.route import RTable

__all__ = ["xfrm4_policy_check", "xfrm4_route_forward", "xfrm_lookup_route", "xfrm_lookup_with_ifid"]


def xfrm_lookup_with_ifid(net: "Net", dst: "RTable", fl: "Flowi4", sk: "Sock | None", if_id: int) -> "RTable":
    """Return the route that the policy for this flow wants; without a policy, the one given."""
    return dst


def xfrm_lookup_route(net: "Net", dst: "RTable", fl: "Flowi4", sk: "Sock | None") -> "RTable":
    """Return the route to use for a flow in place of the plain one, or raise what the policy wants."""
    return xfrm_lookup_with_ifid(net, dst, fl, sk, 0)


def xfrm4_route_forward(skb: "SkBuff") -> bool:
    """Give a packet that is forwarded the route that its policy wants; return whether it may go at all."""
    return True


def xfrm4_policy_check(sk: "Sock | None", skb: "SkBuff") -> bool:
    """Return whether a received packet may be delivered (to a socket, if given); without policies each may."""
    return True

"""Where IPsec policies will bend routes (Linux: net/xfrm/xfrm_policy.c); there are none yet."""

from struct import Struct
from typing import TYPE_CHECKING

from ..ipv4.flow import Flowi4
from ..uapi import IPPROTO_TCP, IPPROTO_UDP

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from ..ipv4.route import RTable

__all__ = [
    "XFRM_LOOKUP_ICMP",
    "__xfrm_decode_session",
    "xfrm4_policy_check",
    "xfrm4_route_forward",
    "xfrm_decode_session_reverse",
    "xfrm_lookup",
    "xfrm_lookup_route",
    "xfrm_lookup_with_ifid",
]

XFRM_LOOKUP_ICMP = 1 << 0
_ADDRESSES = Struct("!II")
_PORTS = Struct("!HH")
_WITH_PORTS = (IPPROTO_TCP, IPPROTO_UDP)


def xfrm_lookup_with_ifid(net: "Net", dst: "RTable", fl: "Flowi4", sk: "Sock | None", if_id: int) -> "RTable":
    """Return the route that the policy for this flow wants; without a policy, the one given."""
    return dst


def xfrm_lookup(net: "Net", dst: "RTable", fl: "Flowi4", sk: "Sock | None", flags: int) -> "RTable | None":
    """Return the route that the policy for this flow wants; without a policy the one given, or None if that is asked.

    ``XFRM_LOOKUP_ICMP`` asks it: only what a policy says of the flow counts.
    """
    rt = xfrm_lookup_with_ifid(net, dst, fl, sk, 0)
    return None if rt is dst and flags & XFRM_LOOKUP_ICMP else rt


def xfrm_decode_session_reverse(skb: "SkBuff") -> Flowi4:
    """Return the flow of the answers to a packet."""
    return __xfrm_decode_session(skb, reverse=True)


def __xfrm_decode_session(skb: "SkBuff", *, reverse: bool) -> Flowi4:
    """Return the flow of a packet, or of the answers to it: there is only IPv4."""
    return decode_session4(skb, reverse=reverse)


def decode_session4(skb: "SkBuff", *, reverse: bool) -> Flowi4:
    """Return the flow of an IPv4 packet, or of the answers to it; a fragment's has no ports."""
    at, view = skb.network_header, skb.view
    saddr, daddr = _ADDRESSES.unpack_from(view, at + 12)
    protocol, fragment = view[at + 9], view[at + 6] & 0x3F or view[at + 7]
    sport = dport = 0
    ports = at + ((view[at] & 15) << 2)
    if protocol in _WITH_PORTS and not fragment and ports + 4 <= skb.tail:
        sport, dport = _PORTS.unpack_from(view, ports)
    if reverse:
        saddr, daddr, sport, dport = daddr, saddr, dport, sport
    return Flowi4(daddr, saddr, protocol, sport, dport, tos=view[at + 1] & 0x1C, mark=skb.mark)


def xfrm_lookup_route(net: "Net", dst: "RTable", fl: "Flowi4", sk: "Sock | None") -> "RTable":
    """Return the route to use for a flow in place of the plain one, or raise what the policy wants."""
    return xfrm_lookup_with_ifid(net, dst, fl, sk, 0)


def xfrm4_route_forward(skb: "SkBuff") -> bool:
    """Give a packet that is forwarded the route that its policy wants; return whether it may go at all."""
    return True


def xfrm4_policy_check(sk: "Sock | None", skb: "SkBuff") -> bool:
    """Return whether a received packet may be delivered (to a socket, if given); without policies each may."""
    return True

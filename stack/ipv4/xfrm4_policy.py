"""Bundles of IPv4 (Linux: net/ipv4/xfrm4_policy.c)."""

from typing import TYPE_CHECKING

from ..core.dst import DstEntry, DstOps, dst_metric_advmss
from ..xfrm.xfrm import XFRM_MODE_TUNNEL
from ..xfrm.xfrm_dst import XfrmDst
from .flow import Flowi4
from .route import RTable, ip_route_output_key_hash

if TYPE_CHECKING:
    from ..core.neighbour import Neighbour
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from ..xfrm.xfrm_state import XfrmState

__all__ = [
    "XFRM4_DST_OPS",
    "__xfrm4_bundle_create",
    "xfrm4_dst_lookup",
    "xfrm4_fill_dst",
    "xfrm4_get_saddr",
    "xfrm_mtu",
]


def __xfrm4_dst_lookup(net: "Net", tos: int, oif: int, saddr: int, daddr: int, mark: int) -> tuple[RTable, int]:
    """Return the route between the ends of a tunnel, and the source address that it would choose."""
    fl4 = Flowi4(daddr, saddr, tos=tos, oif=oif, mark=mark)
    return ip_route_output_key_hash(net, fl4), fl4.saddr


def xfrm4_dst_lookup(net: "Net", tos: int, oif: int, saddr: int, daddr: int, mark: int) -> RTable:
    """Return the route between the ends of a tunnel, whatever policies say.

    Raises
    ------
    OSError
        As ``ip_route_output_flow``.
    """
    return __xfrm4_dst_lookup(net, tos, oif, saddr, daddr, mark)[0]


def xfrm4_get_saddr(net: "Net", daddr: int, mark: int) -> int:
    """Return the address of this host at which a tunnel to ``daddr`` starts, where a template does not say it."""
    return __xfrm4_dst_lookup(net, 0, 0, 0, daddr, mark)[1]


def __xfrm4_bundle_create(net: "Net", states: "list[XfrmState]", fl: Flowi4, dst: RTable) -> XfrmDst:
    """Chain a destination for each state, in front of the route that the packet has in the end.

    A tunnel's outer packet has a route of its own. Each destination knows how much room it and those behind it need.

    Raises
    ------
    OSError
        As ``xfrm4_dst_lookup``.
    """
    from ..xfrm.xfrm_policy_bundle import xfrm_dst_lookup, xfrm_init_pmtu  # They are built on this module.

    chain: list[XfrmDst] = []
    for x in states:
        xdst = XfrmDst(dst, x)
        if chain:
            chain[-1].child = xdst
        chain.append(xdst)
        if x.mode == XFRM_MODE_TUNNEL:
            dst = xfrm_dst_lookup(net, x, fl.tos, fl.mark)
    chain[-1].child = dst
    header_len = trailer_len = 0
    for xdst in reversed(chain):
        xdst.path = dst
        header_len += xdst.transform.header_len
        trailer_len += xdst.transform.trailer_len
        xdst.header_len, xdst.trailer_len = header_len, trailer_len
        xfrm_init_pmtu(xdst)
    for xdst in chain:
        xfrm4_fill_dst(xdst, dst.dev, fl)
    return chain[0]


def xfrm4_fill_dst(xdst: XfrmDst, dev: "NetDevice", fl: Flowi4) -> None:
    """Take over what IPv4 wants to know of a destination from the route that packets have there."""
    route = xdst.route
    xdst.dev = dev
    xdst.iif = fl.iif
    xdst.is_input = route.is_input
    xdst.gw = route.gw
    xdst.type = route.type


def xfrm_mtu(dst: XfrmDst) -> int:
    """Return the MTU in front of a transform (``dst_ops.mtu``)."""
    return dst.mtu


def xfrm_link_failure(skb: "SkBuff") -> None:
    """Do nothing: the neighbour that does not answer is one of the outer packet, which has its own route."""


def xfrm_neigh_lookup(dst: XfrmDst, skb: "SkBuff") -> "Neighbour | None":
    """Return the neighbour that the outer packet goes to."""
    return dst.path.ops.neigh_lookup(dst.path, skb)


def xfrm4_update_pmtu(dst: XfrmDst, sk: "Sock | None", skb: "SkBuff", mtu: int) -> None:
    """Have the plain route learn a path's MTU."""
    dst.path.ops.update_pmtu(dst.path, sk, skb, mtu)


def xfrm4_dst_ifdown(dst: XfrmDst, dev: "NetDevice") -> None:
    """Let a bundle go whose device goes."""
    dst.obsolete = 2


def xfrm_negative_advice(dst: XfrmDst) -> DstEntry | None:
    """Return a bundle unless it is stale."""
    return dst if dst.obsolete <= 0 else None


def xfrm_default_advmss(dst: XfrmDst) -> int:
    """Return the largest TCP segment that a peer shall send: the plain route's."""
    return dst_metric_advmss(dst.path)


def xfrm_dst_check(dst: XfrmDst) -> XfrmDst | None:
    """Return a bundle if it is still good, else None."""
    from ..xfrm.xfrm_policy_bundle import xfrm_dst_check as check  # It is built on this module.

    return check(dst)


XFRM4_DST_OPS = DstOps(
    xfrm_dst_check,
    xfrm_mtu,
    xfrm_link_failure,
    xfrm_neigh_lookup,
    xfrm4_update_pmtu,
    gc=lambda net: False,
    gc_thresh=lambda net: 0,
    destroy=lambda dst: None,
    ifdown=xfrm4_dst_ifdown,
    negative_advice=xfrm_negative_advice,
    default_advmss=xfrm_default_advmss,
)

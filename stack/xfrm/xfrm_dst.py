"""A transform as a part of a packet's way (Linux: ``struct xfrm_dst`` in include/net/xfrm.h)."""

from typing import TYPE_CHECKING

from ..ipv4.route import RTable

if TYPE_CHECKING:
    from .xfrm_state import XfrmState

__all__ = ["XfrmDst"]


class XfrmDst(RTable):
    """One destination of a bundle: the transform, and what comes then in ``child``.

    Members
    -------
    route : RTable
        The route that the packet has before this transform.
    path : RTable
        The route behind the last one.
    xfrm_genid : int
        The state's when the bundle was made.
    child_mtu_cached, route_mtu_cached : int
        What ``mtu`` was made from.
    key : tuple[int, ...]
        The flow that the bundle was made for.
    """

    __slots__ = ("child_mtu_cached", "key", "path", "route", "route_mtu_cached", "xfrm_genid")

    def __init__(self, route: RTable, xfrm: "XfrmState") -> None:
        from ..ipv4.xfrm4_output import xfrm4_output
        from ..ipv4.xfrm4_policy import XFRM4_DST_OPS  # It is built on this module.

        super().__init__(route.dev, xfrm4_output, route.flags, route.type, route.genid)
        self.ops = XFRM4_DST_OPS
        self.xfrm = xfrm
        self.xfrm_genid = xfrm.genid
        self.route = self.path = route
        self.child_mtu_cached = self.route_mtu_cached = 0
        self.key: tuple[int, ...] = ()

    @property
    def transform(self) -> "XfrmState":
        """The state: there is one."""
        assert self.xfrm is not None
        return self.xfrm

    @property
    def behind(self) -> RTable:
        """The child: of IPv4."""
        assert isinstance(self.child, RTable)
        return self.child

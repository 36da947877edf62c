"""What a new route shall be (Linux: include/net/ip_fib.h)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..netlink.uapi import NlmF
from .rtnetlink import RtProtocol, RtScope, RtTable, RtType

if TYPE_CHECKING:
    from ..netlink.message import Nlmsghdr

__all__ = ["FibConfig", "FibNhConfig"]


@dataclass(slots=True)
class FibNhConfig:
    """A next hop that is asked for: number of its device or 0, gateway or 0, weight, ``RTNH_F_*``."""

    oif: int = 0
    gw: int = 0
    weight: int = 1
    flags: int = 0


@dataclass(slots=True)
class FibConfig:
    """A route that is asked for, or the one to delete (Linux: ``struct fib_config``).

    Parameters
    ----------
    dst, dst_len : int
        The prefix.
    hops : list[FibNhConfig]
        Next hops; one that names nothing is none.
    multipath : bool
        They were given as a list.
    priority, tos, prefsrc : int
        0: none given.
    metrics : dict[int, int | str]
        By ``Rtax``.
    nlflags : int
        ``NlmF``: what to do if there is such a route.
    portid, nlh : int, Nlmsghdr or None
        Who asks, for the notification.
    """

    dst: int = 0
    dst_len: int = 0
    tos: int = 0
    table: int = RtTable.MAIN
    protocol: int = RtProtocol.BOOT
    scope: int = RtScope.UNIVERSE
    type: int = RtType.UNICAST
    flags: int = 0
    hops: list[FibNhConfig] = field(default_factory=list[FibNhConfig])
    multipath: bool = False
    priority: int = 0
    prefsrc: int = 0
    metrics: "dict[int, int | str]" = field(default_factory=dict[int, "int | str"])
    nlflags: int = NlmF.CREATE | NlmF.EXCL
    portid: int = 0
    nlh: "Nlmsghdr | None" = None

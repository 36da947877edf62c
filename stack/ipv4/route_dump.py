"""Dumping routes in use: those that differ from the tables' by what was learned, or all of the cache (route.c)."""

from typing import TYPE_CHECKING, Any

from ..netlink.rtnetlink import Rtax
from .flow import Flowi4
from .route import rt_cache_valid
from .route_netlink import rt_fill_info
from .rtnetlink import RtTable

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..netlink.af_netlink_kernel import DumpFill
    from ..netlink.message import NetlinkCallback
    from .fib_trie import FibAlias
    from .route import RTable

__all__ = ["fib_dump_info_fnhe", "ip_rt_dump"]

Item = tuple[tuple[Any, ...], "DumpFill"]


def fib_dump_info_fnhe(net: "Net", alias: "FibAlias", nlflags: int) -> list[Item]:
    """Return messages about destinations that a route's next hops have learned something of, if it is in use."""
    items: list[Item] = []
    for nh in alias.info.nhs:
        for daddr, fnhe in nh.exceptions.items():
            rt = fnhe.rth_input or fnhe.rth_output
            if rt is not None:
                items.append(((daddr,), _fill(net, rt, None, (daddr, 0), alias.table, alias.info.metrics, nlflags)))
    return items


def ip_rt_dump(net: "Net", nlflags: int) -> list[Item]:
    """Return messages about the routes in the cache of a namespace that has one, by chain."""
    cache = net.ipv4.rt_cache
    items: list[Item] = []
    for place, chain in enumerate(cache.table if cache is not None else ()):
        for number, rt in enumerate(filter(rt_cache_valid, chain)):
            _, src, _, iif, mark, tos = rt.rt_key[:6]
            fl4 = Flowi4(rt.rt_dst, rt.rt_src, tos=tos, iif=iif, mark=mark)
            metrics: dict[int, int | str] = {Rtax.MTU: rt.mtu} if rt.mtu else {}
            items.append(((place, number), _fill(net, rt, fl4, (rt.rt_dst, src), RtTable.MAIN, metrics, nlflags)))
    return items


def _fill(
    net: "Net",
    rt: "RTable",
    fl4: Flowi4 | None,
    asked: tuple[int, int],
    table: int,
    metrics: "dict[int, int | str]",
    nlflags: int,
) -> "DumpFill":
    def fill(skb: "SkBuff", cb: "NetlinkCallback") -> int:
        return rt_fill_info(net, skb, rt, fl4, asked, table, metrics, (cb.portid, cb.nlh.seq, nlflags))

    return fill

"""Messages about routes: what is in them (Linux: net/ipv4/fib_semantics.c, net/core/rtnetlink.c)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..core.netdevice import netif_carrier_ok
from ..core.rtnetlink_rcv import rtnl_broadcast
from ..netlink.attr import (
    nla_nest_end,
    nla_nest_start,
    nla_put,
    nla_put_string,
    nla_put_u32,
    nla_total_size,
)
from ..netlink.message import nlmsg_align, nlmsg_cancel, nlmsg_end, nlmsg_put
from ..netlink.rtnetlink import RTMSG, RTNEXTHOP, RTNH_F_DEAD, RTNH_F_LINKDOWN, RTNH_F_ONLINK, Rta, Rtax, Rtnlgrp
from ..uapi import AF_INET
from .fib_semantics import FibInfo, FibNh
from .rtnetlink import RtScope, RtTable

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .fib_config import FibConfig
    from .fib_trie import FibAlias

__all__ = [
    "fib_dump_info",
    "fib_nlmsg_size",
    "rtmsg_fib",
    "rtnetlink_put_metrics",
]


def fib_nlmsg_size(fi: FibInfo) -> int:
    """Return the most room that a message about a route takes, without its header."""
    size = nlmsg_align(RTMSG.size) + 4 * nla_total_size(4) + nla_total_size(16)
    size += nla_total_size(max(Rtax) * nla_total_size(4))
    each = 2 * nla_total_size(4) + nla_total_size(6)
    if len(fi.nhs) > 1:
        return size + nla_total_size(len(fi.nhs) * (RTNEXTHOP.size + each))
    return size + each


def rtnetlink_put_metrics(skb: "SkBuff", metrics: "Mapping[int, int | str]") -> None:
    """Append a route's metrics, if it has any."""
    if not metrics:
        return
    at = nla_nest_start(skb, Rta.METRICS)
    for kind in sorted(metrics):
        value = metrics[kind]
        if isinstance(value, str):
            nla_put_string(skb, kind, value)
        else:
            nla_put_u32(skb, kind, value)
    nla_nest_end(skb, at)


def _nh_flags(nh: FibNh) -> int:
    flags = nh.flags & RTNH_F_ONLINK
    if nh.dead:
        flags |= RTNH_F_DEAD
    if nh.scope != RtScope.NOWHERE and not netif_carrier_ok(nh.dev):
        flags |= RTNH_F_LINKDOWN
    return flags


def _put_address(skb: "SkBuff", kind: int, address: int) -> None:
    nla_put(skb, kind, address.to_bytes(4, "big"))


def fib_nexthop_info(skb: "SkBuff", nh: FibNh, *, skip_oif: bool = False) -> int:
    """Append a next hop's gateway and device, and return its flags."""
    if nh.gw:
        _put_address(skb, Rta.GATEWAY, nh.gw)
    if not skip_oif:
        nla_put_u32(skb, Rta.OIF, nh.dev.ifindex)
    return _nh_flags(nh)


def fib_add_multipath(skb: "SkBuff", fi: FibInfo) -> None:
    """Append several next hops."""
    at = nla_nest_start(skb, Rta.MULTIPATH)
    for nh in fi.nhs:
        gateway = nla_total_size(4) if nh.gw else 0
        header = RTNEXTHOP.pack(RTNEXTHOP.size + gateway, _nh_flags(nh), nh.weight - 1 & 0xFF, nh.dev.ifindex)
        start = nla_put(skb, 0, header[4:])  # Its place; a next hop's header is as long as such an attribute.
        skb.view[start : start + RTNEXTHOP.size] = header
        fib_nexthop_info(skb, nh, skip_oif=True)
    nla_nest_end(skb, at)


def fib_dump_info(
    skb: "SkBuff", portid: int, seq: int, kind: int, fa: "FibAlias", flags: int, table: int | None = None
) -> int:
    """Append a message about a route, in its own table or another one, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    fi = fa.info
    table = fa.table if table is None else table
    short = table if table < 256 else RtTable.COMPAT
    dead = RTNH_F_DEAD if fi.dead else 0
    rtm_flags = _nh_flags(fi.nhs[0]) if len(fi.nhs) == 1 else dead
    header = RTMSG.pack(AF_INET, fa.prefixlen, 0, fa.tos, short, fi.protocol, fi.scope, fa.type, rtm_flags)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        nla_put_u32(skb, Rta.TABLE, table)
        if fa.prefixlen:
            _put_address(skb, Rta.DST, fa.prefix)
        if fi.priority:
            nla_put_u32(skb, Rta.PRIORITY, fi.priority)
        rtnetlink_put_metrics(skb, fi.metrics)
        if fi.prefsrc:
            _put_address(skb, Rta.PREFSRC, fi.prefsrc)
        if len(fi.nhs) == 1:
            fib_nexthop_info(skb, fi.nhs[0])
        elif fi.nhs:
            fib_add_multipath(skb, fi)
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def rtmsg_fib(net: "Net", kind: int, fa: "FibAlias", cfg: "FibConfig", nlflags: int) -> None:
    """Notify of a route that came or goes."""
    seq = cfg.nlh.seq if cfg.nlh is not None else 0
    rtnl_broadcast(
        net,
        Rtnlgrp.IPV4_ROUTE,
        fib_nlmsg_size(fa.info),
        lambda skb: fib_dump_info(skb, cfg.portid, seq, kind, fa, nlflags),
        cfg.portid,
        cfg.nlh,
    )

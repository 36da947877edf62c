"""Messages about routes: making, deleting, dumping (Linux: net/ipv4/fib_frontend.c)."""

from collections.abc import Mapping
from errno import EINVAL, ENODEV, ENOENT, ESRCH
from typing import TYPE_CHECKING, Any

from ..core.rtnetlink_rcv import rtnl_register
from ..netlink.af_netlink_kernel import DumpFill, dump_items
from ..netlink.attr import NetlinkError, NlaPolicy, Nlattr, nla_iter, nlmsg_parse
from ..netlink.message import NetlinkCallback, Nlmsghdr, nlmsg_align
from ..netlink.rtnetlink import RTM_F_CLONED, RTM_F_PREFIX, RTMSG, RTNEXTHOP, Rta, Rtax, Rtm
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from ..uapi import AF_INET
from .fib_config import FibConfig, FibNhConfig
from .fib_frontend import fib_insert_route
from .fib_rtmsg import fib_dump_info
from .fib_table import fib_get_table, fib_table_delete
from .rtnetlink import RtTable

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from ..core.skbuff import SkBuff
    from .fib_trie import FibAlias

__all__ = ["RTM_IPV4_POLICY", "inet_dump_fib", "inet_rtm_delroute", "inet_rtm_newroute", "ip_fib_init"]

_RTN_MAX = 11
_ECN = 3  # Bits of a TOS that are not for routes.

RTM_IPV4_POLICY: Mapping[int, NlaPolicy] = {
    Rta.DST: NlaPolicy("u32"),
    Rta.SRC: NlaPolicy("u32"),
    Rta.IIF: NlaPolicy("u32"),
    Rta.OIF: NlaPolicy("u32"),
    Rta.GATEWAY: NlaPolicy("u32"),
    Rta.PRIORITY: NlaPolicy("u32"),
    Rta.PREFSRC: NlaPolicy("u32"),
    Rta.METRICS: NlaPolicy("nested"),
    Rta.MULTIPATH: NlaPolicy("unspec", RTNEXTHOP.size),
    Rta.FLOW: NlaPolicy("u32"),
    Rta.MARK: NlaPolicy("u32"),
    Rta.TABLE: NlaPolicy("u32"),
    Rta.ENCAP_TYPE: NlaPolicy("u16"),
    Rta.ENCAP: NlaPolicy("nested"),
    Rta.UID: NlaPolicy("u32"),
    Rta.IP_PROTO: NlaPolicy("u8"),
    Rta.SPORT: NlaPolicy("u16"),
    Rta.DPORT: NlaPolicy("u16"),
    Rta.NH_ID: NlaPolicy("u32"),
}


def _gw_from_via(attr: Nlattr) -> int:
    """Return a gateway that is given with its family (Linux: ``fib_gw_from_via``)."""
    if len(attr.data) < 2:
        raise NetlinkError(EINVAL, "Invalid attribute length for RTA_VIA", attr)
    family = int.from_bytes(attr.data[:2], "little")
    if family != AF_INET:
        raise NetlinkError(EINVAL, "Unsupported address family in RTA_VIA", attr)
    if len(attr.data) != 6:
        raise NetlinkError(EINVAL, "Invalid IPv4 address in RTA_VIA", attr)
    return int.from_bytes(attr.data[2:], "big")


def _metrics(attr: Nlattr) -> "dict[int, int | str]":
    """Return a route's metrics."""
    found: dict[int, int | str] = {}
    for one in nla_iter(attr.data):
        if not one.type:
            continue
        if one.type > max(Rtax):
            raise NetlinkError(EINVAL, "Invalid metric type", attr)
        if one.type == Rtax.CC_ALGO:
            found[one.type] = one.text
            continue
        if len(one.data) != 4:
            raise NetlinkError(EINVAL, "Invalid attribute in metrics", attr)
        found[one.type] = one.u32
    return found


def _gateway(hop: FibNhConfig, gateway: Nlattr | None, via: Nlattr | None) -> None:
    if gateway is not None and via is not None:
        raise NetlinkError(EINVAL, "Nexthop configuration can not contain both GATEWAY and VIA", via)
    if gateway is not None:
        hop.gw = gateway.be32
    elif via is not None:
        hop.gw = _gw_from_via(via)


def _hops(attr: Nlattr) -> list[FibNhConfig]:
    """Return the next hops of ``Rta.MULTIPATH`` (Linux: ``fib_get_nhs``)."""
    hops: list[FibNhConfig] = []
    octets = attr.data
    at = 0
    while len(octets) - at >= RTNEXTHOP.size:
        length, flags, weight, index = RTNEXTHOP.unpack_from(octets, at)
        if not RTNEXTHOP.size <= length <= len(octets) - at:
            break
        hop = FibNhConfig(index, 0, weight + 1, flags)
        inside = {one.type: one for one in nla_iter(octets[at : at + length], RTNEXTHOP.size)}
        gateway = inside.get(Rta.GATEWAY)
        if gateway is not None and len(gateway.data) < 4:
            raise NetlinkError(EINVAL, "Invalid IPv4 address in RTA_GATEWAY", attr)
        _gateway(hop, gateway, inside.get(Rta.VIA))
        hops.append(hop)
        at += nlmsg_align(length)
    if not hops or at < len(octets):
        raise NetlinkError(EINVAL, "Invalid nexthop configuration - extra data after nexthop", attr)
    return hops


def _refuse_unsupported(tb: dict[int, Nlattr]) -> None:
    for kind in (Rta.ENCAP, Rta.ENCAP_TYPE, Rta.NH_ID, Rta.FLOW):
        if kind in tb and (kind != Rta.FLOW or tb[kind].u32):
            raise NetlinkError(EINVAL, f"no route here has {kind.name}", tb[kind])


def rtm_to_fib_config(skb: "SkBuff", nlh: Nlmsghdr) -> FibConfig:
    """Return the route that a message is about.

    Raises
    ------
    NetlinkError
        ``EINVAL``, ``ERANGE``.
    """
    tb = nlmsg_parse(nlh, RTMSG.size, RTM_IPV4_POLICY, max(Rta))
    _, dst_len, _, tos, table, protocol, scope, kind, flags = RTMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    if tos & _ECN:
        raise NetlinkError(EINVAL, "Invalid dsfield (tos): ECN bits must be 0")
    if kind > _RTN_MAX:
        raise NetlinkError(EINVAL, "Invalid route type")
    _refuse_unsupported(tb)
    cfg = FibConfig(
        tb[Rta.DST].be32 if Rta.DST in tb else 0,
        dst_len,
        tos=tos,
        table=(tb[Rta.TABLE].u32 if Rta.TABLE in tb else table) or RtTable.MAIN,
        protocol=protocol,
        scope=scope,
        type=kind,
        flags=flags,
        priority=tb[Rta.PRIORITY].u32 if Rta.PRIORITY in tb else 0,
        prefsrc=tb[Rta.PREFSRC].be32 if Rta.PREFSRC in tb else 0,
        metrics=_metrics(tb[Rta.METRICS]) if Rta.METRICS in tb else {},
        nlflags=nlh.flags,
        portid=skb.cb.portid,
        nlh=nlh,
    )
    if Rta.MULTIPATH in tb:
        cfg.multipath = True
        cfg.hops = _hops(tb[Rta.MULTIPATH])
        if Rta.OIF in tb and any(hop.oif != tb[Rta.OIF].u32 for hop in cfg.hops):
            raise NetlinkError(EINVAL, "Nexthop device index does not match RTA_OIF", tb[Rta.OIF])
    else:
        hop = FibNhConfig(tb[Rta.OIF].u32 if Rta.OIF in tb else 0, flags=flags & 0xFF)
        _gateway(hop, tb.get(Rta.GATEWAY), tb.get(Rta.VIA))
        cfg.hops = [hop]
    return cfg


def _net(skb: "SkBuff") -> "Net":
    assert skb.sk is not None
    return skb.sk.net


def inet_rtm_newroute(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_NEWROUTE``.

    Raises
    ------
    OSError
        What ``rtm_to_fib_config`` and ``fib_table_insert`` raise.
    """
    fib_insert_route(_net(skb), rtm_to_fib_config(skb, nlh))


def inet_rtm_delroute(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_DELROUTE``.

    Raises
    ------
    OSError
        What ``rtm_to_fib_config`` and ``fib_table_delete`` raise.
    """
    cfg = rtm_to_fib_config(skb, nlh)
    net = _net(skb)
    table = fib_get_table(net, cfg.table)
    if table is None:
        raise OSError(ESRCH, "FIB table does not exist")
    fib_table_delete(net, table, cfg)


class _RouteFilter:
    """Which routes a dump shall have (Linux: ``struct fib_dump_filter``)."""

    def __init__(self, cb: NetlinkCallback) -> None:
        nlh = cb.nlh
        self.table = self.protocol = self.type = self.oif = self.flags = 0
        if cb.strict_check:
            self._strict(cb)
        elif len(nlh.data) >= RTMSG.size:
            self.flags = RTMSG.unpack_from(nlh.data)[8] & (RTM_F_PREFIX | RTM_F_CLONED)
        # A strict request leaves out what was learned of single destinations.
        self.answer_flags = NlmF.MULTI | (NlmF.DUMP_FILTERED if cb.strict_check else 0)

    def _strict(self, cb: NetlinkCallback) -> None:
        tb = nlmsg_parse(cb.nlh, RTMSG.size, RTM_IPV4_POLICY, max(Rta), strict=True)
        _, dst_len, src_len, tos, table, protocol, scope, kind, flags = RTMSG.unpack_from(cb.nlh.data)
        if dst_len or src_len or tos or scope:
            raise NetlinkError(EINVAL, "Invalid values in header for FIB dump request")
        if flags & ~(RTM_F_CLONED | RTM_F_PREFIX):
            raise NetlinkError(EINVAL, "Invalid flags for FIB dump request")
        self.flags, self.table, self.protocol, self.type = flags, table, protocol, kind
        for number, attr in tb.items():
            if number == Rta.TABLE:
                self.table = attr.u32
            elif number == Rta.OIF:
                self.oif = attr.u32
                if self.oif not in cb.sk.net.devices:
                    raise OSError(ENODEV, "no such device")
            else:
                raise NetlinkError(EINVAL, "Unsupported attribute in dump request", attr)

    def wants(self, alias: "FibAlias") -> bool:
        """Return whether a route is among them."""
        if self.flags & (RTM_F_PREFIX | RTM_F_CLONED):
            return False  # Prefixes are of IPv6.
        return (
            (not self.table or alias.table == self.table)
            and (not self.protocol or alias.info.protocol == self.protocol)
            and (not self.type or alias.type == self.type)
            and (not self.oif or any(nh.dev.ifindex == self.oif for nh in alias.info.nhs))
        )


def _cached(net: "Net", chosen: _RouteFilter) -> "list[tuple[Any, DumpFill]]":
    """Return messages about routes in use that are not, or not so, in the tables."""
    from .route_dump import fib_dump_info_fnhe, ip_rt_dump  # Built on this module's policy.

    if net.ipv4.rt_cache is not None:
        return ip_rt_dump(net, chosen.answer_flags)
    return [
        item
        for _, table in sorted(net.ipv4.fib_tables.items())
        for alias in table
        if chosen.table in (0, alias.table)
        for item in fib_dump_info_fnhe(net, alias, chosen.answer_flags)
    ]


def inet_dump_fib(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump the routes of all tables, or those that the request describes.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``; ``ENOENT`` for a table that there is not.
    """
    if cb.args is None:
        cb.args = _RouteFilter(cb)
    chosen: _RouteFilter = cb.args
    net: Net = cb.sk.net
    tables = net.ipv4.fib_tables
    if chosen.table and chosen.table not in tables:
        if cb.nlh.data[0] != AF_INET:
            return skb.len
        raise OSError(ENOENT, "ipv4: FIB table does not exist")

    def fill(alias: "FibAlias") -> DumpFill:
        return lambda skb, cb: fib_dump_info(skb, cb.portid, cb.nlh.seq, Rtm.NEWROUTE, alias, chosen.answer_flags)

    if chosen.flags & RTM_F_CLONED:
        return dump_items(skb, cb, _cached(net, chosen))
    items: list[tuple[Any, DumpFill]] = []
    for table in {id(table): table for table in tables.values()}.values():
        places: dict[tuple[int, ...], int] = {}
        for alias in table:
            # Tables lie in a hash by the low bits of their number.
            where = (alias.table & 255, -alias.table, alias.prefix, -alias.prefixlen)
            places[where] = place = places.get(where, -1) + 1
            if chosen.wants(alias):
                items.append(((*where, place), fill(alias)))
    items.sort(key=lambda item: item[0])
    return dump_items(skb, cb, items)


def ip_fib_init(kernel: "Kernel") -> None:
    """Have messages about IPv4 routes handled."""
    rtnl_register(kernel, AF_INET, Rtm.NEWROUTE, inet_rtm_newroute)
    rtnl_register(kernel, AF_INET, Rtm.DELROUTE, inet_rtm_delroute)
    rtnl_register(kernel, AF_INET, Rtm.GETROUTE, dumpit=inet_dump_fib)

"""Routes as they come and go with addresses, devices and commands (Linux: net/ipv4/fib_frontend.c)."""

from collections.abc import Sequence
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from ..core.netdevice import IFF_LOOPBACK, IFF_UP
from ..netlink.rtnetlink import Rtax, Rtm
from ..netlink.uapi import NlmF
from .devinet import IFA_F_NOPREFIXROUTE, IFA_F_SECONDARY, InDevice, InIfaddr, inet_ifa_byprefix, inet_select_addr
from .fib_config import FibConfig, FibNhConfig
from .fib_rtmsg import rtmsg_fib
from .fib_semantics import FIB_ERRORS, fib_rebalance, fib_result_prefsrc
from .fib_table import fib_new_table, fib_table_delete, fib_table_insert, rt_cache_flush
from .fib_trie import FibAlias, FibTable, fib_insert_alias, fib_lookup, fib_remove_alias, fib_table_lookup
from .flow import Flowi4
from .rtnetlink import RtProtocol, RtScope, RtTable, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from .route import RTable

__all__ = [
    "NextHop",
    "fib_add_ifaddr",
    "fib_compute_spec_dst",
    "fib_del_ifaddr",
    "fib_disable_ip",
    "fib_insert_route",
    "fib_new_route",
    "fib_sync_up",
    "fib_unmerge",
    "inet_addr_type",
    "inet_addr_type_dev_table",
    "rt_cache_flush",
]

_ADDRESSES = Struct("!II")
_RTCF_LOCAL = 0x80000000
_RTCF_KINDS = 0xB0000000  # RTCF_LOCAL | RTCF_MULTICAST | RTCF_BROADCAST

NextHop = tuple["NetDevice | None", int, int]


def fib_unmerge(net: "Net") -> None:
    """Give the local routes a table of their own, so that rules can tell it from the main one."""
    ipv4 = net.ipv4
    if ipv4.fib_tables[RtTable.LOCAL] is not ipv4.fib_main:
        return
    local = ipv4.fib_tables[RtTable.LOCAL] = FibTable(RtTable.LOCAL)
    for alias in list(ipv4.fib_main):
        if alias.table == RtTable.LOCAL:
            fib_remove_alias(ipv4.fib_main, alias)
            fib_insert_alias(local, alias)


def inet_addr_type_dev_table(net: "Net", dev: "NetDevice | None", addr: int) -> RtType:
    """Return what kind of address it is, going by the local table (and by one device's routes, if given)."""
    if not addr or addr == 0xFFFFFFFF:
        return RtType.BROADCAST
    if addr >> 28 == 0xE:
        return RtType.MULTICAST
    found = fib_table_lookup(net.ipv4.fib_tables[RtTable.LOCAL], Flowi4(addr))
    if isinstance(found, int):
        return RtType.UNICAST
    return RtType(found.type) if dev is None or found.nh.dev is dev else RtType.UNICAST


def inet_addr_type(net: "Net", addr: int) -> RtType:
    """Return what kind of address it is for any device."""
    return inet_addr_type_dev_table(net, None, addr)


def fib_compute_spec_dst(skb: "SkBuff") -> int:
    """Return the address of this host that a received packet, which has its route, means: to answer from (RFC 1122)."""
    dev = skb.dev
    assert dev is not None
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    if rt.flags & _RTCF_KINDS == _RTCF_LOCAL:
        address: int = daddr
        return address
    if rt.rt_spec_dst:
        return rt.rt_spec_dst
    net = dev.net
    scope = RtScope.LINK
    if saddr:
        scope = RtScope.UNIVERSE
        found = fib_lookup(net, Flowi4(saddr, tos=skb.view[skb.network_header + 1] & 0x1C))
        if not isinstance(found, int):
            return fib_result_prefsrc(net, found)
    return inet_select_addr(net, dev, saddr, scope)


def fib_new_route(
    net: "Net",
    prefix: int,
    prefixlen: int,
    hops: Sequence[NextHop],
    *,
    type: int = RtType.UNICAST,
    scope: int | None = None,
    prefsrc: int = 0,
    priority: int = 0,
    tos: int = 0,
    protocol: int = RtProtocol.BOOT,
    mtu: int = 0,
    append: bool = False,
    table: int = RtTable.MAIN,
) -> FibAlias:
    """Add a route.

    A next hop is a device or None, the gateway's address or 0, and a weight; other values as in ``FibConfig``.

    Raises
    ------
    OSError
        What ``fib_table_insert`` raises.
    """
    if scope is None:
        on_link = type not in FIB_ERRORS and len(hops) == 1 and not hops[0][1]
        scope = RtScope.LINK if on_link else RtScope.UNIVERSE
    cfg = FibConfig(
        prefix,
        prefixlen,
        tos=tos,
        table=table,
        protocol=protocol,
        scope=scope,
        type=type,
        hops=[FibNhConfig(dev.ifindex if dev is not None else 0, gw, weight) for dev, gw, weight in hops],
        multipath=len(hops) > 1,
        priority=priority,
        prefsrc=prefsrc,
        metrics={Rtax.MTU: mtu} if mtu else {},
        nlflags=NlmF.CREATE | (NlmF.APPEND if append else NlmF.EXCL),
    )
    if not hops and type not in FIB_ERRORS:
        cfg.hops = [FibNhConfig()]
    return fib_insert_route(net, cfg)


def fib_insert_route(net: "Net", cfg: FibConfig) -> FibAlias:
    """Add a route that somebody asked for, not an address; as ``fib_table_insert``."""
    alias = fib_table_insert(net, fib_new_table(net, cfg.table), cfg)
    if cfg.type == RtType.LOCAL:
        net.ipv4.fib_has_custom_local_routes = True
    return alias


def fib_magic(kind: int, type: RtType, prefix: int, prefixlen: int, ifa: InIfaddr, priority: int = 0) -> None:
    """Add or delete a route that follows from an address; that it is there already, or not, is no fault."""
    dev = ifa.dev
    assert dev is not None
    table = RtTable.MAIN if type == RtType.UNICAST else RtTable.LOCAL
    cfg = FibConfig(
        prefix,
        prefixlen,
        table=table,
        protocol=RtProtocol.KERNEL,
        scope=RtScope.HOST if type == RtType.LOCAL else RtScope.LINK,
        type=type,
        hops=[FibNhConfig(dev.ifindex)],
        priority=priority,
        prefsrc=ifa.local,
        nlflags=NlmF.CREATE | NlmF.APPEND,
    )
    update = fib_table_insert if kind == Rtm.NEWROUTE else fib_table_delete
    with suppress(OSError):
        update(dev.net, fib_new_table(dev.net, table), cfg)


def _primary(ifa: InIfaddr) -> InIfaddr:
    """Return the address that an address's routes send from: itself, or the primary of its network."""
    assert ifa.dev is not None
    in_dev: InDevice | None = ifa.dev.ip_ptr
    return inet_ifa_byprefix(in_dev, ifa) if in_dev is not None and ifa.flags & IFA_F_SECONDARY else ifa


def _prefix_type(ifa: InIfaddr) -> RtType:
    assert ifa.dev is not None
    return RtType.LOCAL if ifa.dev.flags & IFF_LOOPBACK else RtType.UNICAST


def _has_prefix(ifa: InIfaddr) -> bool:
    """Return whether an address has a network of its own."""
    own = ifa.prefix != ifa.local or ifa.prefixlen < 32
    return ifa.prefix >> 24 != 0 and not ifa.flags & IFA_F_SECONDARY and own


def fib_add_ifaddr(ifa: InIfaddr) -> None:
    """Add the routes that follow from an address; those that are there already stay."""
    dev = ifa.dev
    assert dev is not None
    fib_magic(Rtm.NEWROUTE, RtType.LOCAL, ifa.local, 32, _primary(ifa))
    if not dev.flags & IFF_UP:
        return
    if ifa.broadcast not in (0, 0xFFFFFFFF):
        fib_magic(Rtm.NEWROUTE, RtType.BROADCAST, ifa.broadcast, 32, _primary(ifa))
    if _has_prefix(ifa):
        if not ifa.flags & IFA_F_NOPREFIXROUTE:
            fib_magic(Rtm.NEWROUTE, _prefix_type(ifa), ifa.prefix, ifa.prefixlen, ifa, ifa.rt_priority)
        if ifa.prefixlen < 31:
            fib_magic(Rtm.NEWROUTE, RtType.BROADCAST, ifa.prefix | ~ifa.mask & 0xFFFFFFFF, 32, ifa)


def fib_del_ifaddr(ifa: InIfaddr) -> None:
    """Take away the routes that follow from an address that is gone, but those that another one still gives.

    Routes that were to be sent from it go, too, if it is no address of this host any more.
    """
    dev = ifa.dev
    assert dev is not None
    others: list[InIfaddr] = dev.ip_ptr.ifa_list if dev.ip_ptr is not None else []
    primary = _primary(ifa)
    if _has_prefix(ifa) and not any(
        (o.prefix, o.prefixlen) == (ifa.prefix, ifa.prefixlen) and not o.flags & IFA_F_SECONDARY for o in others
    ):
        if not ifa.flags & IFA_F_NOPREFIXROUTE:
            fib_magic(Rtm.DELROUTE, _prefix_type(ifa), ifa.prefix, ifa.prefixlen, ifa, ifa.rt_priority)
    wanted: set[int] = set()
    for other in others:
        wanted.add(other.broadcast)
        if _has_prefix(other) and other.prefixlen < 31:
            wanted.add(other.prefix | ~other.mask & 0xFFFFFFFF)
    gone = dict.fromkeys((ifa.broadcast, ifa.prefix | ~ifa.mask & 0xFFFFFFFF) if ifa.prefixlen < 31 else ())
    for broadcast in gone:
        if broadcast and broadcast not in wanted:
            fib_magic(Rtm.DELROUTE, RtType.BROADCAST, broadcast, 32, primary)
    if all(other.local != ifa.local for other in others):
        fib_magic(Rtm.DELROUTE, RtType.LOCAL, ifa.local, 32, primary)
        if inet_addr_type(dev.net, ifa.local) != RtType.LOCAL:
            fib_sync_down_addr(dev, ifa.local)
    rt_cache_flush(dev.net)


def _aliases(net: "Net") -> list[tuple[FibTable, FibAlias]]:
    """Return every route with its table."""
    tables = {id(table): table for table in net.ipv4.fib_tables.values()}  # One may stand for two.
    return [(table, alias) for table in tables.values() for alias in table]


def fib_sync_down_addr(dev: "NetDevice", local: int) -> None:
    """Take away the routes that were to be sent from an address that is gone."""
    for table, alias in _aliases(dev.net):
        if alias.table == RtTable.MAIN and alias.info.prefsrc == local:
            alias.info.dead = True
            rtmsg_fib(dev.net, Rtm.DELROUTE, alias, FibConfig(), 0)
            fib_remove_alias(table, alias)


def fib_disable_ip(dev: "NetDevice") -> None:
    """Take routes through a device that went down out of use; addresses of the host stay its own."""
    for table, alias in _aliases(dev.net):
        info = alias.info
        for nh in info.nhs:
            if nh.dev is dev and nh.scope != RtScope.NOWHERE:
                nh.dead = True
        if info.nhs and all(nh.dead for nh in info.nhs):
            info.dead = True
            fib_remove_alias(table, alias)
        elif len(info.nhs) > 1:
            fib_rebalance(info)
    rt_cache_flush(dev.net)


def fib_sync_up(dev: "NetDevice") -> None:
    """Bring routes through a device that came up back into use."""
    if dev.ip_ptr is not None:
        for ifa in dev.ip_ptr.ifa_list:
            fib_add_ifaddr(ifa)
    for _, alias in _aliases(dev.net):
        for nh in alias.info.nhs:
            if nh.dev is dev and nh.dead:
                nh.dead = False
                fib_rebalance(alias.info)
    rt_cache_flush(dev.net)

"""Routes as they come and go with addresses, devices and commands (Linux: net/ipv4/fib_frontend.c)."""

from collections.abc import Sequence
from errno import EINVAL, ENETDOWN, ENETUNREACH
from struct import Struct
from typing import TYPE_CHECKING

from ..core.netdevice import IFF_LOOPBACK, IFF_UP
from .devinet import IFA_F_SECONDARY, InIfaddr, inet_select_addr
from .fib_semantics import FIB_ERRORS, FibInfo, FibNh, fib_rebalance, fib_result_prefsrc
from .fib_trie import MASKS, FibAlias, fib_lookup, fib_table_delete, fib_table_insert, fib_table_lookup
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
    "fib_check_nh",
    "fib_compute_spec_dst",
    "fib_del_ifaddr",
    "fib_disable_ip",
    "fib_new_route",
    "fib_sync_up",
    "inet_addr_type",
    "inet_addr_type_dev_table",
]

_ADDRESSES = Struct("!II")
_RTCF_LOCAL = 0x80000000
_RTCF_KINDS = 0xB0000000  # RTCF_LOCAL | RTCF_MULTICAST | RTCF_BROADCAST

NextHop = tuple["NetDevice | None", int, int]


def inet_addr_type_dev_table(net: "Net", dev: "NetDevice | None", addr: int) -> RtType:
    """Return what kind of address it is, going by the routing table (and by one device's routes, if given)."""
    if not addr or addr == 0xFFFFFFFF:
        return RtType.BROADCAST
    if addr >> 28 == 0xE:
        return RtType.MULTICAST
    found = fib_table_lookup(net.ipv4.fib_main, Flowi4(addr))
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
    net = dev.net
    scope = RtScope.LINK
    if saddr:
        scope = RtScope.UNIVERSE
        found = fib_lookup(net, Flowi4(saddr, tos=skb.view[skb.network_header + 1] & 0x1C))
        if not isinstance(found, int):
            return fib_result_prefsrc(net, found)
    return inet_select_addr(net, dev, saddr, scope)


def fib_check_nh(net: "Net", hop: NextHop, scope: int) -> FibNh:
    """Check a next hop for a new route of a scope, and find its device.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENETUNREACH``, ``ENETDOWN``.
    """
    dev, gateway, weight = hop
    nh_scope = RtScope.NOWHERE if scope == RtScope.HOST else RtScope.HOST
    if gateway:
        if scope >= RtScope.LINK:
            raise OSError(EINVAL, "a route on the link has no gateway")
        # The gateway must be nearer than what lies behind it, so the lookup asks for a nearer scope.
        key = Flowi4(gateway, scope=max(scope + 1, RtScope.LINK), oif=dev.ifindex if dev is not None else 0)
        found = fib_lookup(net, key)
        if isinstance(found, int):
            raise OSError(ENETUNREACH, "the gateway is out of reach")
        if found.type not in (RtType.UNICAST, RtType.LOCAL):
            raise OSError(EINVAL, "the gateway is not a host")
        nh_scope = RtScope(found.fi.scope)
        dev = found.nh.dev
    if dev is None:
        raise OSError(EINVAL, "a next hop needs a gateway or a device")
    if not dev.flags & IFF_UP:
        raise OSError(ENETDOWN, f"{dev.name} is down")
    return FibNh(dev, gateway, weight, nh_scope)


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
) -> FibAlias:
    """Add a route to the main table.

    A next hop is a device or None, the gateway's address or 0, and a weight; other values as in ``FibInfo``.

    Raises
    ------
    OSError
        ``EINVAL`` for a prefix with bits behind its length, a missing device or a gateway that is not one;
        ``ENETUNREACH`` for a gateway out of reach; ``ENETDOWN``; ``EEXIST``.
    """
    if not 0 <= prefixlen <= 32 or prefix & ~MASKS[prefixlen]:
        raise OSError(EINVAL, f"{prefix:#x}/{prefixlen} is not a prefix")
    if prefsrc and inet_addr_type(net, prefsrc) != RtType.LOCAL:
        raise OSError(EINVAL, "the preferred source is not an address of this host")
    if scope is None:
        scope = RtScope.UNIVERSE if type in FIB_ERRORS or any(gateway for _, gateway, _ in hops) else RtScope.LINK
    if bool(hops) == (type in FIB_ERRORS):
        raise OSError(EINVAL, "routes have next hops, unless they are errors")
    nhs = tuple(fib_check_nh(net, hop, scope) for hop in hops)
    info = FibInfo(nhs, type=type, scope=scope, prefsrc=prefsrc, priority=priority, protocol=protocol, mtu=mtu)
    alias = FibAlias(prefix, prefixlen, info, tos)
    error = fib_table_insert(net.ipv4.fib_main, alias, append=append)
    if error:
        raise OSError(-error, "the route exists")
    rt_cache_flush(net)
    return alias


def rt_cache_flush(net: "Net") -> None:
    """Make every route in use stale."""
    net.ipv4.rt_genid += 1


def _magic_routes(ifa: InIfaddr) -> list[FibAlias]:
    """Return the routes that follow from an address: itself, its network, and the network's broadcast addresses."""
    dev = ifa.dev
    assert dev is not None

    def route(type: RtType, prefix: int, prefixlen: int) -> FibAlias:
        nh_scope = RtScope.NOWHERE if type == RtType.LOCAL else RtScope.HOST
        info = FibInfo(
            (FibNh(dev, scope=nh_scope),),
            type=type,
            scope=RtScope.HOST if type == RtType.LOCAL else RtScope.LINK,
            prefsrc=ifa.local,
            protocol=RtProtocol.KERNEL,
        )
        table = RtTable.MAIN if type == RtType.UNICAST else RtTable.LOCAL
        return FibAlias(prefix, prefixlen, info, table=table)

    routes = [route(RtType.LOCAL, ifa.local, 32)]
    if not dev.flags & IFF_UP:
        return routes
    if ifa.broadcast not in (0, 0xFFFFFFFF):
        routes.append(route(RtType.BROADCAST, ifa.broadcast, 32))
    if ifa.prefix >> 24 and not ifa.flags & IFA_F_SECONDARY and (ifa.prefix != ifa.local or ifa.prefixlen < 32):
        kind = RtType.LOCAL if dev.flags & IFF_LOOPBACK else RtType.UNICAST
        routes.append(route(kind, ifa.prefix, ifa.prefixlen))
    return routes


def fib_add_ifaddr(ifa: InIfaddr) -> None:
    """Add the routes that follow from an address; those that are there already stay."""
    assert ifa.dev is not None
    net = ifa.dev.net
    for alias in _magic_routes(ifa):
        fib_table_insert(net.ipv4.fib_main, alias)
    rt_cache_flush(net)


def fib_del_ifaddr(ifa: InIfaddr) -> None:
    """Take away the routes that follow from an address, but those that another address of the device still gives."""
    dev = ifa.dev
    assert dev is not None
    table = dev.net.ipv4.fib_main
    for alias in list(table):
        if alias.info.prefsrc == ifa.local and alias.info.nhs and alias.info.nhs[0].dev is dev:
            fib_table_delete(table, alias)
    if dev.ip_ptr is not None:
        for other in dev.ip_ptr.ifa_list:
            fib_add_ifaddr(other)
    rt_cache_flush(dev.net)


def fib_disable_ip(dev: "NetDevice") -> None:
    """Take routes through a device that went down out of use; addresses of the host stay its own."""
    table = dev.net.ipv4.fib_main
    for alias in list(table):
        info = alias.info
        for nh in info.nhs:
            if nh.dev is dev and nh.scope != RtScope.NOWHERE:
                nh.dead = True
        if info.nhs and all(nh.dead for nh in info.nhs):
            info.dead = True
            fib_table_delete(table, alias)
        elif len(info.nhs) > 1:
            fib_rebalance(info)
    rt_cache_flush(dev.net)


def fib_sync_up(dev: "NetDevice") -> None:
    """Bring routes through a device that came up back into use."""
    if dev.ip_ptr is not None:
        for ifa in dev.ip_ptr.ifa_list:
            fib_add_ifaddr(ifa)
    for alias in dev.net.ipv4.fib_main:
        for nh in alias.info.nhs:
            if nh.dev is dev and nh.dead:
                nh.dead = False
                fib_rebalance(alias.info)
    rt_cache_flush(dev.net)

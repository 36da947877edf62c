"""Making what a route leads to, and checking it (Linux: net/ipv4/fib_semantics.c)."""

from errno import EINVAL, ENETDOWN, ENODEV
from typing import TYPE_CHECKING

from ..core.netdevice import IFF_UP
from ..netlink.rtnetlink import RTNH_F_DEAD, RTNH_F_LINKDOWN, RTNH_F_ONLINK, RTNH_F_PERVASIVE, Rtax
from .devinet import inet_select_addr
from .fib_semantics import FIB_ERRORS, FibInfo, FibNh, fib_rebalance
from .fib_trie import fib_lookup, fib_table_lookup
from .flow import Flowi4
from .rtnetlink import RtScope, RtTable, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from .fib_config import FibConfig, FibNhConfig

__all__ = [
    "fib_check_nh",
    "fib_create_info",
    "fib_info_equal",
    "fib_nh_match",
    "ip_fib_metrics_init",
]

# The nearest that a destination of each type can be, by RtType: further types there are not.
_SCOPES = (
    *(RtScope.NOWHERE, RtScope.UNIVERSE, RtScope.HOST, RtScope.LINK, RtScope.LINK, RtScope.UNIVERSE),
    *(RtScope.UNIVERSE, RtScope.UNIVERSE, RtScope.UNIVERSE, RtScope.UNIVERSE, RtScope.NOWHERE, RtScope.NOWHERE),
)
_REACHED = (RtType.UNICAST, RtType.LOCAL, RtType.BROADCAST, RtType.ANYCAST, RtType.MULTICAST)
_LIMITS = {Rtax.ADVMSS: 65535 - 40, Rtax.MTU: 65535 - 15, Rtax.HOPLIMIT: 255}
_RTAX_FEATURE_MASK = 0xF


def ip_fib_metrics_init(metrics: "dict[int, int | str]") -> "dict[int, int | str]":
    """Return a route's metrics within their bounds.

    Raises
    ------
    OSError
        ``EINVAL`` for features that there are not.
    """
    kept: dict[int, int | str] = {}
    for kind, value in metrics.items():
        limit = _LIMITS.get(Rtax(kind))
        if kind == Rtax.FEATURES and isinstance(value, int) and value & ~_RTAX_FEATURE_MASK:
            raise OSError(EINVAL, "Flag set in feature metric is not supported")
        if value:
            kept[kind] = min(value, limit) if limit is not None and isinstance(value, int) else value
    return kept


def fib_nh_init(net: "Net", hop: "FibNhConfig", cfg: "FibConfig") -> "FibNhConfig":
    """Take over a next hop as it was asked for; a next hop of its own has weight 1."""
    fib_nh_common_init(hop)
    return hop


def fib_nh_common_init(hop: "FibNhConfig") -> None:
    """Check what a next hop says of itself.

    Raises
    ------
    OSError
        ``EINVAL`` for flags that only the kernel sets.
    """
    if hop.flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN):
        raise OSError(EINVAL, "Invalid flags for nexthop - can not contain DEAD or LINKDOWN")


def fib_check_nh(net: "Net", hop: "FibNhConfig", table: int, scope: int) -> FibNh:
    """Check a next hop for a new route of a scope, and find its device.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``ENETDOWN``, ``ENETUNREACH``.
    """
    return fib_check_nh_v4_gw(net, hop, table, scope) if hop.gw else fib_check_nh_nongw(net, hop)


def fib_check_nh_nongw(net: "Net", hop: "FibNhConfig") -> FibNh:
    """Check a next hop without a gateway; as ``fib_check_nh``."""
    if hop.flags & (RTNH_F_PERVASIVE | RTNH_F_ONLINK):
        raise OSError(EINVAL, "Invalid flags for nexthop - PERVASIVE and ONLINK can not be set")
    dev = net.devices.get(hop.oif)
    if dev is None or dev.ip_ptr is None:
        raise OSError(ENODEV, "Device for nexthop is missing")
    if not dev.flags & IFF_UP:
        raise OSError(ENETDOWN, "Device for nexthop is not up")
    return FibNh(dev, 0, hop.weight, RtScope.HOST, hop.flags)


def fib_check_nh_v4_gw(net: "Net", hop: "FibNhConfig", table: int, scope: int) -> FibNh:
    """Check a next hop with a gateway; as ``fib_check_nh``."""
    if hop.flags & RTNH_F_ONLINK:
        return _check_onlink(net, hop, scope)
    # The gateway must be nearer than what lies behind it, so the lookup asks for a nearer scope.
    key = Flowi4(hop.gw, scope=max(scope + 1, RtScope.LINK), oif=hop.oif)
    own = net.ipv4.fib_tables.get(table) if table != RtTable.MAIN else None
    found = fib_table_lookup(own, key) if own is not None else -1
    if isinstance(found, int):
        found = fib_lookup(net, key)
    if isinstance(found, int):
        raise OSError(-found, "Nexthop has invalid gateway")
    if found.type not in (RtType.UNICAST, RtType.LOCAL):
        raise OSError(EINVAL, "Nexthop has invalid gateway")
    dev = found.nh.dev
    if not dev.flags & IFF_UP:
        raise OSError(ENETDOWN, "Nexthop device is not up")
    return FibNh(dev, hop.gw, hop.weight, found.fi.scope, hop.flags)


def _check_onlink(net: "Net", hop: "FibNhConfig", scope: int) -> FibNh:
    from .fib_frontend import inet_addr_type_dev_table

    if scope >= RtScope.LINK:
        raise OSError(EINVAL, "Nexthop has invalid scope")
    dev = net.devices.get(hop.oif)
    if dev is None:
        raise OSError(ENODEV, "Nexthop device required for onlink")
    if not dev.flags & IFF_UP:
        raise OSError(ENETDOWN, "Nexthop device is not up")
    if inet_addr_type_dev_table(net, dev, hop.gw) != RtType.UNICAST:
        raise OSError(EINVAL, "Nexthop has invalid gateway")
    return FibNh(dev, hop.gw, hop.weight, RtScope.LINK, hop.flags)


def _local_nh(net: "Net", hops: "list[FibNhConfig]") -> FibNh:
    """Return the next hop of a route of host scope: this host itself."""
    if len(hops) != 1:
        raise OSError(EINVAL, "Route with host scope can not have multiple nexthops")
    (hop,) = hops
    if hop.gw:
        raise OSError(EINVAL, "Route with host scope can not have a gateway")
    dev = net.devices.get(hop.oif)
    if dev is None:
        raise OSError(ENODEV, "Device for nexthop is missing")
    return FibNh(dev, 0, hop.weight, RtScope.NOWHERE, hop.flags)


def fib_create_info(net: "Net", cfg: "FibConfig") -> FibInfo:
    """Make what a route leads to.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``ENETDOWN``, ``ENETUNREACH``.
    """
    if cfg.type >= len(_SCOPES):
        raise OSError(EINVAL, "Invalid route type")
    if _SCOPES[cfg.type] > cfg.scope:
        raise OSError(EINVAL, "Invalid scope")
    if cfg.flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN):
        raise OSError(EINVAL, "Invalid rtm_flags - can not contain DEAD or LINKDOWN")
    if cfg.multipath and not cfg.hops:
        raise OSError(EINVAL, "Invalid nexthop configuration - extra data after nexthop")
    metrics = ip_fib_metrics_init(cfg.metrics)
    hops = [fib_nh_init(net, hop, cfg) for hop in cfg.hops]
    nhs: tuple[FibNh, ...] = ()
    if cfg.type in FIB_ERRORS:
        if cfg.multipath or any(hop.gw or hop.oif for hop in hops):
            raise OSError(EINVAL, "Gateway, device and multipath can not be specified for this route type")
    else:
        if cfg.type not in _REACHED:
            raise OSError(EINVAL, "Invalid route type")
        if cfg.scope > RtScope.HOST:
            raise OSError(EINVAL, "Invalid scope")
        if cfg.scope == RtScope.HOST:
            nhs = (_local_nh(net, hops),)
        else:
            nhs = tuple(fib_check_nh(net, hop, cfg.table, cfg.scope) for hop in hops)
    if cfg.prefsrc and not fib_valid_prefsrc(net, cfg):
        raise OSError(EINVAL, "Invalid prefsrc address")
    fi = FibInfo(
        nhs,
        type=cfg.type,
        scope=cfg.scope,
        prefsrc=cfg.prefsrc,
        priority=cfg.priority,
        protocol=cfg.protocol,
        metrics=metrics,
    )
    for nh in nhs:
        nh.saddr = inet_select_addr(net, nh.dev, nh.gw, cfg.scope)
        nh.saddr_genid = net.ipv4.dev_addr_genid
    fib_rebalance(fi)
    return fi


def fib_valid_prefsrc(net: "Net", cfg: "FibConfig") -> bool:
    """Return whether packets can be sent from a route's preferred source."""
    from .fib_frontend import inet_addr_type

    if cfg.type == RtType.LOCAL and cfg.dst and cfg.prefsrc == cfg.dst:
        return True
    return inet_addr_type(net, cfg.prefsrc) == RtType.LOCAL


def fib_info_equal(one: FibInfo, other: FibInfo) -> bool:
    """Return whether two routes lead to the same (Linux: ``fib_find_info``)."""

    def hops(fi: FibInfo) -> list[tuple[object, ...]]:
        return [(nh.dev, nh.gw, nh.scope, nh.weight, nh.flags) for nh in fi.nhs]

    return (
        (one.type, one.scope, one.prefsrc, one.priority, one.protocol, one.metrics)
        == (other.type, other.scope, other.prefsrc, other.priority, other.protocol, other.metrics)
    ) and hops(one) == hops(other)


def fib_nh_match(cfg: "FibConfig", fi: FibInfo) -> bool:
    """Return whether a route has the next hops of the one to delete, as far as that one names them."""
    if cfg.priority and cfg.priority != fi.priority:
        return False
    wanted = [hop for hop in cfg.hops if hop.oif or hop.gw]
    if not wanted:
        return True
    if not fi.nhs:
        return False
    if not cfg.multipath:
        (hop,), nh = wanted, fi.nhs[0]
        return (not hop.oif or hop.oif == nh.dev.ifindex) and (not hop.gw or hop.gw == nh.gw)
    if len(wanted) != len(fi.nhs):
        return False
    return all(
        (not hop.oif or hop.oif == nh.dev.ifindex) and (not hop.gw or hop.gw == nh.gw)
        for hop, nh in zip(wanted, fi.nhs, strict=True)
    )


def fib_metrics_match(cfg: "FibConfig", fi: FibInfo) -> bool:
    """Return whether a route has the metrics that the one to delete names."""
    return all(fi.metrics.get(kind, 0) == value for kind, value in cfg.metrics.items())

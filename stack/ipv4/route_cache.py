"""The route cache: routes in use by the flows that use them (Linux up to 3.5: net/ipv4/route.c).

``sysctl_route_cache`` of a namespace switches it on. Then each flow has a route of its own; else those of a next hop
share one, as in later kernels.
"""

from errno import ENOBUFS
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_ifdown, dst_use
from ..core.timer import HZ, jiffies
from ..ethernet.eth import ETH_P_IP
from . import route, route_input  # As modules: they ask here first.
from .fib_frontend import fib_compute_spec_dst
from .inetpeer import inet_getpeer
from .ip_options import IpOptions

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from .flow import Flowi4
    from .inetpeer import InetPeer
    from .netns import NetnsIpv4
    from .route import RTable

__all__ = [
    "RTCF_DOREDIRECT",
    "RouteCache",
    "__ip_route_output_key",
    "ip_route_input",
    "ip_route_output_slow",
    "rt_cache_alloc",
    "rt_cache_clear",
    "rt_cache_destroy",
    "rt_cache_ifdown",
    "rt_cache_invalidate_peer",
    "rt_cache_stat",
    "rt_garbage_collect",
    "rt_hash_code",
    "rt_intern_hash",
]

RTCF_DOREDIRECT = 0x01000000
_RT_HASH_LOG = 10
_GROUPS = 0x30000000  # RTCF_BROADCAST | RTCF_MULTICAST
_STAT = (
    "in_hit in_slow_tot in_slow_mc in_no_route in_brd in_martian_dst in_martian_src out_hit out_slow_tot out_slow_mc "
    "gc_total gc_ignored gc_goal_miss gc_dst_overflow in_hlist_search out_hlist_search"
).split()

RtKey = tuple[int, ...]


class RouteCache:
    """The cache of one namespace.

    Members
    -------
    table : list[list[RTable]]
        Chains of routes, by ``rt_hash_code``.
    entries : int
        Routes in the chains and ``busy``.
    busy : dict[RTable, None]
        Routes that are in no chain any more, but kept by a socket.
    rover, expire, last_gc, equilibrium : int
        Of garbage collection: the chain it goes on from, how long a route may rest, when it ran last (both in jiffies),
        and how many routes there should be.
    """

    def __init__(self) -> None:
        self.table: list[list[RTable]] = [[] for _ in range(1 << _RT_HASH_LOG)]
        self.entries = 0
        self.busy: dict[RTable, None] = {}
        self.rover = 0
        self.expire = 0
        self.last_gc = -HZ
        self.equilibrium = 0


def rt_hash_code(ipv4: "NetnsIpv4", daddr: int, saddr: int, ifindex: int, tos: int) -> int:
    """Return the chain for a flow; nobody outside can tell which flows share one."""
    return hash((daddr, saddr ^ ifindex << 5, tos, ipv4.hash_secret)) & (1 << _RT_HASH_LOG) - 1


def _rt_key(ipv4: "NetnsIpv4", fl4: "Flowi4", tos: int) -> RtKey:
    """Return what routes are told apart by; protocol and ports where rules or paths are chosen by them."""
    key = (fl4.daddr, fl4.saddr, fl4.oif, fl4.iif, fl4.mark, tos, fl4.scope, fl4.flags, fl4.multipath_hash)
    if ipv4.fib_rules_require_fldissect or ipv4.sysctl_fib_multipath_hash_policy:
        return (*key, fl4.proto, fl4.sport, fl4.dport)
    return key


def _rt_find(net: "Net", cache: RouteCache, code: int, key: RtKey, which: str) -> "RTable | None":
    """Return the route for a flow if it is there and good; count hits and those passed by."""
    chain = cache.table[code]
    for rth in chain:
        if rth.rt_key == key and route.rt_cache_valid(rth):
            now = jiffies(net.kernel)
            if rth.expires and now > rth.expires:
                chain.remove(rth)
                rt_drop(cache, rth)
                return None
            dst_use(rth, now)
            net.mib[f"Rt:{which}Hit"] += 1
            return rth
        net.mib[f"Rt:{which}HlistSearch"] += 1
    return None


def __ip_route_output_key(net: "Net", fl4: "Flowi4") -> "RTable":
    """Find the route for a flow in the cache, else by the tables; as ``ip_route_output_key_hash_rcu``."""
    ipv4 = net.ipv4
    cache = ipv4.rt_cache
    assert cache is not None
    tos = fl4.tos & route.IPTOS_RT_MASK
    key = _rt_key(ipv4, fl4, tos)
    code = rt_hash_code(ipv4, fl4.daddr, fl4.saddr, fl4.oif, tos)
    rth = _rt_find(net, cache, code, key, "Out")
    if rth is None:
        return ip_route_output_slow(net, fl4, key, code)
    fl4.tos = tos
    fl4.saddr, fl4.daddr, fl4.oif = rth.rt_src, rth.rt_dst, rth.rt_oif
    return rth


def ip_route_output_slow(net: "Net", fl4: "Flowi4", key: RtKey, code: int) -> "RTable":
    """Look a flow's route up in the tables, and keep it in the cache."""
    rth = route.ip_route_output_key_hash_rcu(net, fl4)
    rth.rt_oif = fl4.oif
    rth.rt_iif = key[2] or rth.dev.ifindex
    return rt_intern_hash(net, code, rth, key, fl4.saddr, fl4.daddr)


def ip_route_input(skb: "SkBuff", daddr: int, saddr: int, tos: int, dev: "NetDevice") -> SkbDropReason | None:
    """Give a received packet its route from the cache, else by the tables; as ``ip_route_input_noref``."""
    net = dev.net
    ipv4 = net.ipv4
    cache = ipv4.rt_cache
    assert cache is not None
    fl4 = route_input.ip_route_input_key(skb, daddr, saddr, tos, dev)
    key = _rt_key(ipv4, fl4, tos)
    code = rt_hash_code(ipv4, daddr, saddr, dev.ifindex, tos)
    cacheable = skb.protocol == ETH_P_IP  # ARP asks what it would be, and is told less.
    rth = _rt_find(net, cache, code, key, "In") if cacheable else None
    if rth is not None:
        skb.dst = rth
        if rth.flags & RTCF_DOREDIRECT:
            skb.cb = IpOptions()
            skb.cb.do_redirect = True
        return None
    try:
        slow = route_input.ip_route_input_mc if daddr >> 28 == 0xE else route_input.ip_route_input_slow
        reason = slow(skb, daddr, saddr, tos, dev)
    except OSError:
        return SkbDropReason.NOMEM  # The cache is full, with routes in use.
    if reason is not None:
        return reason
    made = skb.dst
    assert isinstance(made, route.RTable)
    if isinstance(skb.cb, IpOptions) and skb.cb.do_redirect:
        made.flags |= RTCF_DOREDIRECT
    made.rt_iif = dev.ifindex
    made.rt_spec_dst = 0 if made.error else fib_compute_spec_dst(skb)
    if cacheable:
        rt_intern_hash(net, code, made, key, saddr, daddr)
    return None


def rt_intern_hash(net: "Net", code: int, rth: "RTable", key: RtKey, saddr: int, daddr: int) -> "RTable":
    """Put a new route into its chain; a chain that is too long loses what is stale, or was used least."""
    cache = net.ipv4.rt_cache
    assert cache is not None
    now = jiffies(net.kernel)
    rth.rt_key, rth.rt_src, rth.rt_dst = key, saddr, daddr
    dst_use(rth, now)
    chain = cache.table[code]
    for other in [one for one in chain if one.rt_key == key or not route.rt_cache_valid(one)]:
        chain.remove(other)
        rt_drop(cache, other)
    if len(chain) > net.ipv4.sysctl_route_gc_elasticity:
        unused = [one for one in chain if not one.refcnt]
        if unused:
            least = min(unused, key=rt_score)
            chain.remove(least)
            rt_drop(cache, least)
    peer: InetPeer = inet_getpeer(net, daddr)
    peer.routes[rth] = None
    rth.peer = peer
    cache.entries += 1
    chain.insert(0, rth)
    return rth


def rt_score(rth: "RTable") -> tuple[bool, bool, int]:
    """Return how much a route is worth: what was learned, then what is no group's, then what was used last."""
    return rth.expires != 0, not rth.flags & _GROUPS, rth.lastuse


def rt_drop(cache: RouteCache, rth: "RTable") -> None:
    """Make a route that left its chain stale; it is destroyed once no socket keeps it."""
    rth.obsolete = 2
    if rth.refcnt:
        cache.busy[rth] = None
    else:
        rth.ops.destroy(rth)


def rt_may_expire(rth: "RTable", now: int, expire: int) -> bool:
    """Return whether a route may go: nobody keeps it, and it has rested for long; routes to groups need not have."""
    if rth.refcnt:
        return False
    if rth.expires and now > rth.expires:
        return True
    limit = expire >> 1 if rth.flags & _GROUPS else expire
    return now - rth.lastuse > limit


def rt_garbage_collect(net: "Net") -> bool:
    """Make room in the cache (``dst_ops.gc``), the more of it the fuller it is; return whether there is none.

    Not more often than each ``gc_min_interval``, unless there are ``max_size`` routes. A route may rest for at most
    ``gc_timeout``; while too few are found that rested so long, half as long will do, and so on.
    """
    ipv4 = net.ipv4
    cache = ipv4.rt_cache
    assert cache is not None
    mib = net.mib
    now = jiffies(net.kernel)
    mib["Rt:GcTotal"] += 1
    if now - cache.last_gc < ipv4.sysctl_route_gc_min_interval and cache.entries < ipv4.sysctl_route_max_size:
        mib["Rt:GcIgnored"] += 1
        return False
    cache.last_gc = now
    room = 1 << _RT_HASH_LOG
    crowded = cache.entries - (ipv4.sysctl_route_gc_elasticity << _RT_HASH_LOG)
    if crowded <= 0:
        # Chains are short enough: grow slowly.
        cache.equilibrium = max(cache.equilibrium, ipv4.sysctl_route_gc_thresh)
        excess = cache.entries - cache.equilibrium
        if excess > 0:
            cache.equilibrium += min(excess >> 1, room)
        goal = cache.entries - cache.equilibrium
    else:
        goal = max(crowded >> 1, room)
        cache.equilibrium = cache.entries - goal
    cache.expire = cache.expire or ipv4.sysctl_route_gc_timeout
    while goal > 0:
        goal -= _sweep(net, cache, now, goal)
        if goal <= 0:
            cache.expire = min(cache.expire + ipv4.sysctl_route_gc_min_interval, ipv4.sysctl_route_gc_timeout)
            break
        mib["Rt:GcGoalMiss"] += 1
        if not cache.expire or cache.entries < ipv4.sysctl_route_max_size:
            cache.expire >>= 1
            break
        cache.expire >>= 1
    if cache.entries < ipv4.sysctl_route_max_size:
        return False
    mib["Rt:GcDstOverflow"] += 1
    return True


def _sweep(net: "Net", cache: RouteCache, now: int, goal: int) -> int:
    """Go once round the chains, as far as needed; return how many routes went."""
    gone = 0
    for _ in range(len(cache.table)):
        cache.rover = (cache.rover + 1) % len(cache.table)
        chain = cache.table[cache.rover]
        for rth in list(chain):
            if not route.rt_cache_valid(rth) or rt_may_expire(rth, now, cache.expire):
                chain.remove(rth)
                rt_drop(cache, rth)
                gone += 1
        if gone >= goal:
            break
    return gone


def rt_cache_alloc(net: "Net") -> None:
    """Make room for one more route, once there are many (``dst_alloc``).

    Raises
    ------
    OSError
        ``ENOBUFS``.
    """
    cache = net.ipv4.rt_cache
    assert cache is not None
    ops = route.IPV4_DST_OPS
    if cache.entries > ops.gc_thresh(net) and ops.gc(net):
        raise OSError(ENOBUFS, "the route cache is full")


def rt_cache_destroy(rth: "RTable") -> None:
    """Let go of what a route has (``ipv4_dst_destroy``)."""
    cache = rth.dev.net.ipv4.rt_cache
    if rth.peer is not None:
        del rth.peer.routes[rth]
        rth.peer = None
        if cache is not None:
            cache.entries -= 1
            cache.busy.pop(rth, None)


def rt_cache_invalidate_peer(net: "Net", daddr: int) -> None:
    """Drop the routes to an address of which something was learned: a path MTU, a gateway."""
    cache = net.ipv4.rt_cache
    peer = net.ipv4.peers.get(daddr)
    if cache is None or peer is None:
        return
    for rth in list(peer.routes):
        _unlink(net, cache, rth)


def _unlink(net: "Net", cache: RouteCache, rth: "RTable") -> None:
    """Take a route out of its chain, if it is in one."""
    key = rth.rt_key
    chain = cache.table[rt_hash_code(net.ipv4, key[0], key[1], key[2] or key[3], key[5])]
    if rth in chain:
        chain.remove(rth)
        rt_drop(cache, rth)


def rt_cache_ifdown(net: "Net", dev: "NetDevice", unregister: bool) -> None:
    """Take routes by a device that went down, or away, out of use, also those that sockets keep (``dst_dev_event``)."""
    cache = net.ipv4.rt_cache
    if cache is None:
        return
    for rth in [rth for chain in cache.table for rth in chain] + list(cache.busy):
        if rth.dev is dev:
            _unlink(net, cache, rth)
            dst_ifdown(rth, dev, unregister)


def rt_cache_clear(cache: RouteCache) -> None:
    """Let go of a whole cache that is switched off."""
    for rth in [rth for chain in cache.table for rth in chain] + list(cache.busy):
        rth.obsolete = 2
        if rth.peer is not None:
            del rth.peer.routes[rth]
            rth.peer = None


def rt_cache_stat(net: "Net") -> dict[str, int]:
    """Return the counters by their names in ``/proc/net/stat/rt_cache``."""
    cache = net.ipv4.rt_cache
    entries = cache.entries if cache is not None else 0
    mib = net.mib
    return {"entries": entries} | {
        name: mib.get("Rt:" + "".join(part.capitalize() for part in name.split("_")), 0) for name in _STAT
    }

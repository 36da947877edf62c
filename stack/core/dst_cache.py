"""A route that a tunnel keeps for the packets that it sends (Linux: net/core/dst_cache.c)."""

from typing import TYPE_CHECKING

from .dst import dst_hold, dst_release

if TYPE_CHECKING:
    from ..ipv4.route import RTable

__all__ = ["DstCache", "dst_cache_get_ip4", "dst_cache_reset", "dst_cache_set_ip4"]


class DstCache:
    """A route and the source address that goes with it, or None (Linux: ``struct dst_cache``, for one CPU)."""

    __slots__ = ("dst", "saddr")

    def __init__(self) -> None:
        self.dst: RTable | None = None
        self.saddr = 0


def dst_cache_get_ip4(cache: DstCache) -> "tuple[RTable, int] | None":
    """Return the route, with its source address, if there is one that is still good."""
    rt = dst_cache_per_cpu_get(cache)
    return None if rt is None else (rt, cache.saddr)


def dst_cache_per_cpu_get(cache: DstCache) -> "RTable | None":
    """Return the route if there is one that is still good, else forget it."""
    dst = cache.dst
    if dst is not None and dst.obsolete and dst.ops.check(dst) is None:
        dst_cache_reset(cache)
        return None
    return dst


def dst_cache_set_ip4(cache: DstCache, rt: "RTable", saddr: int) -> None:
    """Keep a route."""
    dst_hold(rt)
    dst_release(cache.dst)
    cache.dst = rt
    cache.saddr = saddr


def dst_cache_reset(cache: DstCache) -> None:
    """Forget the route."""
    dst_release(cache.dst)
    cache.dst = None

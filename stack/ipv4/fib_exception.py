"""What a next hop has learned of single destinations (Linux: ``struct fib_nh_exception``, net/ipv4/route.c)."""

from typing import TYPE_CHECKING

from ..core.timer import jiffies

if TYPE_CHECKING:
    from ..core.net import Kernel
    from .fib_semantics import FibNh
    from .route import RTable

__all__ = ["FibNhException", "find_exception", "update_or_create_fnhe"]

_EXCEPTIONS_MAX = 2048 * 6  # FNHE_HASH_SIZE and the depth of its buckets: so many next hops remember at most.


class FibNhException:
    """The path MTU and the gateway of one destination, until ``expires``, in jiffies.

    Members
    -------
    gw : int
        The gateway that a redirect named, or 0.
    pmtu : int
        MTU of the way, or 0.
    mtu_locked : bool
        The MTU is less than any router should have: packets are to be fragmented on their way instead.
    rth_input, rth_output : RTable or None
        As those of ``FibNh``.
    """

    __slots__ = ("expires", "gw", "mtu_locked", "pmtu", "rth_input", "rth_output")

    def __init__(self) -> None:
        self.expires = 0
        self.gw = 0
        self.pmtu = 0
        self.mtu_locked = False
        self.rth_input: RTable | None = None
        self.rth_output: RTable | None = None


def find_exception(kernel: "Kernel", nh: "FibNh", daddr: int) -> FibNhException | None:
    """Return what is known of a destination behind a next hop; what is too old is forgotten."""
    fnhe = nh.exceptions.get(daddr)
    if fnhe is not None and jiffies(kernel) > fnhe.expires:
        _kill(fnhe)
        del nh.exceptions[daddr]
        return None
    return fnhe


def update_or_create_fnhe(nh: "FibNh", daddr: int, gw: int, pmtu: int, lock: bool, expires: int) -> None:
    """Note what was learned of a destination; routes that are in use and do not know it become stale."""
    fnhe = nh.exceptions.get(daddr)
    if fnhe is None:
        while len(nh.exceptions) >= _EXCEPTIONS_MAX:
            oldest = next(iter(nh.exceptions))
            _kill(nh.exceptions.pop(oldest))
        fnhe = nh.exceptions[daddr] = FibNhException()
        _kill(nh)
    else:
        _kill(fnhe)
    if gw:
        fnhe.gw = gw
    if pmtu:
        fnhe.pmtu = pmtu
        fnhe.mtu_locked = lock
    fnhe.expires = max(1, expires)
    net = nh.dev.net
    if net.ipv4.rt_cache is not None:
        from .route_cache import rt_cache_invalidate_peer  # It asks next hops.

        rt_cache_invalidate_peer(net, daddr)


def _kill(keeper: "FibNh | FibNhException") -> None:
    """Make the routes that a next hop keeps stale, wherever they are in use (``DST_OBSOLETE_KILL``)."""
    for rth in (keeper.rth_input, keeper.rth_output):
        if rth is not None:
            rth.obsolete = 2
    keeper.rth_input = keeper.rth_output = None

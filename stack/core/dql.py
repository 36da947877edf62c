"""Dynamic queue limits: how many octets to hand a device before it has sent some (Linux: dynamic_queue_limits)."""

__all__ = ["Dql", "dql_avail", "dql_completed", "dql_queued", "dql_reset"]

_WINDOW_NS = 1_000_000_000
_NO_SLACK = 1 << 62


class Dql:
    """A limit in octets that follows what the device gets done between two completions.

    It grows when the device ran dry while senders were held back by it. It shrinks by what was still in the ring at
    every completion of a whole second, since the device would have been as busy without.

    Members
    -------
    limit : int
        Octets that may be in the ring before senders are held back.
    min_limit, max_limit : int
        Bounds of it.
    num_queued, num_completed : int
        Octets handed to the device, and done, since the last reset.
    """

    __slots__ = (
        "held_back",
        "limit",
        "lowest_slack",
        "max_limit",
        "min_limit",
        "num_completed",
        "num_queued",
        "window_end_ns",
    )

    def __init__(self, *, min_limit: int = 0, max_limit: int = 1 << 30) -> None:
        self.min_limit = min_limit
        self.max_limit = max_limit
        self.limit = min_limit
        self.num_queued = 0
        self.num_completed = 0
        self.held_back = 0  # Most octets over the limit since the last completion.
        self.lowest_slack = _NO_SLACK
        self.window_end_ns = 0


def dql_reset(dql: Dql) -> None:
    """Start over with an empty ring."""
    dql.limit = dql.min_limit
    dql.num_queued = 0
    dql.num_completed = 0
    dql.held_back = 0
    dql.lowest_slack = _NO_SLACK
    dql.window_end_ns = 0


def dql_avail(dql: Dql) -> int:
    """Return how many octets the device may get now; negative: it has more than the limit."""
    return dql.limit - dql.num_queued + dql.num_completed


def dql_queued(dql: Dql, count: int) -> None:
    """Say that ``count`` octets were handed to the device."""
    dql.num_queued += count
    over = dql.num_queued - dql.num_completed - dql.limit
    if over > dql.held_back:
        dql.held_back = over


def dql_completed(dql: Dql, count: int, now_ns: int) -> None:
    """Say that ``count`` octets of those queued are done, and set the limit anew.

    Raises
    ------
    ValueError
        If that is more than was queued.
    """
    in_ring = dql.num_queued - dql.num_completed
    if count > in_ring:
        raise ValueError(f"{count} octets completed of {in_ring} in the ring")
    dql.num_completed += count
    slack = in_ring - count
    if dql.held_back and not slack:
        dql.limit = min(dql.limit + max(dql.held_back, count), dql.max_limit)
        _new_window(dql, now_ns)
    else:
        dql.lowest_slack = min(dql.lowest_slack, slack)
        if now_ns >= dql.window_end_ns:
            dql.limit = max(dql.limit - dql.lowest_slack, dql.min_limit)
            _new_window(dql, now_ns)
    dql.held_back = max(dql.num_queued - dql.num_completed - dql.limit, 0)


def _new_window(dql: Dql, now_ns: int) -> None:
    dql.window_end_ns = now_ns + _WINDOW_NS
    dql.lowest_slack = _NO_SLACK

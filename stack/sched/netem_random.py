"""Random events and delays as netem has them (tc-netem(8); Linux: net/sched/sch_netem.c)."""

from collections.abc import Callable, Sequence
from statistics import NormalDist

__all__ = ["Crndstate", "LossGe", "LossStates", "get_crandom", "normal_table", "tabledist"]

_DIST_SCALE = 8192  # An entry of a table of so much is one jitter.
_TABLE_SIZE = 4096

Random = Callable[[], int]  # 32 bits.


class Crndstate:
    """Random numbers of which each depends on the last one by ``rho`` of 2**32."""

    __slots__ = ("last", "rho")

    def __init__(self, rho: int, random_u32: Random) -> None:
        self.rho = rho
        self.last = random_u32()


def get_crandom(state: Crndstate, random_u32: Random) -> int:
    """Return the next number of 32 bits: so much of the last one, and for the rest chance."""
    value = random_u32()
    if not state.rho:
        return value
    rho = state.rho + 1
    state.last = (value * ((1 << 32) - rho) + state.last * rho) >> 32
    return state.last


def tabledist(mean: int, jitter: int, state: Crndstate, table: Sequence[int] | None, random_u32: Random) -> int:
    """Return a random number around a mean: evenly within the jitter, or as a table of deviations says."""
    if not jitter:
        return mean
    value = get_crandom(state, random_u32)
    if table is None:
        return value % (2 * jitter) + mean - jitter
    return mean + (2 * jitter * table[value % len(table)] + _DIST_SCALE) // (2 * _DIST_SCALE)


def normal_table() -> tuple[int, ...]:
    """Return the table of ``distribution normal``: the normal distribution's quantiles."""
    normal = NormalDist()
    quantiles = (normal.inv_cdf((index + 0.5) / _TABLE_SIZE) for index in range(_TABLE_SIZE))
    return tuple(max(-32_768, min(round(quantile * _DIST_SCALE), 32_767)) for quantile in quantiles)


class LossStates:
    """Losses as a Markov chain of four states: ``loss state P13 P31 P32 P23 P14``, each in 2**32.

    States: 1 received in a gap, 2 received in a burst, 3 lost in a burst, 4 lost alone in a gap.
    """

    __slots__ = ("moves", "state")

    def __init__(self, p13: int, p31: int, p32: int, p14: int, p23: int) -> None:
        self.state = 1
        self.moves = {1: ((4, p14), (3, p13)), 2: ((3, p23),), 3: ((2, p32), (1, p31)), 4: ((1, 1 << 32),)}

    def is_lost(self, random_u32: Random) -> bool:
        """Go to the next state; return whether the packet is lost."""
        value = random_u32()
        for state, probability in self.moves[self.state]:
            if value < probability:
                self.state = state
                break
            value -= probability
        return self.state >= 3


class LossGe:
    """Losses by the Gilbert-Elliott model: ``loss gemodel P R 1-H 1-K``, each in 2**32."""

    __slots__ = ("bad", "h", "k1", "p", "r")

    def __init__(self, p: int, r: int, h: int, k1: int) -> None:
        self.p, self.r, self.h, self.k1 = p, r, h, k1
        self.bad = False

    def is_lost(self, random_u32: Random) -> bool:
        """Return whether the packet is lost in the present state; then perhaps the state changes."""
        if self.bad:
            self.bad = random_u32() >= self.r
            return random_u32() > self.h
        self.bad = random_u32() < self.p
        return random_u32() < self.k1

"""How long a test waits for its card, host or network: what the fixtures of the pytest plugin take."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from .pytest_plugin.wanted import Wanted
from .world import World

__all__ = ["set_up_ms"]

_REPEATS = 20


def set_up_ms(repeats: int = _REPEATS) -> dict[str, float]:
    """Return what each fixture takes on a simulator that is built, in ms of real time; medians without the first."""
    wanted = Wanted()
    fixtures: dict[str, Callable[[World], Any]] = {
        "nic": wanted.nic,
        "host": wanted.host,
        "two_hosts": lambda world: wanted.lan(world, 2),
        "lan": wanted.lan,
    }
    times: dict[str, list[float]] = {name: [] for name in fixtures}
    for make in fixtures.values():
        make(World())  # Loads what is loaded once.
    for _ in range(repeats):  # In turn, so that what else the machine does slows all.
        for name, make in fixtures.items():
            started = time.perf_counter()
            make(World())
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) * 1000 for name, taken in times.items()}

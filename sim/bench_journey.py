"""What recording costs while it is off: datagrams a second with the recorder imported and used before, and without."""

import subprocess
import sys

__all__ = ["tracing_off"]

_PAIRS = 15
_RECORD = """
from hardwire.sim.journey import Recorder
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
machine = Machine(World(), Setup())
with Recorder(machine.world) as recorder:
    machine.net.socket().sendto(b"?", ("10.0.0.2", 9000))
    machine.world.drain()
assert recorder.journey().packets
"""
_RATE = """
import sys
from hardwire.sim.bench_stack import send_rate
print(send_rate()["datagrams_per_s"])
assert ("hardwire.sim.trace" in sys.modules) == {traced}
"""


def tracing_off(pairs: int = _PAIRS) -> float:
    """Return how many datagrams a second go out, as part of those without the tracer.

    The best of processes with and of processes without it, run in turns: whatever else a computer does only slows them.

    Raises
    ------
    RuntimeError
        If a measurement fails.
    """
    rates: dict[bool, list[float]] = {True: [], False: []}
    for pair in range(pairs):
        for traced in ((True, False), (False, True))[pair % 2]:
            rates[traced].append(_rate(traced=traced))
    return max(rates[True]) / max(rates[False])


def _rate(*, traced: bool) -> float:
    program = (_RECORD if traced else "") + _RATE.format(traced=traced)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"datagrams could not be counted:\n{result.stderr[-2000:]}")
    return float(result.stdout)

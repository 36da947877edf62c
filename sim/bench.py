"""The figures that we claim, measured in one run: what ``hardwire bench`` reports."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from .bus_model import BusModel
from .nic import SimNic
from .raw_queue import RawQueue
from .world import World

__all__ = ["LINE_RATE_OCTETS", "cocotb_speed", "latency", "run", "start"]

LINE_RATE_OCTETS = (64, 65, 128, 511, 1518, 9018)
_FCS = 4
_REPEATS = 5

Say = Callable[[str], None]


def run(say: Say, *, cocotb: bool = True) -> dict[str, Any]:
    """Measure everything; ``say`` hears what goes on."""
    from .bench_company import company
    from .bench_fixtures import set_up_ms
    from .bench_journey import tracing_off
    from .bench_protocols import memory_of, protocol_rates
    from .bench_receive import echo, line_rate, wire_to_interrupt
    from .bench_stack import send_rate, sim_speed
    from .bench_tcp import connections, memory_of_connections, streams

    say("line rate")
    cycles = {octets: line_rate(octets) for octets in LINE_RATE_OCTETS}
    say("latency")
    conditions = [(octets, memory_ns) for memory_ns in (0, 1000) for octets in (64, 1518)]
    to_preamble = {_condition(*at): latency(*at) for at in conditions}
    to_interrupt = {_condition(*at): wire_to_interrupt(*at) for at in conditions}
    say("simulation speed")
    sim = sim_speed()
    say("sending")
    send = send_rate()
    say("sending with the tracer off")
    send["with_tracer_off"] = tracing_off()
    say("the stack alone")
    stack = protocol_rates() | {"memory": memory_of()}
    say("echo")
    echoes = echo()
    say("TCP")
    tcp = streams() | {"connections_per_s": connections(), "memory": memory_of_connections()}
    say("among real kernels")
    real = company()
    say("fixtures")
    fixtures = set_up_ms()
    say("simulation speed under cocotb")
    sim |= cocotb_speed() if cocotb else {"cocotb_cycles_per_s": None, "vs_cocotb": None}
    say("start")
    return {
        "line_rate": {"1g": {str(octets): limit / achieved for octets, (achieved, limit) in cycles.items()}},
        "line_rate_cycles": {str(o): {"achieved": achieved, "limit": limit} for o, (achieved, limit) in cycles.items()},
        "sim": sim,
        "send": send,
        "stack": stack,
        "echo": echoes,
        "tcp": tcp,
        "company": real,
        "latency": {"doorbell_to_preamble_cycles": to_preamble, "wire_to_interrupt_cycles": to_interrupt},
        "fixtures_ms": fixtures,
        "start": start(),
    }


def _condition(frame_octets: int, memory_ns: float) -> str:
    return f"{frame_octets} octets, memory {memory_ns:.0f} ns"


def latency(frame_octets: int = 64, memory_ns: float = 0) -> int:
    """Return the cycles from the doorbell to the first preamble octet."""
    nic = SimNic(World().host(), bus=BusModel(read_latency_ns=memory_ns, write_latency_ns=memory_ns))
    queue = RawQueue(nic)
    queue.fill(bytes(frame_octets - _FCS))
    nic.world.advance(100_000)
    nic.log_events()
    queue.ring_doorbell(1)
    nic.world.drain()
    events = nic.take_events()
    doorbell = next(e.cycle for e in events if e.kind == "mmio_write" and e.a == queue.offset("TAIL"))
    return next(e.cycle for e in events if e.kind == "frame_start") - doorbell


def cocotb_speed(repeats: int = _REPEATS) -> dict[str, float | None]:
    """Return cocotb's speed on the same NIC, driver and frames, and how many times faster the simulator is; medians."""
    from .bench_stack import driver_speed

    speeds, times = [], []
    for _ in range(repeats):
        # In turns, so that a change of the computer's speed meets both.
        before, speed, after = driver_speed(), _cocotb_once(), driver_speed()
        speeds.append(speed)
        times.append((before + after) / 2 / speed)
    return {"cocotb_cycles_per_s": statistics.median(speeds), "vs_cocotb": statistics.median(times)}


def _cocotb_once() -> float:
    command = [sys.executable, "-m", "hardwire.tb.speed"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"the run under cocotb failed:\n{result.stderr[-2000:]}")
    return float(json.loads(result.stdout.splitlines()[-1])["cycles_per_s"])


_FIRST_READ = """
from hardwire.sim.nic import SimNic
from hardwire.sim.world import World
assert SimNic(World().host()).read32(0) == 0x48574E43
import time
print(time.clock_gettime(time.CLOCK_MONOTONIC))
"""


def start() -> dict[str, float]:
    """Return seconds from the start of a process to its first register read, with an empty cache and a warm one."""
    with tempfile.TemporaryDirectory() as cache:
        cold = _start_once(cache)
        warm = statistics.median(_start_once(cache) for _ in range(_REPEATS))
    return {"cold_s": cold, "warm_s": warm}


def _start_once(cache: str) -> float:
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    result = subprocess.run(
        [sys.executable, "-c", _FIRST_READ],
        env={**os.environ, "HARDWIRE_CACHE": cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return float(result.stdout) - began

"""The counters under Verilator, against Python integers."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from hardwire.stack.abi import STATS
from hardwire.tb.bench import seed
from hardwire.tb.cocotb_test import bench_test

NAMES = [r.name.removesuffix("_LO").lower() for r in STATS.registers if r.name.endswith("_LO")]
MAX_LATENCY = len(NAMES) + 16


class Harness:
    """Clock, inputs and a model; all is driven and sampled between the edges."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.random = random.Random(seed())
        self.add = {name: getattr(dut, f"add_{name}") for name in NAMES}
        self.adding = dict.fromkeys(NAMES, 0)
        self.sums = dict.fromkeys(NAMES, 0)

    async def start(self) -> None:
        """Reset, and wait for the end of the first round."""
        for signal in (*self.add.values(), self.dut.window_read, self.dut.window_addr):
            signal.value = 0
        cocotb.start_soon(Clock(self.dut.clk, 8, unit="ns").start())
        await self.reset()

    async def reset(self) -> None:
        """Reset for some cycles; the sums are 0 then."""
        self.drive({})
        self.dut.rst.value = 1
        await self.cycles(4)
        self.dut.rst.value = 0
        await self.rest()
        self.sums = dict.fromkeys(NAMES, 0)

    def drive(self, adding: dict[str, int]) -> None:
        """Choose what is added in the next cycles."""
        for name, signal in self.add.items():
            number = adding.get(name, 0)
            if number != self.adding[name]:
                self.adding[name] = number
                signal.value = number

    async def cycles(self, count: int = 1) -> None:
        """Let cycles pass."""
        for _ in range(count):
            await FallingEdge(self.dut.clk)
        for name, number in self.adding.items():
            self.sums[name] += count * number

    async def rest(self) -> None:
        """Wait until nothing moves; it must come soon."""
        for _ in range(3 * MAX_LATENCY):
            await self.cycles()
            if not int(self.dut.busy.value):
                return
        raise AssertionError("busy without end")

    async def half(self, name: str, high: int, step=None) -> int:
        """Read one half; ``step`` chooses what is added in each cycle."""
        self.dut.window_addr.value = 2 * NAMES.index(name) + high
        self.dut.window_read.value = 1
        for _ in range(2 if high else MAX_LATENCY):
            if step:
                step()
            await self.cycles()
            self.dut.window_read.value = 0
            if int(self.dut.window_valid.value):
                return int(self.dut.window_data.value)
        raise AssertionError(f"no answer for {name}")

    async def read(self, name: str, step=None) -> int:
        """Read a whole counter and compare it."""
        least = self.sums[name]
        low = await self.half(name, 0, step)
        most = self.sums[name]
        high = await self.half(name, 1, step)
        value = high << 32 | low
        assert least <= value <= most, f"{name}: {value:#x} is not in {least:#x}..{most:#x}"
        return value

    async def check(self) -> None:
        """Compare all counters, in any order, while nothing is added."""
        self.drive({})
        await self.cycles()
        for name in self.random.sample(NAMES, len(NAMES)):
            assert await self.read(name) == self.sums[name], name


async def started(dut) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start()
    return harness


def most(name: str) -> int:
    """Return the largest number that can be added to a counter."""
    return 0xFFFF if name.endswith("_octets") else 1


@bench_test
async def nothing_is_lost_whatever_comes_and_whenever_it_is_read(dut):
    harness = await started(dut)
    rng = harness.random
    for _ in range(12):
        odds = {name: rng.choice((0.0, 0.01, 0.2, 0.9, 1.0)) for name in NAMES}
        cycle_odds = rng.choice((0.02, 0.3, 1.0))

        def step(odds=odds, cycle_odds=cycle_odds) -> None:
            some = rng.random() < cycle_odds
            harness.drive({n: rng.randint(1, most(n)) for n in NAMES if some and rng.random() < odds[n]})

        for _ in range(8):
            for _ in range(rng.choice((0, 1, rng.randrange(150)))):
                step()
                await harness.cycles()
            await harness.read(rng.choice(NAMES), step)
        await harness.check()


@bench_test
async def all_counters_count_in_every_cycle(dut):
    harness = await started(dut)
    harness.drive({name: most(name) for name in NAMES})
    await harness.cycles(3000)
    await harness.check()


@bench_test
async def single_events_at_any_distance_are_not_lost(dut):
    harness = await started(dut)
    for _ in range(300):
        harness.drive({harness.random.choice(NAMES): 1})
        await harness.cycles()
        harness.drive({})
        await harness.cycles(harness.random.choice((0, 1, 2, harness.random.randrange(120))))
    await harness.check()


@bench_test
async def sums_carry_into_the_high_half(dut):
    harness = await started(dut)
    harness.drive({name: most(name) for name in NAMES})
    await harness.cycles(0x1_0100)
    assert harness.sums["tx_octets"] > 1 << 32
    await harness.check()


@bench_test
async def the_latch_of_the_high_half_is_shared(dut):
    harness = await started(dut)
    harness.drive({"tx_octets": 0xFFFF})
    await harness.cycles(0x2_0100)
    harness.drive({})
    await harness.cycles()
    await harness.half("tx_octets", 0)
    assert await harness.half("rx_frames", 1) == harness.sums["tx_octets"] >> 32 == 2
    await harness.half("rx_frames", 0)
    assert await harness.half("tx_octets", 1) == 0


@bench_test
async def it_comes_to_rest_and_reset_clears_all(dut):
    harness = await started(dut)
    harness.drive({name: most(name) for name in NAMES})
    await harness.cycles(harness.random.randrange(100, 300))
    harness.drive({})
    await harness.rest()
    for _ in range(100):
        await harness.cycles()
        assert not int(dut.busy.value)
    await harness.check()
    harness.drive({name: most(name) for name in NAMES})
    await harness.cycles(harness.random.randrange(1, 100))
    await harness.reset()
    await harness.check()

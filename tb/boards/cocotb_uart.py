"""The UART under Verilator against a line whose bits are made and sampled in Python."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, Timer
from cocotb.utils import get_sim_time

from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import SOAK, bench_test

_OCTETS = 2000 if SOAK else 150


class Harness:
    """A UART and the other end of its line."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(seed())
        self.bit_ps = 1e12 / parameters()["baud"]
        self.clock_ps = round(1e9 / parameters()["clock_khz"])
        self.received: list[int] = []

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        dut.rx.value = 1
        dut.i_valid.value = 0
        cocotb.start_soon(Clock(dut.clk, self.clock_ps, unit="ps").start())
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 8)
        cocotb.start_soon(self._receive())

    async def _receive(self) -> None:
        while True:
            await RisingEdge(self.dut.o_valid)
            self.received.append(int(self.dut.o.value))

    async def level(self, level: int, bits: float) -> None:
        """Hold the line for a time."""
        self.dut.rx.value = level
        await Timer(round(bits * self.bit_ps), "ps")

    async def put(self, octet: int, *, error: float = 0.0, stop: int = 1) -> None:
        """Send an octet, each bit longer by a share ``error``."""
        for level in (0, *(octet >> bit & 1 for bit in range(8)), stop):
            await self.level(level, 1 + error)

    async def get(self) -> int:
        """Sample an octet in the middle of its bits."""
        await FallingEdge(self.dut.tx)
        await Timer(round(self.bit_ps / 2), "ps")
        levels = []
        for _ in range(10):
            levels.append(int(self.dut.tx.value))
            await Timer(round(self.bit_ps), "ps")
        assert levels[0] == 0
        assert levels[9] == 1
        return sum(level << bit for bit, level in enumerate(levels[1:9]))


async def started(dut) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start()
    return harness


def _octets(rng: random.Random) -> list[int]:
    return [rng.choice((0, 0xFF, 0x55, rng.getrandbits(8))) for _ in range(_OCTETS)]


@bench_test
async def it_receives_at_rates_that_are_off_by_two_percent(dut):
    harness = await started(dut)
    for error in (0.0, 0.02, -0.02):
        octets = _octets(harness.rng)
        for octet in octets:
            await harness.put(octet, error=error)
            if harness.rng.random() < 0.3:
                await harness.level(1, harness.rng.random() * 3)
        await harness.level(1, 2)
        assert harness.received == octets
        harness.received.clear()


@bench_test
async def spikes_do_not_disturb_it(dut):
    harness = await started(dut)
    octets = _octets(harness.rng)
    cycle_bits = harness.clock_ps / harness.bit_ps
    for octet in octets:
        for level in (0, *(octet >> bit & 1 for bit in range(8)), 1):
            # In the middle, shorter than a cycle.
            before = 0.5 + harness.rng.uniform(-0.2, 0.2)
            await harness.level(level, before)
            await harness.level(1 - level, 0.9 * cycle_bits)
            await harness.level(level, 1 - before - 0.9 * cycle_bits)
        await harness.level(1, harness.rng.random() * 2)
    await harness.level(1, 2)
    assert harness.received == octets


@bench_test
async def it_leaves_out_an_octet_without_stop_bit_and_comes_back(dut):
    harness = await started(dut)
    rng, sent = harness.rng, []
    for _ in range(40):
        octet = rng.getrandbits(8)
        if rng.random() < 0.3:
            await harness.put(octet, stop=0)
            await harness.level(0, rng.random() * 30)
            await harness.level(1, 1 + rng.random())
        else:
            await harness.put(octet)
            sent.append(octet)
    await harness.level(1, 2)
    assert harness.received == sent


@bench_test
async def a_low_shorter_than_half_a_bit_is_no_start(dut):
    harness = await started(dut)
    for _ in range(30):
        await harness.level(0, harness.rng.uniform(0.05, 0.35))
        await harness.level(1, 1.5)
    assert harness.received == []
    await harness.put(0xA5)
    await harness.level(1, 1)
    assert harness.received == [0xA5]


@bench_test
async def it_sends_octets_without_a_pause_at_its_rate(dut):
    harness = await started(dut)
    octets = _octets(harness.rng)

    async def feed() -> None:
        for octet in octets:
            dut.i.value = octet
            dut.i_valid.value = 1
            await RisingEdge(dut.i_ready)
            await RisingEdge(dut.clk)
        dut.i_valid.value = 0

    cocotb.start_soon(feed())
    await FallingEdge(dut.tx)
    # A rate that is off by 0.1 % would be half a bit late after 50 octets: so it is measured anew for each.
    start = get_sim_time("ps")
    for number, octet in enumerate(octets):
        for bit, level in enumerate((0, *(octet >> bit & 1 for bit in range(8)), 1)):
            await Timer(round(start + (bit + 0.5) * harness.bit_ps - get_sim_time("ps")), "ps")
            assert int(dut.tx.value) == level, f"bit {bit} of octet {number}"
        if number < len(octets) - 1:
            await FallingEdge(dut.tx)
            elapsed_bits = (get_sim_time("ps") - start) / harness.bit_ps
            assert abs(elapsed_bits - 10) < 0.01 + 1.1 * harness.clock_ps / harness.bit_ps
            start = get_sim_time("ps")


@bench_test
async def it_sends_octets_that_come_now_and_then(dut):
    harness = await started(dut)
    for octet in _octets(harness.rng)[:40]:
        await ClockCycles(dut.clk, harness.rng.randrange(1, 300))
        dut.i.value = octet
        dut.i_valid.value = 1
        seen = cocotb.start_soon(harness.get())
        await RisingEdge(dut.i_ready)
        await RisingEdge(dut.clk)
        dut.i_valid.value = 0
        assert await seen == octet

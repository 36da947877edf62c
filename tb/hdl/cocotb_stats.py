"""The counters under Verilator, against Python integers in every cycle."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from hardwire.stack.abi import STATS
from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import bench_test

NAMES = [r.name.removesuffix("_LO").lower() for r in STATS.registers if r.name.endswith("_LO")]


async def count(dut, cycles: int, choose) -> None:
    """Add ``choose(width)`` to each counter for so many cycles and compare all sums in each."""
    if parameters()["wide"]:
        add, value = [dut.add], [dut.value]
    else:
        add = [getattr(dut, f"add_{name}") for name in NAMES]
        value = [getattr(dut, f"values_{name}_value") for name in NAMES]
    for signal in add:
        signal.value = 0
    cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    sums, adding = [0] * len(add), [0] * len(add)
    for _ in range(cycles):
        # Between the edges: what the last cycle added is not in the sums yet.
        await FallingEdge(dut.clk)
        assert [int(signal.value) for signal in value] == sums
        sums = [total + number for total, number in zip(sums, adding, strict=True)]
        adding = [choose(len(signal)) for signal in add]
        for signal, number in zip(add, adding, strict=True):
            signal.value = number


@bench_test
async def every_counter_shows_a_true_sum_in_every_cycle(dut):
    rng = random.Random(seed())
    await count(dut, 4000, lambda width: rng.choice((0, 1, (1 << width) - 1, rng.getrandbits(width))))


@bench_test
async def every_counter_carries_into_its_high_bits(dut):
    await count(dut, 0x1_0100, lambda width: (1 << width) - 1)

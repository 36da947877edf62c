"""The counters under Verilator, against Python integers in every cycle."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from hardwire.stack.abi import STATS
from hardwire.tb.bench import seed
from hardwire.tb.cocotb_test import bench_test

NAMES = [r.name.removesuffix("_LO").lower() for r in STATS.registers if r.name.endswith("_LO")]


@bench_test
async def every_counter_shows_a_true_sum_in_every_cycle(dut):
    rng = random.Random(seed())
    add = {name: getattr(dut, f"add_{name}") for name in NAMES}
    value = {name: getattr(dut, f"values_{name}_value") for name in NAMES}
    for signal in add.values():
        signal.value = 0
    cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    sums = dict.fromkeys(NAMES, 0)
    for _ in range(4000):
        # Between the edges: what the last cycle added is not in the sums yet.
        await FallingEdge(dut.clk)
        assert {name: int(signal.value) for name, signal in value.items()} == sums
        sums = {name: sums[name] + int(signal.value) for name, signal in add.items()}
        for signal in add.values():
            width = len(signal)
            signal.value = rng.choice((0, 1, (1 << width) - 1, rng.getrandbits(width)))

"""What tb/test_bench.py runs: one test of a register with an inverter before it."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import bench_test


@bench_test
async def output_follows_input(dut):
    dut._log.info("seed %d", seed())
    cocotb.start_soon(Clock(dut.clk, 8, "ns").start())
    for bit in (0, 1, 0, 1, 1):
        dut.d.value = bit
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        assert dut.q.value == bit ^ parameters()["inverts"], "q is not what it must be"

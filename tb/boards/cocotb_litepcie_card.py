"""The NIC behind LitePCIe: frames go out of the host's memory and into it, messages tell of them."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from hardwire.stack.abi import TXQ
from hardwire.tb.bench import seed
from hardwire.tb.boards.nic_host import check_both_ways
from hardwire.tb.boards.tlp_host import TlpHost
from hardwire.tb.cocotb_test import bench_test

REPEAT_CYCLES = 2000  # As soc_designs has it.


async def start(dut) -> TlpHost:
    """Start the clock, reset, and return the host."""
    cocotb.start_soon(Clock(dut.clk, 8, "ns").start())
    dut.rst.value = 1
    host = TlpHost(dut, random.Random(seed()))
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 4)
    return host


@bench_test
async def frames_go_out_of_the_memory_and_into_it(dut):
    host = await start(dut)
    await check_both_ways(host, dut, host.rng)
    assert host.packets["reads"] > 24
    assert host.packets["writes"] > 24


@bench_test
async def message_is_repeated_while_the_line_is_high(dut):
    host = await start(dut)
    # With nothing posted, an armed queue has no condition: the line is raised by a completion that nobody acknowledges.
    await check_both_ways(host, dut, host.rng)
    host.messages = 0
    await ClockCycles(dut.clk, 2 * REPEAT_CYCLES)
    assert host.messages == 0
    await host.write32(TXQ.address(TXQ["CPL_TAIL"]), TXQ["CPL_TAIL"].pack(index=0, arm=1))
    await ClockCycles(dut.clk, 4 * REPEAT_CYCLES)
    assert 3 <= host.messages <= 4

"""The NIC in a LiteX SoC: frames go out of the SoC's memory and into it."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from hardwire.stack.abi import GLOBAL
from hardwire.tb.bench import seed
from hardwire.tb.boards.nic_host import check_both_ways
from hardwire.tb.cocotb_test import bench_test

NIC, SRAM = 0x8000_0000, 0x0100_0000


class SocHost:
    """A host on the SoC's bus."""

    base = SRAM

    def __init__(self, dut) -> None:
        self.dut = dut
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "host"), dut.clk, dut.rst)

    async def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        assert (await self.bus.write(NIC + offset, value.to_bytes(4, "little"))).resp == 0

    async def read32(self, offset: int) -> int:
        """Read a register."""
        return int.from_bytes((await self.bus.read(NIC + offset, 4)).data, "little")

    async def put(self, at: int, octets: bytes) -> None:
        """Write the SoC's memory."""
        assert (await self.bus.write(SRAM + at, octets)).resp == 0

    async def get(self, at: int, count: int) -> bytes:
        """Read the SoC's memory."""
        return bytes((await self.bus.read(SRAM + at, count)).data)

    async def interrupt(self) -> None:
        """Poll until a queue has its interrupt."""
        while not await self.read32(GLOBAL.address(GLOBAL["IRQ"])):
            await ClockCycles(self.dut.clk, 100)


@bench_test
async def frames_go_out_of_the_memory_and_into_it(dut):
    cocotb.start_soon(Clock(dut.clk, 8, "ns").start())
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    host = SocHost(dut)
    await ClockCycles(dut.clk, 4)
    await check_both_ways(host, dut, random.Random(seed()))

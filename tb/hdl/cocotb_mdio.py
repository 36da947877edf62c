"""The PHY's management interface under Verilator against PHYs in Python."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from hardwire.stack.abi.regs import MdioOp
from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.mdio_phy import MdioPhy


class Harness:
    """A station with some PHYs."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(seed())

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        for name in ("stb", "op", "phy", "reg", "data"):
            getattr(dut, f"csr_mdio_{name}").value = 0
        dut.mdio_i.value = 1
        period_ps = -(-1_000_000_000 // parameters()["clock_khz"]) // 2 * 2
        cocotb.start_soon(Clock(dut.clk, period_ps, unit="ps").start())
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 1)
        self.phy = MdioPhy(dut, self.rng)
        for address in self.rng.sample(range(32), 3):
            for register in range(32):
                self.phy.registers[address, register] = self.rng.getrandbits(16)

    @property
    def present(self) -> list[int]:
        """Addresses of PHYs that answer."""
        return sorted({address for address, _ in self.phy.registers})

    async def request(self, op: int, phy: int, register: int, data: int = 0) -> None:
        """Write the register, as the bank shows it."""
        dut = self.dut
        for name, value in (("op", op), ("phy", phy), ("reg", register), ("data", data), ("stb", 1)):
            getattr(dut, f"csr_mdio_{name}").value = value
        await RisingEdge(dut.clk)
        if op in iter(MdioOp):
            assert dut.csr_mdio_status_busy.value, "not busy at once"
        dut.csr_mdio_stb.value = 0

    async def transfer(self, op: int, phy: int, register: int, data: int = 0) -> tuple[int, int]:
        """Carry out a transaction; return data and no_answer."""
        dut = self.dut
        await self.request(op, phy, register, data)
        await RisingEdge(dut.clk)
        assert dut.busy.value
        # The register may change under way.
        dut.csr_mdio_data.value = self.rng.getrandbits(16)
        dut.csr_mdio_reg.value = self.rng.getrandbits(5)
        await FallingEdge(dut.busy)
        await RisingEdge(dut.clk)
        assert not dut.csr_mdio_status_busy.value
        return int(dut.csr_mdio_status_data.value), int(dut.csr_mdio_status_no_answer.value)


async def started(dut) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start()
    return harness


@bench_test
async def it_reads_and_writes_what_it_is_told(dut):
    harness = await started(dut)
    rng, phy = harness.rng, harness.phy
    writes, reads = [], []
    for _ in range(24):
        address = rng.choice(harness.present) if rng.random() < 0.8 else rng.randrange(32)
        register, value = rng.randrange(32), rng.choice((0, 0xFFFF, rng.getrandbits(16)))
        answers = address in harness.present
        if rng.random() < 0.5:
            _, no_answer = await harness.transfer(MdioOp.WRITE, address, register, value)
            writes.append((address, register, value))
            assert not no_answer
        else:
            seen = await harness.transfer(MdioOp.READ, address, register, value)
            reads.append((address, register))
            assert seen == ((phy.registers[address, register], 0) if answers else (0xFFFF, 1))
        await ClockCycles(dut.clk, rng.choice((0, 1, 2, 100)))
    assert phy.writes == writes
    assert phy.reads == reads
    assert phy.edges == 64 * 24


@bench_test
async def the_result_stays_until_the_next_transaction(dut):
    harness = await started(dut)
    address = harness.present[0]
    harness.phy.registers[address, 3] = 0xA5C3
    assert await harness.transfer(MdioOp.READ, address, 3) == (0xA5C3, 0)
    for _ in range(300):
        await RisingEdge(dut.clk)
        assert int(dut.csr_mdio_status_data.value) == 0xA5C3


@bench_test
async def what_is_no_operation_or_comes_while_busy_does_nothing(dut):
    harness = await started(dut)
    for op in (0, 3):
        await harness.request(op, 1, 1)
        await ClockCycles(dut.clk, 300)
        assert not dut.busy.value
    assert harness.phy.edges == 0
    address = harness.present[0]
    await harness.request(MdioOp.WRITE, address, 5, 0x1234)
    for _ in range(4):
        await ClockCycles(dut.clk, harness.rng.randint(1, 100))
        await harness.request(MdioOp.WRITE, address, 6, 0xFFFF)
    await FallingEdge(dut.busy)
    await ClockCycles(dut.clk, 300)
    assert harness.phy.writes == [(address, 5, 0x1234)]


@bench_test
async def it_is_silent_while_idle(dut):
    harness = await started(dut)
    await harness.transfer(MdioOp.READ, harness.present[0], 1)
    before = harness.phy.edges
    for _ in range(1000):
        await RisingEdge(dut.clk)
        assert not dut.mdc.value
        assert not dut.mdio_oe.value
    assert harness.phy.edges == before

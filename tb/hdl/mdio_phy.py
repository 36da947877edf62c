"""A PHY on a management interface, from the text of clause 22 only; it checks the times of what it gets."""

import random

import cocotb
from cocotb.triggers import RisingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time

__all__ = ["MdioPhy"]

PERIOD_NS, LEVEL_NS = 400, 160  # 22.2.2.13
SETUP_NS, HOLD_NS = 10, 10  # 22.3.4
OUTPUT_NS = 300  # 22.3.4


class MdioPhy:
    """PHYs with registers at some addresses, a line with a pull-up, and a watch on what goes over it.

    Members
    -------
    registers : dict[tuple[int, int], int]
        By address of PHY and register. A PHY answers if it has any.
    writes : list[tuple[int, int, int]]
        PHY, register, value of each write.
    reads : list[tuple[int, int]]
        PHY and register of each read.
    """

    def __init__(self, dut, rng: random.Random) -> None:
        self._dut = dut
        self._rng = rng
        self.registers: dict[tuple[int, int], int] = {}
        self.writes: list[tuple[int, int, int]] = []
        self.reads: list[tuple[int, int]] = []
        self.edges = 0
        self._driven: int | None = None
        self._changed_ns = 0.0  # When the own side last changed the line.
        self._rose_ns = -1e9
        self._put()
        for task in (self._watch_line(dut.mdio_o), self._watch_line(dut.mdio_oe), self._watch_clock(), self._run()):
            cocotb.start_soon(task)

    def answer(self, phy: int, register: int) -> int | None:
        """Return what a read of a register gives, None if no PHY has that address."""
        if all(address != phy for address, _ in self.registers):
            return None
        return self.registers.get((phy, register), 0xFFFF)

    def take(self, phy: int, register: int, value: int) -> None:
        """Write a register."""
        if any(address == phy for address, _ in self.registers):
            self.registers[phy, register] = value

    def _put(self) -> None:
        dut = self._dut
        station = int(dut.mdio_oe.value)
        assert not (station and self._driven is not None), "both sides drive MDIO"
        level = int(dut.mdio_o.value) if station else 1 if self._driven is None else self._driven
        dut.mdio_i.value = level

    async def _watch_line(self, signal) -> None:
        while True:
            await ValueChange(signal)
            now = get_sim_time("ns")
            assert now - self._rose_ns >= HOLD_NS, "MDIO changes too soon after MDC"
            self._changed_ns = now
            self._put()

    async def _watch_clock(self) -> None:
        changed = -1e9
        while True:
            await ValueChange(self._dut.mdc)
            now = get_sim_time("ns")
            assert now - changed >= LEVEL_NS, "MDC's level is too short"
            changed = now

    async def _bit(self, drive: int | None = None) -> int:
        """Wait for the next rise of MDC and return what is on the line then.

        With ``drive`` the PHY puts it there after the rise before, as late as it may.
        """
        if drive is not None:
            delay_ps = self._rng.choice((1, OUTPUT_NS * 1000, self._rng.randint(1, OUTPUT_NS * 1000)))
            await Timer(delay_ps, "ps")
            self._driven = drive
            self._put()
        await RisingEdge(self._dut.mdc)
        now = get_sim_time("ns")
        assert now - self._rose_ns >= PERIOD_NS, "MDC is too fast"
        assert now - self._changed_ns >= SETUP_NS, "MDIO changes too close to MDC"
        self._rose_ns = now
        self.edges += 1
        return int(self._dut.mdio_i.value)

    async def _number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | await self._bit()
        return value

    async def _run(self) -> None:
        """Frame after frame: preamble, ST, OP, PHYAD, REGAD, TA, DATA (22.2.4.5)."""
        ones = 0
        while True:
            if await self._bit():
                ones += 1
                continue
            assert ones == 32, f"{ones} bits of preamble"
            assert await self._bit() == 1, "start of frame is not 01"
            op, phy, register = await self._number(2), await self._number(5), await self._number(5)
            if op == 0b01:
                assert await self._number(2) == 0b10
                value = await self._number(16)
                self.writes.append((phy, register, value))
                self.take(phy, register, value)
            else:
                assert op == 0b10
                self.reads.append((phy, register))
                await self._read(self.answer(phy, register))
            ones = 0

    async def _read(self, value: int | None) -> None:
        await self._bit()
        assert not int(self._dut.mdio_oe.value), "the line is not released"
        answer = (None,) * 17 if value is None else (0, *(value >> bit & 1 for bit in reversed(range(16))))
        for bit in answer:
            await self._bit(bit)
        # High impedance again after the last bit's rise (its hold is the station's sample).
        await Timer(1, "ns")
        self._driven = None
        self._put()

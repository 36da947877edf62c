"""What the benches of both rings stand on: host memory with a pair of rings, and a driver's way around registers."""

import logging
import random

from cocotb.triggers import RisingEdge

from hardwire.stack.abi.model import Block, Record
from hardwire.tb.bench import seed

__all__ = ["RingHarness", "Rings"]


class Rings:
    """Host memory with the two rings, the model of the bus' target: checks each access.

    Descriptors must be read once each, in order, and only while posted; completions written in order, but for
    repetitions after an error.
    """

    def __init__(self, rng: random.Random, *, desc: Record, cpl: Record) -> None:
        self._desc, self._cpl = desc, cpl
        self.rng = rng
        self.write_errors = 0.0
        self._burst_failed = False
        self.configure(log2=1)

    def configure(self, *, log2: int) -> None:
        """Make empty rings somewhere."""
        self.size = 1 << log2
        align = max(4096, self.size * self._desc.size_octets)
        self.base = align * self.rng.randrange((1 << 64) // align)
        self.cpl_base = align * self.rng.randrange((1 << 64) // align)
        self.descriptors = bytearray(self.size * self._desc.size_octets)
        self.completions = bytearray(self.size * self._cpl.size_octets)
        self.bad: dict[int, int] = {}  # Descriptors that cannot be read: octet that fails.
        self.tail = 0
        self.fetched = 0  # Octets, since the ring started.

    async def read(self, address: int, length: int) -> bytes:
        """Read the beat of a descriptor; if the bus is wider than that, the word with it."""
        at = self.fetched % len(self.descriptors)
        offset = at - (address - self.base)
        assert 0 <= offset < length, f"descriptor octet {address - self.base:#x} is out of order"
        beat = min(length, self._desc.size_octets)
        assert offset % beat == 0
        index = at // self._desc.size_octets
        assert index != self.tail, f"descriptor {index} was not posted"
        self.fetched += beat
        if at <= index * self._desc.size_octets + self.bad.get(index, -self._desc.size_octets) < at + beat:
            raise OSError("injected")
        return bytes(self.descriptors[at - offset : at - offset + length])

    async def write(self, address: int, octets: bytes) -> None:
        """Write a beat of a completion. One that fails may be written all the same, but none after it in the burst."""
        at = address - self.cpl_base
        assert 0 <= at <= len(self.completions) - len(octets)
        if at % self._cpl.size_octets == 0:
            self._burst_failed = False
        # The odds are those of a whole completion: of many beats one would nearly always fail.
        beats = max(1, self._cpl.size_octets // len(octets))
        failed = self.rng.random() < 1 - (1 - self.write_errors) ** (1 / beats)
        if not self._burst_failed and (not failed or self.rng.random() < 0.3):
            self.completions[at : at + len(octets)] = octets
        self._burst_failed |= failed
        if failed:
            raise OSError("injected")


class RingHarness:
    """A queue's registers and rings, as its driver sees them."""

    def __init__(self, dut, block: Block, *, desc: Record, cpl: Record) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self._block = block
        self.dut = dut
        self.rng = random.Random(seed())
        self.rings = Rings(self.rng, desc=desc, cpl=cpl)
        self.cycle = 0

    def _pauses(self, odds: float):
        rng = random.Random(self.rng.random())
        while True:
            yield rng.random() < odds

    async def write(self, name: str, **fields: int) -> None:
        """Write a register."""
        register = self._block[name]
        answer = await self.csr.write(self._block.address(register), register.pack(**fields).to_bytes(4, "little"))
        assert answer.resp == 0

    async def read(self, name: str) -> dict[str, int]:
        """Read a register's fields."""
        register = self._block[name]
        answer = await self.csr.read(self._block.address(register), 4)
        assert answer.resp == 0
        return register.unpack(int.from_bytes(answer.data, "little"))

    async def configure(self, *, log2: int, irq_count: int = 1, irq_time: int = 0) -> None:
        """Set up empty rings and enable the queue."""
        self.rings.configure(log2=log2)
        for name, base in (("BASE", self.rings.base), ("CPL_BASE", self.rings.cpl_base)):
            await self.write(f"{name}_LO", value=base & 0xFFFFFFFF)
            await self.write(f"{name}_HI", value=base >> 32)
        await self.write("SIZE", log2=log2)
        await self.write("IRQ_COUNT", completions=irq_count)
        await self.write("IRQ_TIME", cycles=irq_time)
        self.next_to_use = self.next_to_clean = self.cpl_tail = 0
        self.phase = 1
        await self.write("CPL_TAIL", index=0, arm=1)
        await self.write("CTRL", enable=1)

    @property
    def room(self) -> int:
        """Descriptors that the driver may fill now."""
        return (self.next_to_clean - self.next_to_use - 1) % self.rings.size

    async def ring(self) -> None:
        """Ring the doorbell."""
        self.rings.tail = self.next_to_use
        await self.write("TAIL", index=self.next_to_use)

    async def acknowledge(self, *, arm: bool = True) -> None:
        """Tell the device which completions were seen."""
        await self.write("CPL_TAIL", index=self.cpl_tail, arm=arm)

    async def wait(self, condition, cycles: int = 50_000) -> None:
        """Wait until a condition holds; fail if it takes too long."""
        for _ in range(cycles):
            if condition():
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"nothing happens after {cycles} cycles")

    async def until(self, name: str, **fields: int) -> None:
        """Read a register until its fields have these values."""
        for _ in range(20_000):
            value = await self.read(name)
            if all(value[field] == want for field, want in fields.items()):
                return
        raise AssertionError(f"{name} stays {value}")

"""Driver, host memory and datapath around a TX ring: what its bench stands on."""

import logging
import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiReadBus,
    AxiSlaveRead,
    AxiSlaveWrite,
    AxiWriteBus,
)

from hardwire.stack.abi import TX_CPL, TX_DESC, TXQ, TxFlags, TxStatus
from hardwire.tb.bench import seed
from hardwire.tb.hdl.tx_ring_memory import LatentMemory
from hardwire.tb.hdl.tx_ring_model import RingModel

__all__ = ["Harness"]

_FAULTS = (TxStatus.RESOLVE_MISS, TxStatus.PAYLOAD_ERROR, TxStatus.BAD_LENGTH, TxStatus.UNDERRUN)


class Rings:
    """Host memory with the two rings, the model of the bus' target: checks each access.

    Descriptors must be read once each, in order, and only while posted; completions written in order, but for
    repetitions after an error.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.write_errors = 0.0
        self._burst_failed = False
        self.configure(log2=1)

    def configure(self, *, log2: int) -> None:
        """Make empty rings somewhere."""
        self.size = 1 << log2
        align = max(4096, self.size * TX_DESC.size_octets)
        self.base = align * self.rng.randrange((1 << 64) // align)
        self.cpl_base = align * self.rng.randrange((1 << 64) // align)
        self.descriptors = bytearray(self.size * TX_DESC.size_octets)
        self.completions = bytearray(self.size * TX_CPL.size_octets)
        self.bad: dict[int, int] = {}  # Descriptors that cannot be read: octet that fails.
        self.tail = 0
        self.fetched = 0  # Octets, since the ring started.

    async def read(self, address: int, length: int) -> bytes:
        """Read the beat of a descriptor; if the bus is wider than that, the word with it."""
        at = self.fetched % len(self.descriptors)
        offset = at - (address - self.base)
        assert 0 <= offset < length, f"descriptor octet {address - self.base:#x} is out of order"
        beat = min(length, TX_DESC.size_octets)
        assert offset % beat == 0
        index = at // TX_DESC.size_octets
        assert index != self.tail, f"descriptor {index} was not posted"
        self.fetched += beat
        if at <= index * TX_DESC.size_octets + self.bad.get(index, -TX_DESC.size_octets) < at + beat:
            raise OSError("injected")
        return bytes(self.descriptors[at - offset : at - offset + length])

    async def write(self, address: int, octets: bytes) -> None:
        """Write a beat of a completion. One that fails may be written all the same, but none after it in the burst."""
        at = address - self.cpl_base
        assert 0 <= at <= len(self.completions) - len(octets)
        if at % TX_CPL.size_octets == 0:
            self._burst_failed = False
        failed = self.rng.random() < self.write_errors
        if not self._burst_failed and (not failed or self.rng.random() < 0.3):
            self.completions[at : at + len(octets)] = octets
        self._burst_failed |= failed
        if failed:
            raise OSError("injected")


class Harness:
    """A TX ring with its surroundings, and a driver's view of it."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        self.rings = Rings(self.rng)
        self.model = RingModel()
        self.frames: list[dict[str, int]] = []
        self.parts: list[tuple[int | None, int, bool, bool]] = []
        self.results: list[int] = []
        self.seen: list[tuple[int, int, int]] = []
        self.stalls = 0.5  # Odds of a stall of the datapath's streams.
        self.delay = 100  # Most cycles from a frame's last part to its result.
        self.cycle = 0
        self.irq_rises = 0
        self._due: deque[tuple[int, int]] = deque()

    async def start(self, *, latency: int | None = None) -> None:
        """Reset the device and set all models going.

        With a ``latency``, memory answers after so many cycles; without one, it takes its time at random.
        """
        dut = self.dut
        for name in ("frame_ready", "part_ready", "result_valid", "result_status", "advance_stb", "advance_cycles"):
            getattr(dut, name).value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "csr"), dut.clk, dut.rst)
        if latency is None:
            self.start_memory()
        else:
            cocotb.start_soon(LatentMemory(dut, self.rings, latency=latency).run())
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        for task in (self._watch(), self._take_frames(), self._take_parts(), self._give_results()):
            cocotb.start_soon(task)
        await RisingEdge(dut.clk)

    def start_memory(self) -> None:
        """Put host memory on the bus."""
        dut = self.dut
        self.reader = AxiSlaveRead(AxiReadBus.from_prefix(dut, "axi_read"), dut.clk, dut.rst, self.rings)
        self.writer = AxiSlaveWrite(AxiWriteBus.from_prefix(dut, "axi_write"), dut.clk, dut.rst, self.rings)
        self.writer.b_channel.queue_occupancy_limit = 16
        self.channels = (
            self.reader.ar_channel,
            self.reader.r_channel,
            self.writer.aw_channel,
            self.writer.w_channel,
            self.writer.b_channel,
        )

    def stall(self) -> None:
        """Choose new odds of stalls for every channel."""
        for channel in self.channels:
            channel.set_pause_generator(self._pauses(self.rng.choice((0.0, 0.3, 0.6, 0.9))))
        self.stalls = self.rng.choice((0.0, 0.3, 0.7))
        self.delay = self.rng.choice((0, 10, 100, 200))

    def _pauses(self, odds: float):
        rng = random.Random(self.rng.random())
        while True:
            yield rng.random() < odds

    async def write(self, name: str, **fields: int) -> None:
        """Write a register."""
        register = TXQ[name]
        answer = await self.csr.write(TXQ.address(register), register.pack(**fields).to_bytes(4, "little"))
        assert answer.resp == 0

    async def read(self, name: str) -> dict[str, int]:
        """Read a register's fields."""
        register = TXQ[name]
        answer = await self.csr.read(TXQ.address(register), 4)
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

    def put(self, desc: dict[str, int], *, bad: int | None = None) -> None:
        """Fill the next descriptor, without telling the device; the octet ``bad`` of it cannot be read."""
        at = self.next_to_use
        self.rings.descriptors[32 * at : 32 * at + 32] = TX_DESC.pack(**desc)
        self.rings.bad.pop(at, None)
        if bad is not None:
            self.rings.bad[at] = bad
        self.next_to_use = (at + 1) % self.rings.size

    async def ring(self) -> None:
        """Ring the doorbell."""
        self.rings.tail = self.next_to_use
        await self.write("TAIL", index=self.next_to_use)

    def poll(self) -> int:
        """Take all new completions; return how many."""
        taken = 0
        while True:
            at = TX_CPL.size_octets * self.cpl_tail
            completion = TX_CPL.unpack(self.rings.completions[at : at + TX_CPL.size_octets])
            if completion["phase"] != self.phase:
                return taken
            assert completion["timestamp"] == 0
            self.seen.append((completion["cookie"], completion["index"], completion["status"]))
            self.next_to_clean = (completion["index"] + 1) % self.rings.size
            self.cpl_tail = (self.cpl_tail + 1) % self.rings.size
            self.phase ^= self.cpl_tail == 0
            taken += 1

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

    async def stop(self) -> None:
        """Stop the queue in order."""
        await self.write("CTRL", enable=0)
        await self.until("STATUS", running=0)
        self.model.close(TxStatus.BAD_SEQUENCE)

    async def reset(self) -> None:
        """Reset the queue; the driver has yet to look at the completions and to configure it."""
        await self.write("CTRL", reset=1, enable=self.rng.getrandbits(1))
        await self.until("STATUS", resetting=0)
        self.model.close(TxStatus.ABORTED)

    def check(self) -> None:
        """Compare everything so far with the model. The queue must be stopped."""
        self.poll()
        assert self.frames == self.model.frames
        assert self.parts == self.model.parts
        assert len(self.seen) == len(self.model.completions)
        for seen, completion in zip(self.seen, self.model.completions, strict=True):
            assert seen in completion.values(self.results)

    async def _watch(self) -> None:
        """Tell the model of each descriptor that was decoded."""
        dut = self.dut
        aborted = irq = False
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if dut.desc_stb.value:
                index = int(dut.desc_index.value)
                desc = TX_DESC.unpack(self.rings.descriptors[32 * index : 32 * index + 32])
                self.model.feed(index, desc, error=index in self.rings.bad, aborted=aborted)
            aborted = bool(dut.abort.value)
            self.irq_rises += bool(dut.irq.value) and not irq
            irq = bool(dut.irq.value)

    async def _take_frames(self) -> None:
        dut = self.dut
        names = ("flags", "csum_start", "csum_offset", "l3_start", "next_hop")
        while True:
            await RisingEdge(dut.clk)
            if dut.frame_valid.value and dut.frame_ready.value:
                self.frames.append({name: int(getattr(dut, f"frame_{name}").value) for name in names})
            dut.frame_ready.value = self.rng.random() >= self.stalls

    async def _take_parts(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.part_valid.value and dut.part_ready.value:
                last, drop = bool(dut.part_last.value), bool(dut.part_drop.value)
                address = None if drop else int(dut.part_addr.value)
                self.parts.append((address, int(dut.part_length.value), last, drop))
                if last:
                    status = TxStatus.OK if self.rng.random() < 0.7 else self.rng.choice(_FAULTS)
                    if dut.abort.value and self.rng.random() < 0.8:
                        status = TxStatus.ABORTED
                    status = TxStatus.PAYLOAD_ERROR if drop and self.rng.random() < 0.8 else status
                    self._due.append((self.cycle + self.rng.randint(0, self.delay), status))
            dut.part_ready.value = self.rng.random() >= self.stalls

    async def _give_results(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.result_valid.value and dut.result_ready.value:
                self.results.append(int(dut.result_status.value))
                dut.result_valid.value = 0
            elif dut.result_valid.value:
                continue
            if self._due and self._due[0][0] <= self.cycle:
                dut.result_status.value = int(self._due.popleft()[1])
                dut.result_valid.value = 1

    def random_descriptor(self, flags: TxFlags) -> dict[str, int]:
        """Return a descriptor with these flags and anything else."""
        desc = {member.name: self.rng.getrandbits(member.width) for member in TX_DESC.members}
        return desc | {"flags": int(flags)}

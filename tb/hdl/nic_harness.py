"""Host, bus and PHY around the whole NIC: what its bench stands on."""

import logging
import random
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiSlaveWrite, AxiWriteBus

from hardwire.stack.abi import ARP, GLOBAL, TX_CPL, TX_DESC, TXQ, ArpOp, TxFlags, TxStatus
from hardwire.tb.bench import seed
from hardwire.tb.hdl.nic_frames import FrameToSend
from hardwire.tb.hdl.read_memory import ReadMemory, pauses

__all__ = ["Harness", "OnWire"]

_BASE = 0x1_0000_0000
_SIZE = 1 << 21
_RING, _CPL_RING, _BUFFERS = 0, 1 << 19, 1 << 20


@dataclass(frozen=True)
class OnWire:
    """A frame on GMII, preamble to FCS, and the numbers of its first cycle and of the one after its last."""

    octets: bytes
    errors: bool
    start: int
    end: int


class Harness:
    """The NIC with its surroundings, and a little driver."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        self.octets = bytearray(_SIZE)
        self.bad: set[int] = set()  # Addresses that cannot be read.
        self.write_errors = 0.0
        self.write_failures = 0
        self.neighbours: dict[int, bytes] = {}
        self.cycle = 0
        self.wire: list[OnWire] = []
        self.completions: list[dict[str, int]] = []
        self.doorbell_cycle = 0
        self._buffer = _BUFFERS

    async def start(self, *, log2: int = 6) -> None:
        """Reset the device, set all models going and set the queue up."""
        dut = self.dut
        dut.advance_stb.value = 0
        dut.advance_cycles.value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.memory = ReadMemory(dut, "m_axi", self.read, self.rng)
        self.writer = AxiSlaveWrite(AxiWriteBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, self)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())
        await RisingEdge(dut.clk)
        await self.configure(log2=log2)

    def stall(self, *odds: float) -> None:
        """Choose new odds of stalls for every channel, out of these if any are given."""
        csr, writer = self.csr, self.writer
        channels = (
            *self.memory.channels,
            *(writer.aw_channel, writer.w_channel, writer.b_channel),
            *(csr.write_if.aw_channel, csr.write_if.w_channel, csr.write_if.b_channel),
            *(csr.read_if.ar_channel, csr.read_if.r_channel),
        )
        for channel in channels:
            chosen = self.rng.choice(odds or (0.0, 0.3, 0.7))
            if chosen:
                channel.set_pause_generator(pauses(random.Random(self.rng.random()), chosen))
            else:  # Takes less time than one that never stalls.
                channel.clear_pause_generator()
                channel.pause = False

    def read(self, address: int, length: int) -> bytes:
        """Read host memory, for the bus model."""
        at = address - _BASE
        assert 0 <= at <= _SIZE - length, f"read of {address:#x}"
        if any(at <= bad < at + length for bad in self.bad):
            raise OSError("injected")
        return bytes(self.octets[at : at + length])

    async def write(self, address: int, octets: bytes) -> None:
        """Write into host memory, for the bus model."""
        at = address - _BASE
        assert _CPL_RING <= at < _BUFFERS, f"write of {address:#x}"
        if self.rng.random() < self.write_errors:
            self.write_failures += 1
            raise OSError("injected")
        self.octets[at : at + len(octets)] = octets

    async def _watch(self) -> None:
        """Count cycles and record GMII."""
        dut, octets, errors, start = self.dut, bytearray(), False, 0
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if dut.gmii_tx_en.value:
                start = start or self.cycle
                octets.append(int(dut.gmii_txd.value))
                errors |= bool(dut.gmii_tx_er.value)
            elif octets:
                self.wire.append(OnWire(bytes(octets), errors, start, self.cycle))
                octets, errors, start = bytearray(), False, 0

    # Registers.

    async def set(self, block, name: str, **fields: int) -> None:
        """Write a register."""
        answer = await self.csr.write(block.address(block[name]), block[name].pack(**fields).to_bytes(4, "little"))
        assert answer.resp == 0

    async def get(self, block, name: str) -> dict[str, int]:
        """Read a register's fields."""
        answer = await self.csr.read(block.address(block[name]), 4)
        assert answer.resp == 0
        return block[name].unpack(int.from_bytes(answer.data, "little"))

    async def configure(self, *, log2: int) -> None:
        """Set up empty rings and enable the queue."""
        self.size = 1 << log2
        self.next_to_use = self.cpl_next = 0
        self.phase = 1
        cpl_octets = self.size * TX_CPL.size_octets
        self.octets[_CPL_RING : _CPL_RING + cpl_octets] = bytes(cpl_octets)
        for name, place in (("BASE", _RING), ("CPL_BASE", _CPL_RING)):
            await self.set(TXQ, f"{name}_LO", value=(_BASE + place) & 0xFFFFFFFF)
            await self.set(TXQ, f"{name}_HI", value=(_BASE + place) >> 32)
        await self.set(TXQ, "SIZE", log2=log2)
        await self.set(TXQ, "IRQ_COUNT", completions=1)
        await self.set(TXQ, "CPL_TAIL", index=0, arm=1)
        await self.set(TXQ, "CTRL", enable=1)

    async def arp(self, op: ArpOp, *, key: int = 0, mac: bytes = bytes(6), index: int = 0) -> dict[str, int]:
        """Carry out an operation on the ARP cache; return its status."""
        await self.set(ARP, "KEY", value=key)
        await self.set(ARP, "MAC_LO", value=int.from_bytes(mac[2:], "big"))
        await self.set(ARP, "MAC_HI", value=int.from_bytes(mac[:2], "big"))
        await self.set(ARP, "INDEX", value=index)
        await self.set(ARP, "OP", op=op)
        while (status := await self.get(ARP, "STATUS"))["busy"]:
            pass
        return status

    async def insert_neighbours(self, count: int) -> None:
        """Fill in random neighbours."""
        for _ in range(count):
            key, mac = self.rng.getrandbits(31), self.rng.randbytes(6)
            status = await self.arp(ArpOp.INSERT, key=key, mac=mac)
            assert not status["evicted"]
            self.neighbours[key] = mac

    # Frames.

    def put(self, frame: FrameToSend, *, parts: int = 1, align: int | None = None) -> list[int]:
        """Place a frame in memory and fill in its descriptors; return the addresses of its octets."""
        rng, octets = self.rng, frame.octets
        cuts = sorted(rng.sample(range(1, len(octets)), min(parts, len(octets)) - 1))
        addresses = []
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(octets)], strict=True)):
            if self._buffer > _SIZE - 2 * len(octets):
                self._buffer = _BUFFERS
            at = self._buffer + (rng.randrange(300) if align is None else -self._buffer % 256 + align)
            self._buffer = at + end - start
            self.octets[at : at + end - start] = octets[start:end]
            addresses += range(at, at + end - start)
            flags = TxFlags(0)
            if number == 0:
                flags |= TxFlags.FIRST | frame.fields.get("flags", 0)
            if end == len(octets):
                flags |= TxFlags.LAST
            fields = {**frame.fields, "flags": flags, "addr": _BASE + at, "length": end - start}
            cookie = rng.getrandbits(32)
            slot = _RING + TX_DESC.size_octets * self.next_to_use
            self.octets[slot : slot + TX_DESC.size_octets] = TX_DESC.pack(**fields, cookie=cookie)
            self.next_to_use = (self.next_to_use + 1) % self.size
        return addresses

    async def ring(self) -> None:
        """Ring the doorbell."""
        self.doorbell_cycle = self.cycle
        await self.set(TXQ, "TAIL", index=self.next_to_use)

    def poll(self) -> None:
        """Take all new completions."""
        while True:
            at = _CPL_RING + TX_CPL.size_octets * self.cpl_next
            completion = TX_CPL.unpack(bytes(self.octets[at : at + TX_CPL.size_octets]))
            if completion["phase"] != self.phase:
                return
            self.completions.append(completion)
            self.cpl_next = (self.cpl_next + 1) % self.size
            self.phase ^= self.cpl_next == 0

    async def complete(self, count: int, *, cycles: int = 100_000) -> list[TxStatus]:
        """Wait for so many completions and for silence; return all statuses so far."""
        deadline = self.cycle + cycles
        while len(self.completions) < count or not self.dut.idle.value:
            assert self.cycle < deadline, f"{len(self.completions)} of {count} completions, then nothing"
            await ClockCycles(self.dut.clk, 20)
            self.poll()
        assert len(self.completions) == count
        return [TxStatus(completion["status"]) for completion in self.completions]

    async def settle(self) -> None:
        """Wait until the device is idle: after a reset it empties the ARP cache and the table of VLANs."""
        await ClockCycles(self.dut.clk, 40)
        for _ in range(500):
            if self.dut.idle.value:
                return
            await ClockCycles(self.dut.clk, 10)
        raise AssertionError("the device does not come to rest")

    async def acknowledge(self) -> None:
        """Tell the device which completions were seen."""
        await self.set(TXQ, "CPL_TAIL", index=self.cpl_next, arm=1)

    async def soft_reset(self) -> None:
        """Reset the device and wait for the end of it."""
        await self.set(GLOBAL, "CTRL", soft_reset=1)
        while (await self.get(GLOBAL, "STATUS"))["resetting"]:
            pass

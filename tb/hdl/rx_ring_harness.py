"""Driver, host memory and datapath around an RX ring: what its bench stands on."""

from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiReadBus, AxiSlaveRead

from hardwire.stack.abi import RX_ALIGN_OCTETS, RX_CPL, RX_DESC, RX_PAD_OCTETS, RXQ
from hardwire.tb.hdl.packet_source import PacketSource
from hardwire.tb.hdl.ring_harness import RingHarness
from hardwire.tb.hdl.rx_ring_model import Buffer, Frame, RxRingModel
from hardwire.tb.hdl.tx_ring_memory import LatentMemory
from hardwire.tb.hdl.write_memory import WriteMemory

__all__ = ["Harness"]

_SETTLED = 12  # Cycles after which the ring knows of a register write.
_STROBES = ("delivered", "no_buffer", "disabled", "bus_error", "refused")


class _Memory:
    """What the models of the bus read and write."""

    def __init__(self, harness: "Harness") -> None:
        self.read, self.write = harness.give, harness.take


class Harness(RingHarness):
    """An RX ring with its surroundings, and a driver's view of it."""

    def __init__(self, dut) -> None:
        super().__init__(dut, RXQ, desc=RX_DESC, cpl=RX_CPL)
        self.wild = False  # Reads give anything, and writes may go anywhere.
        self.faults = 0.0  # Odds that a descriptor is no good, or its buffer refuses writes.
        self.stalls = 0.0
        self.gap = 0  # Most cycles between two frames.
        self.queue: deque[Frame] = deque()
        self.offering = False  # A frame of the queue, or one that was there.
        self.enabled_since: int | None = None
        self.forget()

    def forget(self) -> None:
        """Start to count and to compare anew."""
        self.wild = False
        self.model = RxRingModel()
        self.taken = 0  # Frames that were not dropped.
        self.strobes = dict.fromkeys(_STROBES, 0)
        self.dropped = dict.fromkeys(_STROBES, 0)
        self.flags: list[int] = []
        self._restart()

    def _restart(self) -> None:
        """Forget the rings' content."""
        self.buffers: list[Buffer] = []  # All that were posted since the ring started.
        self.blocks: dict[int, Buffer] = {}
        self.used = 0
        self.used_after = {self.taken: 0}
        self.posted = [(0, 0)]
        self.no_buffer: list[tuple[int, int | None]] = []  # Cycle; frames taken before, or None in the middle of one.
        self.model.no_buffer_used.clear()
        self.started_bursts = self.answered_bursts = 0
        self.completions: list[int] = []  # Bursts that were answered when each was first written.
        self.sending: dict[int, int] = {}  # The same, by address, of those that are not in memory for sure.

    async def start(self, *, latency: int | None = None) -> None:
        """Reset the device and set all models going; see the TX ring's harness."""
        dut = self.dut
        for name in ("frame_valid", "advance_stb", "advance_cycles"):
            getattr(dut, name).value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "csr"), dut.clk, dut.rst)
        self.source = PacketSource(dut)
        if latency is None:
            self.reader = AxiSlaveRead(AxiReadBus.from_prefix(dut, "axi_read"), dut.clk, dut.rst, _Memory(self))
            self.writer = WriteMemory(dut, "axi_write", self.take, self.rng)
            self.channels = (self.reader.ar_channel, self.reader.r_channel, *self.writer.channels)
        else:
            cocotb.start_soon(LatentMemory(dut, _Memory(self), latency=latency).run())
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())
        cocotb.start_soon(self._send())
        await RisingEdge(dut.clk)

    def stall(self) -> None:
        """Choose new odds of stalls for every channel."""
        for channel in self.channels:
            channel.set_pause_generator(self._pauses(self.rng.choice((0.0, 0.3, 0.6, 0.9))))
        self.stalls = self.rng.choice((0.0, 0.1, 0.5))
        self.gap = self.rng.choice((0, 20, 200))

    async def give(self, address: int, length: int) -> bytes:
        """Give a descriptor."""
        if not self.wild:
            return await self.rings.read(address, length)
        good = RX_DESC.pack(addr=self.rng.getrandbits(58) << 6, length=self.rng.randint(1, 4) << 6)
        octets = good if self.rng.random() < 0.9 else self.rng.randbytes(len(good))
        lane = address % len(octets)
        return (octets * (2 + length // len(octets)))[lane : lane + length]

    async def take(self, address: int, octets: bytes) -> None:
        """Take octets of a frame, or of a completion."""
        if self.wild:
            return
        if 0 <= address - self.rings.cpl_base < len(self.rings.completions):
            await self.rings.write(address, octets)
            return
        buffer = self.blocks.get(address // RX_ALIGN_OCTETS)
        assert buffer is not None, f"{len(octets)} octets are written to {address:#x}, where no buffer is"
        for number, octet in enumerate(octets):
            place = address + number - buffer.addr
            assert place not in buffer.octets, "written twice"
            buffer.octets[place] = octet
        if buffer.refuses:
            raise OSError("injected")

    def random_buffer(self, *, most: int) -> Buffer:
        """Return a buffer anywhere, of up to so many times the alignment."""
        rng = self.rng
        length = RX_ALIGN_OCTETS * rng.randint(1, most)
        while True:
            addr = rng.getrandbits(64) | rng.choice((0, 0, 0xFFF, (1 << 30) - 1, (1 << 48) - 1)) << 12
            near = addr - addr % 4096 - RX_ALIGN_OCTETS * rng.randint(0, length // RX_ALIGN_OCTETS)
            addr = rng.choice((addr - addr % RX_ALIGN_OCTETS, max(near, 0)))
            first, count = addr // RX_ALIGN_OCTETS, length // RX_ALIGN_OCTETS
            if addr + length <= 1 << 64 and not any(n in self.blocks for n in range(first, first + count)):
                break
        buffer = Buffer(addr, length, rng.getrandbits(32))
        if rng.random() < self.faults:
            kind = rng.randrange(4)
            if kind == 0:
                buffer.addr += rng.randint(1, RX_ALIGN_OCTETS - 1)
            elif kind == 1:
                buffer.length = rng.choice((0, length + rng.randint(1, 63), rng.randint(1, 63)))
            elif kind == 2:
                buffer.unreadable = True
            else:
                buffer.refuses = True
        return buffer

    def put(self, buffer: Buffer) -> None:
        """Fill the next descriptor, without telling the device."""
        at = self.next_to_use
        octets = RX_DESC.pack(addr=buffer.addr, length=buffer.length, cookie=buffer.cookie)
        self.rings.descriptors[16 * at : 16 * at + 16] = octets
        self.rings.bad.pop(at, None)
        if buffer.unreadable:
            self.rings.bad[at] = self.rng.randrange(16)
        if not buffer.bad:
            first = buffer.addr // RX_ALIGN_OCTETS
            self.blocks |= dict.fromkeys(range(first, first + buffer.length // RX_ALIGN_OCTETS), buffer)
        self.buffers.append(buffer)
        self.next_to_use = (at + 1) % self.rings.size

    async def ring(self) -> None:
        """Ring the doorbell."""
        await super().ring()
        self.posted.append((self.cycle, len(self.buffers)))

    @property
    def all_sent(self) -> bool:
        """Each frame was taken or dropped."""
        return not self.queue and not self.offering

    def frame(self, octets: int) -> Frame:
        """Return a frame of anything."""
        rng = self.rng
        return Frame(rng.randbytes(octets), rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(5))

    def _completion_address(self, number: int) -> int:
        return self.rings.cpl_base + number % self.rings.size * RX_CPL.size_octets

    def poll(self) -> int:
        """Take all new completions, checking each; return how many."""
        taken = 0
        while True:
            at = RX_CPL.size_octets * self.cpl_tail
            completion = RX_CPL.unpack(self.rings.completions[at : at + RX_CPL.size_octets])
            if completion["phase"] != self.phase:
                return taken
            count = (completion["index"] - self.next_to_clean) % self.rings.size + 1
            assert self.used + count <= len(self.buffers), "covers a descriptor that was not posted"
            covered = self.buffers[self.used : self.used + count]
            self.used += count
            waiting = len(self.model.frames)
            self.model.complete(completion, covered, self.used)
            self.used_after[self.taken - len(self.model.frames)] = self.used
            assert waiting - len(self.model.frames) in (0, 1)
            number = self.completed
            known = number < len(self.completions)  # If not, it is in memory, but that was not answered yet.
            answered = self.completions[number] if known else self.sending[self._completion_address(number)]
            for buffer in covered:
                assert all(burst < answered for burst in buffer.bursts), "completed before it is there"
                if not buffer.bad:
                    first = buffer.addr // RX_ALIGN_OCTETS
                    for block in range(first, first + buffer.length // RX_ALIGN_OCTETS):
                        del self.blocks[block]
            self.completed += 1
            self.next_to_clean = (completion["index"] + 1) % self.rings.size
            self.cpl_tail = (self.cpl_tail + 1) % self.rings.size
            self.phase ^= self.cpl_tail == 0
            taken += 1

    async def configure(self, **settings: int) -> None:
        """Set up empty rings and enable the queue."""
        self._restart()
        self.completed = 0
        await super().configure(**settings)
        self.enabled_since = self.cycle

    async def enable(self) -> None:
        """Go on after a stop."""
        await self.write("CTRL", enable=1)
        self.enabled_since = self.cycle

    async def stop(self) -> None:
        """Stop the queue after the frame under way."""
        self.enabled_since = None
        await self.write("CTRL", enable=0)
        await self.until("STATUS", running=0)

    async def reset(self) -> None:
        """Reset the queue; the driver has yet to look at the completions and to configure it."""
        self.enabled_since = None
        await self.write("CTRL", reset=1, enable=self.rng.getrandbits(1))
        await self.until("STATUS", resetting=0)

    def check(self) -> None:
        """Compare everything so far with the model. The queue must be stopped."""
        self.poll()
        assert not self.model.frames, "a frame was not completed"
        assert len(self.completions) == self.completed
        assert self.flags == self.model.flags
        want = {name: self.model.counts[name] + self.dropped[name] for name in _STROBES}
        assert self.strobes == want
        middle = iter(self.model.no_buffer_used)
        for cycle, taken in self.no_buffer:
            used = next(middle) if taken is None else self.used_after[taken]
            while taken is not None and used < len(self.buffers) and self.buffers[used].bad:
                used += 1
            posted = max(count for at, count in self.posted if at == 0 or at < cycle - _SETTLED)
            assert posted <= used, "dropped though there was a buffer"

    async def _watch(self) -> None:
        """Follow strobes and bursts, cycle by cycle."""
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            seen = [name for name in _STROBES if getattr(dut, name).value]
            for name in seen:
                self.strobes[name] += 1
            if dut.cpl_stb.value and not self.wild:
                self.completions.append(self.sending.pop(self._completion_address(len(self.completions))))
            if "delivered" in seen:
                self.flags.append(int(dut.delivered_flags.value))
            if "no_buffer" in seen and not dut.frame_ready.value:
                self.no_buffer.append((self.cycle, None))
            if dut.axi_write_bvalid.value and dut.axi_write_bready.value:
                self.answered_bursts += not int(dut.axi_write_bid.value) & 2
            if dut.axi_write_awvalid.value and dut.axi_write_awready.value:
                address = int(dut.axi_write_awaddr.value)
                if int(dut.axi_write_awid.value) & 2:
                    self.sending.setdefault(address, self.answered_bursts)  # Unless it is a repetition.
                elif not self.wild:
                    self.blocks[address // RX_ALIGN_OCTETS].bursts.append(self.started_bursts)
                    self.started_bursts += 1

    async def _send(self) -> None:
        """Offer the frames of the queue."""
        dut, rng = self.dut, self.rng
        while True:
            self.offering = bool(self.queue)
            if not self.offering:
                await RisingEdge(dut.clk)
                continue
            frame = self.queue.popleft()
            dut.frame_length.value = len(frame.octets)
            dut.frame_csum.value, dut.frame_tci.value, dut.frame_flags.value = frame.csum, frame.vlan_tci, frame.flags
            dut.frame_valid.value = 1
            await RisingEdge(dut.clk)
            while not dut.frame_ready.value:
                await RisingEdge(dut.clk)
            dut.frame_valid.value = 0
            if dut.drop.value:
                assert bool(dut.no_buffer.value) != bool(dut.disabled.value)
                if dut.no_buffer.value:
                    self.dropped["no_buffer"] += 1
                    self.no_buffer.append((self.cycle, self.taken))
                else:
                    self.dropped["disabled"] += 1
                    assert self.enabled_since is None or self.cycle - self.enabled_since < _SETTLED
            else:
                self.taken += 1
                self.model.frames.append(frame)
                self.source.send(
                    rng.randbytes(RX_PAD_OCTETS) + frame.octets, stalls=lambda beat: rng.random() < self.stalls
                )
            await ClockCycles(dut.clk, rng.randint(0, self.gap) + 1) if self.gap else None

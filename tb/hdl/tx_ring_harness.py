"""Driver, host memory and datapath around a TX ring: what its bench stands on."""

from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiReadBus, AxiSlaveRead, AxiSlaveWrite, AxiWriteBus

from hardwire.stack.abi import TX_CPL, TX_DESC, TXQ, TxFlags, TxStatus
from hardwire.tb.hdl.ring_harness import RingHarness
from hardwire.tb.hdl.tx_ring_memory import LatentMemory
from hardwire.tb.hdl.tx_ring_model import RingModel

__all__ = ["Harness"]

_FAULTS = (TxStatus.RESOLVE_MISS, TxStatus.PAYLOAD_ERROR, TxStatus.BAD_LENGTH)


class Harness(RingHarness):
    """A TX ring with its surroundings, and a driver's view of it."""

    def __init__(self, dut) -> None:
        super().__init__(dut, TXQ, desc=TX_DESC, cpl=TX_CPL)
        self.model = RingModel()
        self.frames: list[dict[str, int]] = []
        self.parts: list[tuple[int | None, int, bool, bool]] = []
        self.results: list[int] = []
        self.seen: list[tuple[int, int, int]] = []
        self.stalls = 0.5  # Odds of a stall of the datapath's streams.
        self.delay = 100  # Most cycles from a frame's last part to its result.
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

    def put(self, desc: dict[str, int], *, bad: int | None = None) -> None:
        """Fill the next descriptor, without telling the device; the octet ``bad`` of it cannot be read."""
        at = self.next_to_use
        self.rings.descriptors[32 * at : 32 * at + 32] = TX_DESC.pack(**desc)
        self.rings.bad.pop(at, None)
        if bad is not None:
            self.rings.bad[at] = bad
        self.next_to_use = (at + 1) % self.rings.size

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
        names = ("flags", "csum_start", "csum_offset", "l3_start", "next_hop", "vlan_tci")
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

"""The transmit path under Verilator: random frames, good and bad, with stalls on every handshake."""

import logging
import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.stack.abi import TxFlags, TxStatus
from hardwire.tb.bench import seed
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.nic_frames import FrameToSend, random_frame
from hardwire.tb.hdl.packet_sink import PacketSink
from hardwire.tb.hdl.packet_source import PacketSource

COMMAND = ("flags", "csum_start", "csum_offset", "l3_start", "next_hop", "vlan_tci")


class Harness:
    """A transmit path with its ring, ARP cache and MAC."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        self.neighbours = {self.rng.getrandbits(31): self.rng.randbytes(6) for _ in range(8)}
        self.stalls = 0.0
        self.commands: deque[FrameToSend] = deque()
        self.statuses: list[int] = []
        self.tags: list[int | None] = []

    async def start(self) -> None:
        """Reset the device and set all models going."""
        dut = self.dut
        for name in ("frame_valid", "lookup_ready", "found_valid", "result_ready", "abort", "tag_ready"):
            getattr(dut, name).value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.source = PacketSource(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        self.sink = PacketSink(dut, self.rng)
        for task in (self._give_commands(), self._answer_lookups(), self._take_tags(), self._take_results()):
            cocotb.start_soon(task)
        await RisingEdge(dut.clk)

    def send(self, frame: FrameToSend, *, error: bool = False) -> None:
        """Queue a frame's command and octets."""
        self.commands.append(frame)
        self.source.send(frame.octets, error=error, stalls=lambda beat: self._wait(3))

    def _wait(self, most: int) -> int:
        return self.rng.randint(1, most) if self.rng.random() < self.stalls else 0

    async def _handshake(self, valid, ready) -> None:
        valid.value = 1
        await RisingEdge(self.dut.clk)
        while not ready.value:
            await RisingEdge(self.dut.clk)
        valid.value = 0

    async def _give_commands(self) -> None:
        dut = self.dut
        while True:
            if not self.commands:
                await RisingEdge(dut.clk)
                continue
            frame = self.commands.popleft()
            for name in COMMAND:
                getattr(dut, f"frame_{name}").value = int(frame.fields.get(name, 0))
            await self._handshake(dut.frame_valid, dut.frame_ready)
            for _ in range(self._wait(40)):
                await RisingEdge(dut.clk)

    async def _answer_lookups(self) -> None:
        dut = self.dut
        while True:
            for _ in range(self._wait(10)):
                await RisingEdge(dut.clk)
            dut.lookup_ready.value = 1
            await RisingEdge(dut.clk)
            while not dut.lookup_valid.value:
                await RisingEdge(dut.clk)
            dut.lookup_ready.value = 0
            mac = self.neighbours.get(int(dut.lookup.value))
            for _ in range(self._wait(30)):
                await RisingEdge(dut.clk)
            dut.found_hit.value = mac is not None
            dut.found_mac.value = int.from_bytes(mac or self.rng.randbytes(6), "big")
            await self._handshake(dut.found_valid, dut.found_ready)

    async def _take_tags(self) -> None:
        """Take each frame's tag after the frame, as late as may be."""
        dut, taken = self.dut, 0
        while True:
            await RisingEdge(dut.clk)
            if dut.tag_ready.value:
                assert dut.tag_valid.value
                self.tags.append(int(dut.tag_tci.value) if dut.tag_present.value else None)
            ended = len(self.sink.frames)
            take = taken < ended and (taken < ended - 1 or self.rng.random() < 0.1)
            dut.tag_ready.value = take
            taken += take

    async def _take_results(self) -> None:
        dut = self.dut
        while True:
            for _ in range(self._wait(100)):
                await RisingEdge(dut.clk)
            dut.result_ready.value = 1
            await RisingEdge(dut.clk)
            while not dut.result_valid.value:
                await RisingEdge(dut.clk)
            dut.result_ready.value = 0
            self.statuses.append(TxStatus(int(dut.result_status.value)))
            assert self.statuses.count(TxStatus.OK) <= self.sink.begun, "OK before the frame goes out"

    async def receive(self, count: int) -> list[int]:
        """Wait for so many results, and until the path is idle."""
        for _ in range(100_000):
            if len(self.statuses) >= count and self.dut.idle.value:
                break
            await RisingEdge(self.dut.clk)
        assert len(self.statuses) == count
        return self.statuses


@bench_test
async def random_frames_leave_in_order_and_each_has_its_status(dut):
    harness = Harness(dut)
    await harness.start()
    rng = harness.rng
    wire, tags, statuses = [], [], []
    for _ in range(5):
        harness.stalls = rng.choice((0.0, 0.1, 0.5))
        harness.sink.stalls = rng.choice((0.0, 0.3, 0.8))
        for _ in range(40):
            frame = random_frame(rng, neighbours=harness.neighbours)
            error = rng.random() < 0.1
            if error and frame.status is not TxStatus.BAD_LENGTH:
                frame.status = TxStatus.PAYLOAD_ERROR
            if frame.status is TxStatus.OK:
                wire.append(frame.wire)
                tags.append(frame.tci)
            statuses.append(frame.status)
            harness.send(frame, error=error)
        assert await harness.receive(len(statuses)) == statuses
    assert [frame.octets for frame in harness.sink.frames] == wire
    await ClockCycles(dut.clk, 100)
    assert harness.tags == tags
    assert not dut.tag_valid.value
    assert not any(frame.error for frame in harness.sink.frames)


@bench_test
async def limits_of_a_frames_length_are_exact(dut):
    harness = Harness(dut)
    await harness.start()
    lengths = (13, 14, 15, 1, 9013, 9014, 9015, 9017, 9018, 9019, 14, 20_000, 14)
    for length in lengths:
        octets = harness.rng.randbytes(length)
        harness.send(FrameToSend(octets, octets, {"vlan_tci": 0x1234}))
        harness.send(FrameToSend(octets, octets, {"flags": TxFlags.VLAN, "vlan_tci": 0x1234}))
    lengths = [length for length in lengths for _ in range(2)]
    good = [14 <= length <= 9018 - number % 2 * 4 for number, length in enumerate(lengths)]
    expected = [TxStatus.OK if ok else TxStatus.BAD_LENGTH for ok in good]
    assert await harness.receive(len(lengths)) == expected
    assert [len(frame.octets) for frame in harness.sink.frames] == [
        n for n, ok in zip(lengths, good, strict=True) if ok
    ]


@bench_test
async def an_empty_frame_has_a_bad_length(dut):
    harness = Harness(dut)
    await harness.start()
    harness.send(FrameToSend(b"", b""), error=True)
    octets = harness.rng.randbytes(60)
    harness.send(FrameToSend(octets, octets))
    assert await harness.receive(2) == [TxStatus.BAD_LENGTH, TxStatus.OK]


@bench_test
async def abort_drops_what_comes_and_nothing_that_went(dut):
    harness = Harness(dut)
    await harness.start()
    rng = harness.rng
    for number in range(60):
        fields = {"flags": TxFlags.RESOLVE, "next_hop": rng.choice(list(harness.neighbours))} if number % 2 else {}
        octets = rng.randbytes(rng.randint(14, 200))
        harness.send(FrameToSend(octets, octets, fields))
    await ClockCycles(dut.clk, rng.randint(60, 300))
    dut.abort.value = 1
    statuses = await harness.receive(60)
    dut.abort.value = 0
    assert statuses == sorted(statuses)
    assert set(statuses) == {TxStatus.OK, TxStatus.ABORTED}
    assert len(harness.sink.frames) == statuses.count(TxStatus.OK)
    octets = rng.randbytes(60)
    harness.send(FrameToSend(octets, octets))
    assert (await harness.receive(61))[-1] == TxStatus.OK


@bench_test
async def minimum_frames_follow_each_other_after_one_cycle(dut):
    harness = Harness(dut)
    await harness.start()
    for _ in range(12):
        octets = harness.rng.randbytes(60)
        harness.send(FrameToSend(octets, octets, {"flags": TxFlags.CSUM_PARTIAL, "csum_start": 34, "csum_offset": 6}))
    await harness.receive(12)
    frames = harness.sink.frames
    beats = -(-60 // len(dut.o_keep))
    assert frames[-1].first_cycle - frames[3].first_cycle == 8 * (beats + 1)

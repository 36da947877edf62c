"""The DMA that writes frames under Verilator: random parts, errors, stalls; and its speed."""

import logging
import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import SOAK, bench_test
from hardwire.tb.hdl.packet_source import PacketSource
from hardwire.tb.hdl.write_memory import WriteMemory

PAGE = 4096
ALIGN = 64


class Harness:
    """A DMA with memory, requests and a source of frames. Frame ``n`` has all its parts in memory area ``n``."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        self.pad = parameters().get("pad_octets", 0)
        self.burst = parameters().get("burst_octets", 256)
        self.octets: dict[int, int] = {}
        self.bad: set[int] = set()  # Blocks that cannot be written.
        self.expected: dict[int, int] = {}
        self.errors: list[bool] = []
        self.blocks: list[list[int]] = []  # Where each frame's octets go.
        self.done: list[bool] = []
        self.done_cycles: list[int] = []
        self.parts: deque[tuple[int, int, bool]] = deque()
        # Half-way through, the number of the page has a carry over so many bits.
        self.next_page = (self.rng.randrange(1 << 44) | (1 << self.rng.choice((1, 18, 36))) - 1) - 7
        self.stalls = 0.0
        self.done_stalls = 0.0
        self.cycle = 0

    async def start(self) -> None:
        """Reset the device and set all models going."""
        dut = self.dut
        dut.request_valid.value = dut.done_ready.value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.memory = WriteMemory(dut, "axi", self._write, self.rng)
        self.source = PacketSource(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        cocotb.start_soon(self._request())
        cocotb.start_soon(self._finish())
        await RisingEdge(dut.clk)

    async def _write(self, address: int, octets: bytes) -> None:
        for number, octet in enumerate(octets):
            assert address + number not in self.octets, "written twice"
            self.octets[address + number] = octet
        if address // ALIGN in self.bad:
            raise OSError("injected")

    async def _request(self) -> None:
        dut = self.dut
        while True:
            if not self.parts or self.rng.random() < self.stalls:
                await RisingEdge(dut.clk)
                continue
            address, length, last = self.parts.popleft()
            dut.request_addr.value, dut.request_last.value = address, last
            dut.request_length.value, dut.request_empty.value = max(length - last, 0), length == 0
            dut.request_valid.value = 1
            await RisingEdge(dut.clk)
            while not dut.request_ready.value:
                await RisingEdge(dut.clk)
            dut.request_valid.value = 0

    async def _finish(self) -> None:
        dut = self.dut
        ready = False
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if dut.done_valid.value and ready:
                self.done.append(bool(dut.done_error.value))
                self.done_cycles.append(self.cycle)
                if not any(self.errors[: len(self.done)]):
                    frame = self.blocks[len(self.done) - 1]
                    assert all(at in self.octets for at in frame), "done before it was written"
            ready = self.rng.random() >= self.done_stalls
            dut.done_ready.value = ready

    def send(self, frame: bytes, lengths: list[int], *, bad: bool = False, stalls: float = 0.0) -> None:
        """Send a frame to parts of these lengths; the last one takes what it can."""
        at, used, written = 0, [], []
        for number, length in enumerate(lengths):
            address = PAGE * self.next_page + ALIGN * self.rng.randrange(PAGE // ALIGN)
            address &= (1 << 64) - 1
            self.next_page += 2 + length // PAGE
            self.parts.append((address, length, number == len(lengths) - 1))
            for octet in range(at, at + length):
                if octet >= self.pad:
                    self.expected[address + octet - at] = frame[octet]
                    written.append(address + octet - at)
            used += range(address // ALIGN, (address + length + ALIGN - 1) // ALIGN)
            at += length
        if bad and used:
            self.bad.add(self.rng.choice(used))
        self.errors.append(bool(bad and used))
        self.blocks.append(written)
        rng = random.Random(self.rng.random())
        self.source.send(frame, stalls=lambda beat: rng.randint(1, 4) if rng.random() < stalls else 0)

    def random_frame(self) -> tuple[bytes, list[int]]:
        """Return a frame and how it is divided."""
        rng = self.rng
        frame = rng.randbytes(rng.choice((rng.randint(16, 80), rng.randint(16, 400), rng.randint(1, 32) * 64)))
        if rng.random() < 0.05:
            frame = rng.randbytes(rng.randint(4000, 9000))
        lengths, left = [], len(frame)
        while left:
            length = ALIGN * rng.choice((1, 2, rng.randint(1, 6), 200))
            if rng.random() < 0.1:  # What is left is swallowed.
                lengths.append(rng.choice((0, length if length < left else left)))
                break
            lengths.append(min(length, left))
            left -= lengths[-1]
        return frame, lengths

    async def finish(self) -> None:
        """Wait until all frames are done, and compare."""
        for _ in range(400_000):
            if len(self.done) >= len(self.errors) and self.dut.idle.value:
                break
            await RisingEdge(self.dut.clk)
        assert self.done == self.errors
        assert self.octets == self.expected


async def started(dut) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start()
    return harness


@bench_test
async def frames_are_written_whole_and_nothing_else_is(dut):
    harness = await started(dut)
    rng = harness.rng
    for _ in range(60 if SOAK else 6):
        harness.memory.stall()
        harness.stalls, harness.done_stalls = rng.choice((0.0, 0.5)), rng.choice((0.0, 0.9))
        errors, stalls = rng.choice((0.0, 0.2)), rng.choice((0.0, 0.3))
        for _ in range(15):
            harness.send(*harness.random_frame(), bad=rng.random() < errors, stalls=stalls)
        await harness.finish()
    assert all(octets <= harness.burst for _, octets in harness.memory.bursts)


@bench_test
async def a_response_with_an_error_marks_its_frame_and_no_other(dut):
    harness = await started(dut)
    frame = harness.rng.randbytes(300)
    for number in range(12):
        harness.send(frame, [128, 128, 44], bad=number % 3 == 1)
    await harness.finish()
    assert harness.done == [False, True, False] * 4


@bench_test
async def what_has_no_part_is_swallowed(dut):
    harness = await started(dut)
    for octets, lengths in ((300, [0]), (300, [128, 0]), (300, [64, 192]), (64, [64]), (65, [64, 0])):
        harness.send(harness.rng.randbytes(octets), lengths)
    await harness.finish()


@bench_test
async def minimum_frames_keep_up(dut):
    """A frame of 62 octets, its pad in, takes no more than its beats and two cycles on the narrower side."""
    harness = await started(dut)
    beat = min(parameters()["stream_width_bits"], parameters()["axi_width_bits"]) // 8
    for _ in range(40):
        harness.send(harness.rng.randbytes(62), [62])
    await harness.finish()
    cycles = (harness.done_cycles[-1] - harness.done_cycles[20]) / 19
    dut._log.info("%.2f cycles a frame", cycles)
    assert cycles <= max(-(-62 // beat) + 2, 10)

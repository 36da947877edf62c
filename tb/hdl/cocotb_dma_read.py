"""The payload DMA under Verilator: random parts, answers in any order, errors, stalls; and its speed."""

import logging
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.tb.bench import seed
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.packet_sink import PacketSink, Received
from hardwire.tb.hdl.read_memory import ReadMemory, pauses

PAGE = 4096


class Harness:
    """A DMA with memory, requests and a sink."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        # Half-way through, the number of the page has a carry over so many bits.
        carry = (1 << self.rng.choice((1, 18, 36))) - 1
        self.base = PAGE * ((self.rng.randrange(1 << 44) | carry) - 7)
        self.octets = self.rng.randbytes(16 * PAGE)
        self.bad: set[int] = set()  # Words of the bus that cannot be read.
        self.parts: list[tuple[int, int, bool]] = []
        self.stalls = 0.0

    async def start(self) -> None:
        """Reset the device and set all models going."""
        dut = self.dut
        dut.request_valid.value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.memory = ReadMemory(dut, "axi", self._read, self.rng)
        self.bus_octets = len(dut.axi_rdata) // 8
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        self.sink = PacketSink(dut, self.rng)
        cocotb.start_soon(self._request())
        await RisingEdge(dut.clk)

    def _read(self, address: int, count: int) -> bytes:
        at = address - self.base
        assert 0 <= at <= len(self.octets) - count, f"read of {address:#x}"
        if at // count in self.bad:
            raise OSError("injected")
        return self.octets[at : at + count]

    async def _request(self) -> None:
        dut = self.dut
        while True:
            if not self.parts or self.rng.random() < self.stalls:
                await RisingEdge(dut.clk)
                continue
            at, length, last = self.parts.pop(0)
            dut.request_addr.value = self.base + at
            dut.request_length.value = length
            dut.request_last.value = last
            dut.request_valid.value = 1
            await RisingEdge(dut.clk)
            while not dut.request_ready.value:
                await RisingEdge(dut.clk)
            dut.request_valid.value = 0

    def send(self, parts: list[tuple[int, int]]) -> Received:
        """Ask for a frame; return what is to come."""
        self.parts += [(at, length, number == len(parts) - 1) for number, (at, length) in enumerate(parts)]
        words = {at // self.bus_octets for start, length in parts for at in range(start, start + length)}
        octets = b"".join(self.octets[at : at + length] for at, length in parts)
        return Received(octets, bool(words & self.bad), 0, 0)

    async def receive(self, count: int) -> list[Received]:
        """Wait for so many frames."""
        for _ in range(200_000):
            if len(self.sink.frames) >= count and self.dut.idle.value:
                break
            await RisingEdge(self.dut.clk)
        assert len(self.sink.frames) == count
        assert self.dut.idle.value
        return self.sink.frames

    def random_parts(self) -> list[tuple[int, int]]:
        """Return a frame's parts, of every kind."""
        rng = self.rng
        count = rng.choice((1, 1, 2, 3, 18))
        most = rng.choice((1, 8, 40, 300, 9018)) if count < 18 else 60
        parts = []
        for _ in range(count):
            length = rng.randint(1, most)
            near_page = PAGE * rng.randint(1, 15) - rng.randint(0, length)
            parts.append((rng.choice((near_page, rng.randrange(len(self.octets) - length))), length))
            parts[-1] = (max(0, min(parts[-1][0], len(self.octets) - length)), length)
        return parts


@bench_test
async def random_frames_arrive_whole_and_in_order(dut):
    harness = Harness(dut)
    await harness.start()
    rng = harness.rng
    expected = []
    for _ in range(8):
        harness.memory.latency = rng.choice(((0, 0), (0, 40), (125, 125), (0, 250)))
        for channel in harness.memory.channels:
            channel.set_pause_generator(pauses(random.Random(rng.random()), rng.choice((0.0, 0.3, 0.7))))
        harness.stalls = rng.choice((0.0, 0.5))
        harness.sink.stalls = rng.choice((0.0, 0.3, 0.7))
        words = len(harness.octets) // harness.bus_octets
        harness.bad = {rng.randrange(words) for _ in range(rng.choice((0, 0, words // 100)))}
        expected += [harness.send(harness.random_parts()) for _ in range(10)]
        got = await harness.receive(len(expected))
        for frame, model in zip(got, expected, strict=True):
            assert len(frame.octets) == len(model.octets)
            assert frame.error == model.error
            assert frame.octets == model.octets or frame.error


@bench_test
async def empty_parts_are_skipped_and_an_empty_end_is_an_error(dut):
    harness = Harness(dut)
    await harness.start()
    harness.memory.latency = (0, 40)
    rng = harness.rng
    kinds = []
    for _ in range(30):
        parts = harness.random_parts()[:3]
        empty_end = rng.random() < 0.4
        parts.insert(rng.randrange(len(parts)), (rng.randrange(PAGE), 0))
        if empty_end:
            parts.append((rng.randrange(PAGE), 0))
        kinds.append((empty_end, harness.send(parts).octets))
    got = await harness.receive(len(kinds))
    for frame, (empty_end, octets) in zip(got, kinds, strict=True):
        assert frame.error == empty_end
        assert empty_end or frame.octets == octets


@bench_test
async def responses_of_1_us_do_not_slow_it_down(dut):
    """At 1 Gb/s a frame of n octets takes n + 24 cycles; a second part and any alignment must not change that."""
    harness = Harness(dut)
    await harness.start()
    harness.memory.latency = (125, 125)
    count = 0
    for length in (60, 61, 507, 1514):
        for split in (False, True):
            first = length // 3 if split else length
            parts = [(3, first), (PAGE - 5, length - first)] if split else [(PAGE - 9, length)]
            for _ in range(8):
                harness.send(parts)
            count += 8
            frames = await harness.receive(count)
            cycles = (frames[-1].last_cycle - frames[-5].last_cycle) / 4
            assert cycles <= length + 24, f"{length} octets in {len(parts)} parts take {cycles} cycles"


@bench_test
async def minimum_frames_keep_up(dut):
    """With memory that answers soon a frame of 60 octets takes the beats of the narrower side, or 10 cycles if more."""
    harness = Harness(dut)
    await harness.start()
    harness.memory.latency = (4, 4)
    for _ in range(40):
        harness.send([(PAGE, 60)])
    frames = await harness.receive(40)
    cycles = (frames[-1].last_cycle - frames[20].last_cycle) / 19
    dut._log.info("%.2f cycles a frame", cycles)
    assert cycles <= max(-(-60 // min(harness.bus_octets, len(dut.o_keep))), 10)


@bench_test
async def each_error_response_marks_its_frame_and_no_other(dut):
    harness = Harness(dut)
    await harness.start()
    expected = []
    for error in (2, 3):  # SLVERR, DECERR.
        harness.memory.errors = (error,)
        harness.bad = {(2 * PAGE + 4) // harness.bus_octets}
        expected += [harness.send([(at * PAGE + 4, 9)]) for at in (1, 2, 3)]
        got = await harness.receive(len(expected))
    assert [frame.error for frame in got] == [False, True, False] * 2

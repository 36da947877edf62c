"""The bridge's framing under Verilator against RFC 1662 in Python."""

import random
import zlib

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.boards.bridge.framing import FRAME_OCTETS_MAX
from hardwire.tb.bench import seed
from hardwire.tb.boards.hdlc import Decoder, encode, stuffed
from hardwire.tb.cocotb_test import SOAK, bench_test

_FRAMES = 3000 if SOAK else 150
_MIN = 3  # A header.


class Harness:
    """Both halves with random stalls."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(seed())
        self.line: list[int] = []
        self.good: list[bytes] = []
        self.bad = 0
        self.taking = self.rng.choice((1.0, 0.7, 0.1))  # Odds with which the line takes an octet.

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        for name in ("i_valid", "rx_valid", "tx_ready"):
            getattr(dut, name).value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        """Record both outputs, and stall the one that can be."""
        dut, frame = self.dut, bytearray()
        while True:
            await RisingEdge(dut.clk)
            if dut.tx_valid.value and dut.tx_ready.value:
                self.line.append(int(dut.tx.value))
            dut.tx_ready.value = self.rng.random() < self.taking
            if not dut.o_valid.value:
                continue
            if not dut.o_end.value:
                frame.append(int(dut.o_octet.value))
                continue
            if dut.o_good.value:
                self.good.append(bytes(frame))
            else:
                self.bad += 1
            frame.clear()

    def frame(self, octets: int | None = None) -> bytes:
        """Return a frame of that length, or of any; many of its octets need an escape."""
        rng = self.rng
        if octets is None:
            octets = rng.choice((_MIN, _MIN + 1, 7, FRAME_OCTETS_MAX - 1, FRAME_OCTETS_MAX, rng.randrange(3, 260)))
        return bytes(
            rng.choice((0x7E, 0x7D, 0x5E, 0x5D, *(rng.getrandbits(8) for _ in range(8)))) for _ in range(octets)
        )

    async def tokens(self, frame: bytes, *, pauses: float | None = None) -> None:
        """Hand a frame over, with those odds of a pause, or any."""
        dut, odds = self.dut, self.rng.choice((0.0, 0.3)) if pauses is None else pauses
        for octet, end in (*((octet, 0) for octet in frame), (self.rng.getrandbits(8), 1)):
            while self.rng.random() < odds:
                dut.i_valid.value = 0
                await RisingEdge(dut.clk)
            dut.i_valid.value = 1
            dut.i_octet.value = octet
            dut.i_end.value = end
            await RisingEdge(dut.clk)
            while not dut.i_ready.value:
                await RisingEdge(dut.clk)
        dut.i_valid.value = 0

    async def octets(self, octets: bytes) -> None:
        """Put octets on the line, with pauses or without."""
        dut, odds = self.dut, self.rng.choice((0.0, 0.5))
        for octet in octets:
            dut.rx_valid.value = 1
            dut.rx.value = octet
            await RisingEdge(dut.clk)
            while self.rng.random() < odds:
                dut.rx_valid.value = 0
                await RisingEdge(dut.clk)
        dut.rx_valid.value = 0
        await ClockCycles(dut.clk, 2)


async def started(dut) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start()
    return harness


@bench_test
async def the_enframer_escapes_and_adds_the_fcs(dut):
    harness = await started(dut)
    frames = [harness.frame() for _ in range(_FRAMES)]
    for frame in frames:
        await harness.tokens(frame)
        if harness.rng.random() < 0.5:
            await ClockCycles(dut.clk, harness.rng.randrange(1, 3000))
    await ClockCycles(dut.clk, 6000)
    between = [run for run in bytes(harness.line).split(b"\x7e") if run]
    assert between == [stuffed(frame + zlib.crc32(frame).to_bytes(4, "little")) for frame in frames]
    assert harness.line[0] == harness.line[-1] == 0x7E


@bench_test
async def frames_that_follow_at_once_share_a_flag(dut):
    harness = await started(dut)
    frames = [harness.frame(20) for _ in range(20)]
    for frame in frames:
        await harness.tokens(frame, pauses=0.0)
    await ClockCycles(dut.clk, 3000)
    assert harness.line.count(0x7E) == len(frames) + 1


@bench_test
async def the_deframer_finds_each_good_frame(dut):
    harness = await started(dut)
    frames = [harness.frame() for _ in range(_FRAMES)]
    for frame in frames:
        await harness.octets(encode(frame)[harness.rng.randrange(2) if harness.good else 0 :])
    assert harness.good == frames
    assert harness.bad == 0


@bench_test
async def any_octet_may_be_escaped(dut):
    """Also 5D, as two escapes: a sender may escape more than it must (RFC 1662 §4.2)."""
    harness = await started(dut)
    frames = [harness.frame(60).replace(b"\x5e", b"\x5d") for _ in range(20)]
    sent = []
    for frame in frames:
        line = frame + zlib.crc32(frame).to_bytes(4, "little")
        if b"\x5e" not in line:  # It would become a flag.
            sent.append(frame)
            await harness.octets(b"\x7e" + b"".join(bytes((0x7D, octet ^ 0x20)) for octet in line) + b"\x7e")
    assert b"\x5d" in b"".join(sent)
    assert harness.good == sent
    assert harness.bad == 0


@bench_test
async def frames_that_are_too_short_or_too_long_are_not_good(dut):
    harness = await started(dut)
    for octets in (0, 1, 2, FRAME_OCTETS_MAX + 1, FRAME_OCTETS_MAX + 2, 600, 1100):
        await harness.octets(encode(harness.frame(octets)))
    assert (harness.good, harness.bad) == ([], 7)
    await harness.octets(encode(b"abc"))
    assert harness.good == [b"abc"]


@bench_test
async def noise_is_seen_and_the_next_frame_is_found(dut):
    harness = await started(dut)
    rng, reference, expected = harness.rng, Decoder(), []
    for _ in range(2 * _FRAMES):
        octets = bytearray(encode(harness.frame(rng.randrange(3, 60))))
        for _ in range(rng.choice((0, 0, 1, 2))):
            at = rng.randrange(len(octets))
            match rng.randrange(4):
                case 0:
                    octets[at] ^= 1 << rng.randrange(8)
                case 1:
                    del octets[at]
                case 2:
                    octets[at:at] = rng.randbytes(rng.randrange(1, 5))
                case 3:
                    octets[at:at] = bytes((rng.choice((0x7E, 0x7D)),))
        frames = [reference.feed(octet) for octet in octets]
        expected += [frame for frame in frames if frame is not None and len(frame) >= _MIN]
        await harness.octets(bytes(octets))
    assert harness.good == expected
    assert harness.bad > _FRAMES // 4
    assert len(expected) > _FRAMES // 2

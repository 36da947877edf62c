# amaranth: UnusedElaboratable=no
"""Payload DMA in Amaranth's simulator, against slices of a memory."""

import random
import re

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.dma.gather import Gather
from hardwire.hdl.dma.read import DmaRead
from hardwire.hdl.dma.reorder import ReorderBuffer
from hardwire.hdl.dma.split import BurstSplitter

WIDTHS = [(32, 32), (64, 32), (32, 64), (64, 64), (64, 128), (128, 64), (128, 512)]


def octet_at(addr):
    """Return what the memory holds: each address its own value, more or less."""
    return (addr * 167 + (addr >> 8) * 13) & 0xFF


def octets_of(parts):
    """Return the octets of a frame."""
    return bytes(octet_at(addr + k) for addr, length in parts for k in range(length))


class Memory:
    """Answers reads in random order after a while, beats of different IDs mixed; keeps the bursts it was asked for."""

    def __init__(self, dut, *, seed=0, latency=(0, 0), bad_addr=None, arready=1.0):
        self.dut, self.latency, self.bad_addr, self.arready = dut, latency, bad_addr, arready
        self.random = random.Random(seed)
        self.bursts = []

    async def testbench(self, ctx):
        """Answer for ever."""
        axi = self.dut.axi
        octets = axi.rdata.shape().width // 8
        under_way, now = {}, 0
        while True:
            ready = self.random.random() < self.arready
            ctx.set(axi.arready, ready)
            due = [rid for rid, (when, _) in under_way.items() if when <= now]
            if due:
                rid = self.random.choice(due)
                addr, last = under_way[rid][1].pop(0)
                bad = self.bad_addr is not None and addr <= self.bad_addr < addr + octets
                ctx.set(axi.rid, rid)
                ctx.set(axi.rdata, int.from_bytes(bytes(octet_at(addr + k) for k in range(octets)), "little"))
                ctx.set(axi.rresp, 2 if bad else 0)
                ctx.set(axi.rlast, last)
                if last:
                    del under_way[rid]
            ctx.set(axi.rvalid, bool(due))
            _, _, valid, rid, addr, length = await ctx.tick().sample(axi.arvalid, axi.arid, axi.araddr, axi.arlen)
            if valid and ready:
                assert rid not in under_way
                assert addr % octets == 0
                assert addr >> 12 == (addr + length * octets) >> 12, "a burst crosses 4 KiB"
                beats = [(addr + k * octets, k == length) for k in range(length + 1)]
                under_way[rid] = (now + self.random.randint(*self.latency), beats)
                self.bursts.append((addr, length + 1))
            now += 1


def simulate(dut, frames, memory, *, oready=1.0):
    """Read frames, each a list of (addr, length); return their (octets, keep of last beat, error) and the cycles."""
    lanes = dut.o.payload.keep.shape().width
    got, ends = [], []

    async def requests(ctx):
        for parts in frames:
            for number, (addr, length) in enumerate(parts):
                ctx.set(dut.request.payload, {"addr": addr, "length": length, "last": number == len(parts) - 1})
                ctx.set(dut.request.valid, 1)
                await ctx.tick().until(dut.request.ready)
            ctx.set(dut.request.valid, 0)

    async def results(ctx):
        octets, now = b"", 0
        while len(got) < len(frames):
            ready = memory.random.random() < oready
            ctx.set(dut.o.ready, ready)
            _, _, valid, beat = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            now += 1
            assert now < 100_000, "hangs"
            if not (valid and ready):
                continue
            count = beat.keep.bit_count()
            assert beat.keep == (1 << count) - 1
            assert beat.last or count == lanes
            octets += beat.data.to_bytes(lanes, "little")[:count]
            if beat.last:
                got.append((octets, count, beat.error))
                ends.append(now)
                octets = b""

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(memory.testbench, background=True)
    sim.add_testbench(requests)
    sim.add_testbench(results)
    sim.run()
    return got, ends


@pytest.mark.parametrize(("stream_width", "axi_width"), WIDTHS)
def test_dma_read_joins_parts_of_any_alignment(stream_width, axi_width):
    dut = DmaRead(stream_width_bits=stream_width, axi_width_bits=axi_width)
    rng = random.Random(axi_width + stream_width)
    lengths = [1, 2, 3, 7, 8, 9, 15, 16, 17, 64, 255, 256, 257, 700]
    frames = [
        [(0x1_0000_0000 + rng.randrange(1 << 14), rng.choice(lengths)) for _ in range(rng.randint(1, 5))]
        for _ in range(15)
    ]
    memory = Memory(dut, seed=1, latency=(0, 60), arready=0.6)
    got, _ = simulate(dut, frames, memory, oready=0.8)
    for parts, (octets, _, error) in zip(frames, got, strict=True):
        assert octets == octets_of(parts)
        assert not error


def test_dma_read_carries_into_a_high_page():
    dut = DmaRead()
    frames = [[(addr - 300, 600)] for addr in (0x1000, 0x4000_0000, 0x80_0000_0000, 1 << 63)]
    got, _ = simulate(dut, frames, Memory(dut))
    assert [octets for octets, _, _ in got] == [octets_of(parts) for parts in frames]


def test_dma_read_skips_empty_parts():
    dut = DmaRead()
    frames = [[(0x100, 0), (0x203, 21), (0x300, 0), (0x408, 8)]]
    got, _ = simulate(dut, frames, Memory(dut))
    assert got == [(octets_of(frames[0]), 5, 0)]


@pytest.mark.parametrize("before", [[], [(0x100, 0)], [(0x203, 5)], [(0x200, 8)], [(0x203, 300)]])
def test_dma_read_ends_a_frame_with_an_empty_last_part_in_error(before):
    dut = DmaRead()
    good = [(0x307, 40)]
    got, _ = simulate(dut, [[*before, (0x500, 0)], good], Memory(dut))
    assert got[0][1:] == (0, 1)
    assert got[1] == (octets_of(good), 8, 0)


@pytest.mark.parametrize("bad_addr", [0x203, 0x2FF, 0x300, 0x3FF, 0x41F])
def test_dma_read_error_marks_only_its_frame(bad_addr):
    dut = DmaRead()
    frames = [[(0x1000, 64)], [(0x203, 0x200), (0x410, 16)], [(0x2001, 30)]]
    got, _ = simulate(dut, frames, Memory(dut, bad_addr=bad_addr, latency=(0, 30)))
    assert [error for _, _, error in got] == [0, 1, 0]
    assert [len(octets) for octets, _, _ in got] == [64, 0x210, 30]


def test_dma_read_error_in_the_other_lanes_of_a_read_word_counts():
    """The bus answers whole words: what it says of a word holds for each octet of it."""
    dut = DmaRead()
    got, _ = simulate(dut, [[(0x207, 4)]], Memory(dut, bad_addr=0x200))
    assert got[0][2] == 1


def test_dma_read_sustains_a_frame_every_84_cycles_at_1_us():
    for length in (60, 61, 507, 1514):
        dut = DmaRead()
        _, ends = simulate(dut, [[(0x1003, length)]] * 8, Memory(dut, latency=(125, 125)))
        assert (ends[-1] - ends[3]) / 4 <= length + 24, f"{length} octets"


def test_dma_read_gives_a_beat_a_cycle():
    dut = DmaRead()
    _, ends = simulate(dut, [[(0x1000, 4096)]] * 4, Memory(dut))
    assert ends[-1] - ends[-2] == 512


def test_dma_read_latency_is_as_stated():
    dut = DmaRead()
    memory = Memory(dut)
    _, ends = simulate(dut, [[(0x1000, 8)]], memory)
    assert ends[0] == 1 + 2 + 1 + 8


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: DmaRead(axi_width_bits=48), "axi_width_bits must be 32, 64, 128, 256 or 512, not 48"),
        (lambda: DmaRead(outstanding=3), "outstanding must be 2, 4, 8 or 16, not 3"),
        (
            lambda: BurstSplitter(burst_octets=100),
            "burst_octets must be a power of two from 2 to 256 beats of 8 octets and at most 4096, not 100",
        ),
        (
            lambda: BurstSplitter(burst_octets=8192, axi_width_bits=512),
            "burst_octets must be a power of two from 2 to 256 beats of 64 octets and at most 4096, not 8192",
        ),
        (
            lambda: ReorderBuffer(chunk_octets=16, axi_width_bits=64),
            "chunk_octets must be 4, 8 or 16 and at most a beat of the bus, not 16",
        ),
        (lambda: Gather(chunk_octets=3), "chunk_octets must be 4, 8 or 16 and at most a beat, not 3"),
    ],
)
def test_dma_read_refuses_parameters(make, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        make()

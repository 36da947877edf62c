"""The MAC's transmit side under Verilator: frames against scapy and cocotbext-eth's PHY model, gaps by counting."""

import logging
import random
import zlib
from collections import deque
from dataclasses import dataclass, field

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.eth import GmiiSink
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from hardwire.tb.bench import seed
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.packet_source import PacketSource

# Not imported from the component: the standard's figures, a second time.
GAP_OCTETS = 12
MIN_FRAME_OCTETS = 60
PREAMBLE_AND_SFD = bytes([0x55] * 7 + [0xD5])
FCS_OCTETS = 4


@dataclass
class OnWire:
    """What was seen on GMII from one rise of ``gmii_tx_en`` to its fall."""

    start: int  # Number of the cycle of the first octet.
    octets: bytearray = field(default_factory=bytearray)
    errors: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Number of the first cycle after it."""
        return self.start + len(self.octets)


class Harness:
    """Clock, source, PHY model and a record of each cycle on GMII."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.random = random.Random(seed())
        self.cycle = 0
        self.frames: list[OnWire] = []
        self.done: list[tuple[int, int]] = []
        self.groups: list[tuple[int, int]] = []  # broadcast and multicast of each.
        self.tags: deque[int | None] = deque()  # Of the frames to come; if there are none, no frame has a tag.
        self.slow = lambda: 0  # Cycles without an octet between two with one.

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        dut.rst.value = 1
        dut.enable.value = 1
        self.source = PacketSource(dut)
        self.sink = GmiiSink(dut.gmii_txd, dut.gmii_tx_er, dut.gmii_tx_en, dut.clk, dut.rst, dut.enable)
        self.sink.log.setLevel(logging.WARNING)
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        for task in (self._watch(), self._give_tags(), self._enable()):
            cocotb.start_soon(task)

    async def _give_tags(self) -> None:
        dut = self.dut
        while True:
            tag = self.tags[0] if self.tags else None
            dut.tag_valid.value = bool(self.tags)
            dut.tag_present.value = tag is not None or not self.tags
            dut.tag_tci.value = self.random.getrandbits(16) if tag is None else tag
            await RisingEdge(dut.clk)
            if int(dut.tag_ready.value) and self.tags:
                self.tags.popleft()

    async def _enable(self) -> None:
        dut = self.dut
        while True:
            for _ in range(self.slow()):
                dut.enable.value = 0
                await RisingEdge(dut.clk)
            dut.enable.value = 1
            await RisingEdge(dut.clk)

    async def _watch(self) -> None:
        dut = self.dut
        inside = taking = False
        while True:
            await RisingEdge(dut.clk)
            if not int(dut.enable.value):
                assert not int(dut.i_ready.value)
                assert not int(dut.done_valid.value)
                assert not int(dut.tag_ready.value)
                continue
            self.cycle += 1
            assert int(dut.busy.value) or not taking, "not busy inside a frame"
            if int(dut.i_valid.value) and int(dut.i_ready.value):
                taking = not int(dut.i_last.value)
            enabled = int(dut.gmii_tx_en.value)
            if enabled:
                if not inside:
                    self.frames.append(OnWire(self.cycle))
                self.frames[-1].octets.append(int(dut.gmii_txd.value))
                self.frames[-1].errors.append(int(dut.gmii_tx_er.value))
                assert int(dut.busy.value)
            else:
                assert not int(dut.gmii_tx_er.value)
                assert not int(dut.gmii_txd.value)
            inside = bool(enabled)
            if int(dut.done_valid.value):
                self.done.append((int(dut.done_underrun.value), int(dut.done_octets.value)))
                self.groups.append((int(dut.done_broadcast.value), int(dut.done_multicast.value)))

    async def wait(self, cycles: int) -> None:
        """Let some cycles go by."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def finish(self) -> None:
        """Wait until all is quiet."""
        quiet = 0
        while quiet < 4:
            await RisingEdge(self.dut.clk)
            if not int(self.dut.enable.value):
                continue
            quiet = 0 if int(self.dut.busy.value) or int(self.dut.i_valid.value) else quiet + 1

    @property
    def gaps(self) -> list[int]:
        """Octet times between the frames."""
        return [later.start - earlier.end for earlier, later in zip(self.frames, self.frames[1:], strict=False)]

    def legal_stalls(self, first: int = 0):
        """Return stalls that just do not starve the MAC, after ``first`` cycles before the frame."""
        most = self.source.beat_octets - 1
        return lambda beat: self.random.choice((0, most, self.random.randint(0, most))) if beat else first

    def check(self, frame: OnWire, sent: bytes) -> None:
        """Check one whole frame on the wire."""
        padded = bytes(sent).ljust(MIN_FRAME_OCTETS, b"\0")
        expected = PREAMBLE_AND_SFD + padded + zlib.crc32(padded).to_bytes(FCS_OCTETS, "little")
        assert frame.octets == expected, f"{len(sent)} octets: {frame.octets.hex()}"
        assert not any(frame.errors)
        seen = self.sink.recv_nowait()
        assert seen.check_fcs()
        assert seen.error is None
        assert bytes(seen.get_payload()) == padded

    def check_all(self, sent: list[bytes]) -> None:
        """Check that the frames on the wire are these, whole, and that each was reported."""
        assert len(self.frames) == len(sent)
        for frame, octets in zip(self.frames, sent, strict=True):
            self.check(frame, octets)
        assert self.done == [(0, max(len(octets), MIN_FRAME_OCTETS) + FCS_OCTETS) for octets in sent]
        assert min(self.gaps, default=GAP_OCTETS) >= GAP_OCTETS


async def started(dut) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start()
    return harness


def random_packet(rng: random.Random) -> bytes:
    """Return a frame that scapy built."""
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    payload = Raw(rng.randbytes(rng.choice((0, 1, 17, 18, 19, rng.randrange(1472)))))
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(ether / IP(dst="10.0.0.2") / UDP(sport=1, dport=2) / payload)
    if kind == 1:
        return bytes(ether / Dot1Q(vlan=5) / IP(dst="10.0.0.2") / TCP() / payload)
    if kind == 2:
        return bytes(ether / IPv6(dst="fe80::2") / UDP() / payload)
    if kind == 3:
        return bytes(ether / ARP(pdst="10.0.0.2"))
    return bytes(ether / payload)


@bench_test
async def every_length_leaves_back_to_back_with_exact_gaps(dut):
    harness = await started(dut)
    lengths = [*range(1, 100), 1514, 9018, harness.random.randint(100, 9017)]
    frames = [harness.random.randbytes(length) for length in lengths]
    for frame in frames:
        harness.source.send(frame)
    await harness.wait(2)
    await harness.finish()
    harness.check_all(frames)
    assert set(harness.gaps) == {GAP_OCTETS}


@bench_test
async def scapy_frames_survive_stalls(dut):
    harness = await started(dut)
    frames = [random_packet(harness.random) for _ in range(50)]
    for frame in frames:
        harness.source.send(frame, stalls=harness.legal_stalls(harness.random.choice((0, 0, 5, 40, 200))))
    await harness.wait(300)
    await harness.finish()
    while len(harness.frames) < len(frames):
        await harness.finish()
    harness.check_all(frames)
    for frame, octets in zip(harness.frames, frames, strict=True):
        assert bytes(Ether(bytes(frame.octets[8:-FCS_OCTETS])))[: len(octets)] == octets


@bench_test
async def preamble_follows_the_first_beat_after_two_cycles(dut):
    harness = await started(dut)
    for _ in range(5):
        await harness.wait(GAP_OCTETS + harness.random.randint(0, 9))
        accepted = harness.source.send(bytes(64))
        await accepted.wait()
        first_beat = harness.cycle
        await harness.finish()
        assert harness.frames[-1].start - first_beat == 2


@bench_test
async def the_gap_is_shorter_by_what_its_timer_jumps(dut):
    harness = await started(dut)
    for cycles in (*range(GAP_OCTETS + 2), 16, 1 << 31):
        harness.frames.clear()
        await harness.source.send(bytes(60)).wait()
        await harness.finish()  # Four cycles of the gap have gone by, and three more go by until the jump shows.
        dut.advance_stb.value, dut.advance_cycles.value = 1, cycles
        await harness.wait(1)
        dut.advance_stb.value, dut.advance_cycles.value = 0, harness.random.getrandbits(32)
        harness.source.send(bytes(60))
        await harness.wait(2)
        await harness.finish()
        await harness.wait(GAP_OCTETS)
        assert harness.gaps == [max(GAP_OCTETS - cycles, 8)], cycles


@bench_test
async def a_frame_that_comes_late_waits_for_the_gap_only(dut):
    harness = await started(dut)
    for late in range(20):
        first = harness.source.send(bytes(60))
        await first.wait()
        while not int(dut.gmii_tx_en.value):
            await RisingEdge(dut.clk)
        await harness.wait(71 + late)  # The first frame's last octet is on the wire 71 cycles after its first one.
        harness.source.send(bytes(60))  # Accepted one cycle later, if not in the gap, and on the wire after two more.
        await harness.wait(2)
        await harness.finish()
        assert harness.gaps == [max(GAP_OCTETS, late + 2)]
        await harness.wait(40)
        harness.frames.clear()


@bench_test
async def starving_cuts_the_frame_short_and_the_next_one_is_whole(dut):
    harness = await started(dut)
    octets = harness.source.beat_octets
    for too_long in (0, 1, 2, 200):
        for starved in (1, 2, 7):
            whole = too_long == 0
            stall = octets - 1 + too_long + (7 if starved == 1 else 0)  # The preamble gives the second beat more time.
            harness.frames.clear()
            harness.done.clear()
            frame, after = harness.random.randbytes(10 * octets - 3), harness.random.randbytes(70)
            slow = {starved: stall, 9: 30 if not whole else 0}
            harness.source.send(frame, stalls=lambda beat, slow=slow: slow.get(beat, 0))
            harness.source.send(after)
            await harness.wait(300)
            await harness.finish()
            if whole:
                harness.check_all([frame, after])
                continue
            cut, good = harness.frames
            sent = starved * octets
            assert cut.octets[:8] == PREAMBLE_AND_SFD
            assert cut.octets[8:-FCS_OCTETS] == frame[:sent]
            assert cut.errors == [0] * (8 + sent) + [1] * FCS_OCTETS
            seen = harness.sink.recv_nowait()
            assert any(seen.error)
            assert not seen.check_fcs()
            right = zlib.crc32(frame[:sent]).to_bytes(FCS_OCTETS, "little")
            assert all(a != b for a, b in zip(cut.octets[-FCS_OCTETS:], right, strict=True))
            harness.check(good, after)
            assert harness.done == [(1, sent + FCS_OCTETS), (0, 74)]
            assert harness.gaps[0] >= GAP_OCTETS


@bench_test
async def error_marks_the_frame_bad(dut):
    harness = await started(dut)
    for length in (1, 14, 59, 60, 61, 1514):
        harness.frames.clear()
        harness.done.clear()
        frame, after = harness.random.randbytes(length), harness.random.randbytes(60)
        harness.source.send(frame, error=True)
        harness.source.send(after)
        await harness.wait(2)
        await harness.finish()
        cut, good = harness.frames
        assert cut.octets[8:-FCS_OCTETS] == frame
        assert cut.errors[-FCS_OCTETS:] == [1] * FCS_OCTETS
        assert not harness.sink.recv_nowait().check_fcs()
        harness.check(good, after)
        assert harness.done == [(1, length + FCS_OCTETS), (0, 64)]
        assert harness.gaps == [GAP_OCTETS]


@bench_test
async def a_frame_without_octets_does_not_hang(dut):
    harness = await started(dut)
    harness.source.send(b"", error=True)
    harness.source.send(bytes(60))
    await harness.wait(2)
    await harness.finish()
    assert harness.done[0][0] == 1
    assert harness.done[1] == (0, 64)


def tagged(octets: bytes, tci: int | None) -> bytes:
    """Return the frame with its tag."""
    if tci is None:
        return octets
    # What follows may be a length, which scapy has other headers for.
    control = bytes(Dot1Q(prio=tci >> 13, id=tci >> 12 & 1, vlan=tci & 0xFFF, type=0))[:2]
    return octets[:12] + b"\x81\x00" + control + octets[12:]


@bench_test
async def tags_go_in_behind_the_addresses_and_count_as_payload(dut):
    harness = await started(dut)
    frames = []
    for length in (*range(14, 70), 100, 1514, 9014, *range(54, 62)):
        octets, tci = harness.random.randbytes(length), harness.random.choice((None, harness.random.getrandbits(16)))
        harness.tags.append(tci)
        harness.source.send(octets, stalls=harness.legal_stalls())
        frames.append(tagged(octets, tci))
    await harness.wait(2)
    await harness.finish()
    harness.check_all(frames)
    assert set(harness.gaps) == {GAP_OCTETS}
    assert not harness.tags


@bench_test
async def a_frame_cut_short_takes_its_tag_with_it(dut):
    harness = await started(dut)
    octets = harness.source.beat_octets
    first, second = harness.random.randbytes(10 * octets), harness.random.randbytes(60)
    for starved in (1, 2, 5):
        harness.frames.clear()
        harness.done.clear()
        harness.tags += [0x1234, 0xABCD]
        harness.source.send(first, stalls=lambda beat, starved=starved: 40 if beat == starved else 0)
        harness.source.send(second)
        await harness.wait(200)
        await harness.finish()
        cut, good = harness.frames
        assert cut.errors[-FCS_OCTETS:] == [1] * FCS_OCTETS
        assert tagged(first, 0x1234).startswith(bytes(cut.octets[8:-FCS_OCTETS]))
        harness.sink.recv_nowait()
        harness.check(good, tagged(second, 0xABCD))
        assert [underrun for underrun, _ in harness.done] == [1, 0]


@bench_test
async def it_says_what_group_a_frame_goes_to(dut):
    harness = await started(dut)
    addresses = [b"\xff" * 6, b"\xff" * 5 + b"\xfe", b"\x01" + b"\0" * 5, b"\xfe" + b"\xff" * 5, b"\x02" * 6]
    addresses += [bytes(0xFF ^ (1 << bit % 8 if octet == bit // 8 else 0) for octet in range(6)) for bit in range(48)]
    harness.random.shuffle(addresses)
    for address in addresses:
        harness.tags.append(harness.random.choice((None, 0xFFFF)))
        harness.source.send(address + harness.random.choice((b"\xff", b"\0")) * 54)
    await harness.wait(2)
    await harness.finish()
    everyone = b"\xff" * 6
    expected = [(address == everyone, address[0] & 1 and address != everyone) for address in addresses]
    assert harness.groups == expected


@bench_test
async def with_enable_low_nothing_moves(dut):
    """At 100 Mb/s there is an octet each ten cycles; here also at other times."""
    harness = await started(dut)
    for slow in (lambda: 9, lambda: harness.random.randrange(4), lambda: harness.random.choice((0, 9))):
        harness.slow = slow
        harness.frames.clear()
        harness.done.clear()
        frames = []
        for length in (14, 59, 60, 61, 64, 200):
            octets, tci = harness.random.randbytes(length), harness.random.choice((None, 0x5A5A))
            harness.tags.append(tci)
            harness.source.send(octets, stalls=harness.legal_stalls())
            frames.append(tagged(octets, tci))
        await harness.wait(30)
        await harness.finish()
        harness.check_all(frames)
        assert set(harness.gaps) == {GAP_OCTETS}

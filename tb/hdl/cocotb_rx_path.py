"""The receive datapath under Verilator: frames from scapy, sums and flags from plain Python."""

import random
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from scapy.layers.inet import IP, UDP, IPOption
from scapy.packet import Raw

from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.packet_sink import PacketSink
from hardwire.tb.hdl.rx_frames import complete_sum, expected_flags, hash_bit, random_frame

OWN = "02:00:00:00:00:02"
VLAN_FLAG = 16
VERDICT_CYCLES = 3


@dataclass
class Sent:
    """A frame on its way in."""

    octets: bytes
    error: bool = False
    tci: int | None = None
    idle: int = 2
    stall: float = 0.0
    ended: int = 0


class Harness:
    """Clock, the MAC's side, the ring's side."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(seed())
        self.lanes = parameters()["width_bits"] // 8
        self.cycle = 0
        self.ready_odds = 1.0
        self.drop_odds = 0.0
        self.sent: list[Sent] = []
        self.out: list[tuple[int, tuple[int, int, int, int], bool]] = []
        self.counts = {"stored": 0, "filtered": 0, "missed": 0}
        self.marks: list[tuple[str, int]] = []
        self.offered: list[int] = []
        self.ends: list[int] = []

    async def start(self) -> None:
        dut = self.dut
        for name in ("i_valid", "i_error", "end_valid", "promiscuous", "all_multicast", "vlan_filter"):
            getattr(dut, name).value = 0
        for name in ("hash", "vlan_write", "vlan_vid", "vlan_member", "clear", "drop", "frame_ready"):
            getattr(dut, name).value = 0
        dut.broadcast.value = 1
        dut.address.value = int(OWN.replace(":", ""), 16)
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        self.sink = PacketSink(dut, self.rng)
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self.dut
        ready = drop = False
        held = None
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if int(dut.i_valid.value) and int(dut.i_last.value):
                self.ends.append(self.cycle)
            for name in self.counts:
                if int(getattr(dut, name).value):
                    self.counts[name] += 1
                    self.marks.append((name, self.cycle))
            if int(dut.frame_valid.value):
                frame = tuple(int(getattr(dut, f"frame_{name}").value) for name in ("length", "csum", "tci", "flags"))
                assert held in (None, frame), "the frame changed while it waited"
                if held is None:
                    self.offered.append(self.cycle)
                held = None if ready else frame
                if ready:
                    self.out.append((self.cycle, frame, drop))
            else:
                assert held is None
            ready, drop = self.rng.random() < self.ready_odds, self.rng.random() < self.drop_odds
            dut.frame_ready.value = ready
            dut.drop.value = drop

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def send(self, frame: Sent) -> None:
        """Put one frame in, then leave the gap."""
        dut, rng, lanes = self.dut, self.rng, self.lanes
        stream = rng.randbytes(2) + frame.octets
        starts = range(0, len(stream), lanes)
        for start in starts:
            while rng.random() < frame.stall:
                await RisingEdge(dut.clk)
            chunk, last = stream[start : start + lanes], start == starts[-1]
            dut.i_data.value = int.from_bytes(chunk + rng.randbytes(lanes - len(chunk)), "little")
            dut.i_keep.value = (1 << len(chunk)) - 1
            dut.i_last.value = last
            dut.i_error.value = last and frame.error
            dut.i_valid.value = 1
            if last and not frame.error:
                tagged = frame.tci is not None
                dut.end_valid.value = 1
                dut.end_status.value = 0
                dut.end_tagged.value = tagged
                dut.end_tci.value = frame.tci or 0
                dut.end_octets.value = len(frame.octets) + 4 + 4 * tagged
            await RisingEdge(dut.clk)
            dut.i_valid.value = 0
            dut.end_valid.value = 0
            dut.i_data.value = rng.getrandbits(8 * lanes)
            dut.i_last.value = rng.getrandbits(1)
            dut.end_tagged.value = rng.getrandbits(1)
        self.sent.append(frame)
        await self.wait(frame.idle)

    async def finish(self) -> None:
        await self.wait(20)
        while int(self.dut.busy.value):
            await RisingEdge(self.dut.clk)
        await self.wait(4)
        for frame, cycle in zip(self.sent, self.ends, strict=True):
            frame.ended = cycle

    def check(self, expected: list[Sent]) -> None:
        """Check that exactly these frames came out, in order."""
        assert len(self.out) == len(expected), f"{len(self.out)} frames, not {len(expected)}"
        bodies = deque(self.sink.frames)
        for frame, (when, seen, drop) in zip(expected, self.out, strict=True):
            flags = expected_flags(frame.octets) | (VLAN_FLAG if frame.tci is not None else 0)
            told = (len(frame.octets), complete_sum(frame.octets), frame.tci or 0, flags)
            assert seen == told, f"{seen}, not {told}: {frame.octets.hex()}"
            assert when > frame.ended + VERDICT_CYCLES
            if not drop:
                body = bodies.popleft()
                assert body.octets[2:] == frame.octets
                assert not body.error
        assert not bodies

    def clear(self) -> None:
        for record in (self.sent, self.out, self.sink.frames, self.marks, self.offered, self.ends):
            record.clear()
        self.counts.update(dict.fromkeys(self.counts, 0))


async def started(dut) -> Harness:
    harness = Harness(dut)
    await harness.start()
    return harness


def wanted(frame: Sent, vlans: set[int], *, filtering: bool, groups: int, all_multicast: bool, broadcast: bool) -> bool:
    """Tell by the settings whether a frame is to be received."""
    address = frame.octets[:6]
    if address == b"\xff" * 6:
        ok = broadcast
    elif address[0] & 1:
        ok = all_multicast or bool(groups >> hash_bit(address) & 1)
    else:
        ok = address == bytes.fromhex(OWN.replace(":", ""))
    vid = None
    if frame.tci is not None:
        vid = frame.tci & 0xFFF
    elif frame.octets[12:14] == b"\x81\0":
        vid = int.from_bytes(frame.octets[14:16], "big") & 0xFFF
    return ok and (not filtering or not vid or vid in vlans)


@bench_test
async def every_length_back_to_back(dut):
    harness = await started(dut)
    own = bytes.fromhex(OWN.replace(":", ""))
    for length in [*range(14, 150), *range(1500, 1520), 2047, 2048]:
        frame = Sent(own + harness.rng.randbytes(length - 6), idle=2 if length >= 56 else 9)
        await harness.send(frame)
        if length > 1000:
            await harness.finish()
    await harness.finish()
    harness.check(harness.sent)
    assert harness.counts == {"stored": len(harness.sent), "filtered": 0, "missed": 0}


@bench_test
async def sums_and_flags_of_scapy_frames(dut):
    harness = await started(dut)
    seen = set()
    for number in range(400):
        stall = harness.rng.choice((0, 0, 0.5, 0.875))
        tci = harness.rng.choice((None, None, harness.rng.getrandbits(16)))
        frame = Sent(random_frame(harness.rng, OWN), tci=tci, stall=stall)
        seen.add(expected_flags(frame.octets))
        await harness.send(frame)
        if number % 3 == 0:
            await harness.finish()
    await harness.finish()
    harness.check(harness.sent)
    assert seen == {0, 1, 2, 5, 9}


@bench_test
async def headers_and_datagrams_may_end_anywhere(dut):
    harness = await started(dut)
    own = bytes.fromhex(OWN.replace(":", ""))
    seen = set()
    for units in range(5, 16):
        for length in range(8, 26):
            packet = IP(src="10.1.2.3", dst="10.4.5.6", options=[IPOption(b"\x01" * 4)] * (units - 5))
            octets = bytearray(bytes(packet / UDP(sport=1, dport=2) / Raw(harness.rng.randbytes(length - 8))))
            wrong = harness.rng.choice((None, None, harness.rng.randrange(len(octets))))
            if wrong is not None:
                octets[wrong] ^= 1 << harness.rng.randrange(8)
            octets = octets[: harness.rng.choice((len(octets), len(octets), len(octets) - 1, 4 * units))]
            behind = harness.rng.choice((b"", b"\0", bytes(9), b"\0\1"))
            frame = Sent(own + own + b"\x08\0" + octets + behind)
            seen.add(expected_flags(frame.octets))
            await harness.send(frame)
            await harness.finish()
    harness.check(harness.sent)
    assert seen >= {1, 2, 5, 9}


@bench_test
async def every_good_frame_is_out_dropped_filtered_or_missed(dut):
    harness = await started(dut)
    rng = harness.rng
    for frames, ready, stalls, drops in (
        (150, 1.0, 0.0, 0.0),
        (150, 0.3, 0.3, 0.3),
        (300, 0.003, 0.9, 0.2),
        (150, 0.1, 0.8, 0.9),
    ):
        harness.clear()
        harness.ready_odds, harness.sink.stalls, harness.drop_odds = ready, stalls, drops
        for _ in range(frames):
            octets = random_frame(rng, rng.choice((OWN, OWN, OWN, "02:00:00:00:00:03")))
            await harness.send(Sent(octets, error=rng.random() < 0.2, idle=rng.choice((2, 2, 5, 200))))
        await harness.finish()
        good = [frame for frame in harness.sent if not frame.error]
        marks = {cycle: name for name, cycle in harness.marks if name != "stored"}
        fates = [marks.get(frame.ended + VERDICT_CYCLES, "stored") for frame in good]
        other = bytes.fromhex("020000000003")
        assert [fate == "filtered" for fate in fates] == [frame.octets[:6] == other for frame in good]
        assert {name: fates.count(name) for name in harness.counts} == harness.counts
        harness.check([frame for frame, fate in zip(good, fates, strict=True) if fate == "stored"])
        if ready == 0.003:
            assert harness.counts["missed"] > 10
            assert harness.counts["stored"] > 3


@bench_test
async def filters_follow_their_settings(dut):
    harness = await started(dut)
    rng = harness.rng
    dut.clear.value = 1
    await harness.wait(1)
    dut.clear.value = 0
    await harness.finish()
    vlans = {5, 4095, rng.randrange(1, 4096)}
    for vid in (*vlans, 6):
        for member in (1, vid in vlans):
            dut.vlan_vid.value, dut.vlan_member.value, dut.vlan_write.value = vid, member, 1
            await harness.wait(1)
    dut.vlan_write.value = 0
    vlans -= {6}
    for _ in range(40):
        settings = {name: rng.getrandbits(1) for name in ("all_multicast", "broadcast")}
        filtering, promiscuous = rng.getrandbits(1), rng.random() < 0.15
        groups = rng.getrandbits(64) & rng.getrandbits(64)
        await harness.finish()
        harness.clear()
        dut.hash.value, dut.vlan_filter.value, dut.promiscuous.value = groups, filtering, promiscuous
        dut.all_multicast.value, dut.broadcast.value = settings["all_multicast"], settings["broadcast"]
        for _ in range(20):
            near = bytearray.fromhex(OWN.replace(":", ""))
            near[rng.randrange(6)] ^= 1 << rng.randrange(8)
            group = bytes([rng.getrandbits(8) | 1]) + rng.randbytes(5)
            address = rng.choice((OWN, "ff:ff:ff:ff:ff:ff", bytes(near).hex(":"), group.hex(":"), "ff:ff:ff:ff:ff:fe"))
            tci = rng.choice((None, None, rng.choice((0, 5, 6, *vlans)) | rng.getrandbits(4) << 12))
            await harness.send(Sent(random_frame(rng, address, 200), tci=tci))
        await harness.finish()
        passed = [
            f for f in harness.sent if promiscuous or wanted(f, vlans, filtering=filtering, groups=groups, **settings)
        ]
        harness.check(passed)
        assert harness.counts == {"stored": len(passed), "filtered": 20 - len(passed), "missed": 0}


@bench_test
async def clear_empties_the_table(dut):
    harness = await started(dut)
    dut.vlan_filter.value = 1
    dut.vlan_vid.value, dut.vlan_member.value, dut.vlan_write.value = 77, 1, 1
    await harness.wait(1)
    dut.vlan_write.value = 0
    frame = bytes.fromhex(OWN.replace(":", "")) + bytes(54)
    await harness.send(Sent(frame, tci=77))
    dut.clear.value = 1
    await harness.wait(1)
    dut.clear.value = 0
    await harness.wait(1)
    await ReadOnly()
    assert int(dut.busy.value)
    await RisingEdge(dut.clk)
    await harness.wait(4100)
    await harness.send(Sent(frame, tci=77))
    await harness.finish()
    assert harness.counts == {"stored": 1, "filtered": 1, "missed": 0}


@bench_test
async def latencies_are_as_promised(dut):
    harness = await started(dut)
    frame = bytes.fromhex(OWN.replace(":", "")) + bytes(54)
    await harness.send(Sent(frame))
    await harness.finish()
    assert harness.offered[0] - harness.sent[0].ended == 9
    assert harness.sink.frames[0].octets[2:] == frame


@bench_test
async def the_shortest_frames_leave_faster_than_they_come(dut):
    harness = await started(dut)
    harness.ready_odds = 0
    frame = bytes.fromhex(OWN.replace(":", "")) + bytes(54)
    for _ in range(30):
        await harness.send(Sent(frame))
    await harness.wait(20)
    harness.ready_odds = 1
    await harness.finish()
    taken = [cycle for cycle, *_ in harness.out]
    beats = -(-(2 + len(frame)) // harness.lanes)
    assert {after - before for before, after in pairwise(taken)} == {beats + 1}

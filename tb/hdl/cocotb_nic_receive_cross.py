"""The whole NIC receives every size with every checksum, tag, number of buffers, stall and error; each is counted."""

import itertools
import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hardwire.stack.abi import RX_ALIGN_OCTETS, RX_PAD_OCTETS, RxFlags
from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import SOAK, THOROUGH, bench_test
from hardwire.tb.hdl.bench_nic import BENCH
from hardwire.tb.hdl.functional import kinds_to_receive, sample_received, write_bins
from hardwire.tb.hdl.gmii_carrier import with_fcs
from hardwire.tb.hdl.nic_receive_harness import ReceiveHarness
from hardwire.tb.hdl.rx_frames import complete_sum, expected_flags
from hardwire.tb.hdl.rx_ring_model import Buffer, Frame

_MAX_OCTETS = 9018
_FLAGS = {
    "none": RxFlags(0),
    "ipv4 good": RxFlags.CSUM_IPV4_GOOD,
    "ipv4 bad": RxFlags.CSUM_IPV4_BAD,
    "l4 good": RxFlags.CSUM_IPV4_GOOD | RxFlags.CSUM_L4_GOOD,
    "l4 bad": RxFlags.CSUM_IPV4_GOOD | RxFlags.CSUM_L4_BAD,
}
_TAG = b"\x81\x00"
_BATCH = 20  # Frames; their descriptors have room in the ring.


@dataclass
class Case:
    """A frame, on the wire and in memory, and the buffers that it takes."""

    wire: bytes
    frame: Frame
    buffers: list[Buffer]
    checksum: str
    tag: str


def _frame(rng: random.Random, octets: int, checksum: str) -> bytes:
    """Return a frame of so many octets whose checksums are as is said."""
    ether = Ether(dst=rng.randbytes(6).hex(":"), src="02:00:00:00:00:01", type=0x88B5 if checksum == "none" else 0x0800)
    if checksum == "none":
        return bytes(ether / Raw(rng.randbytes(octets - 14)))
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=rng.getrandbits(16), proto=253 if checksum == "ipv4 good" else 17)
    udp = b"" if checksum == "ipv4 good" else UDP(sport=rng.randrange(1, 1 << 16), dport=9)
    headers = len(bytes(ether / ip / udp))
    frame = bytearray(bytes(ether / ip / udp / Raw(rng.randbytes(octets - headers))))
    if checksum == "ipv4 bad":
        frame[22] ^= 1 << rng.randrange(8)  # Time to live.
    if checksum == "l4 bad":
        frame[rng.choice((34, 35, *range(42, octets)))] ^= 1 << rng.randrange(8)
    return bytes(frame)


def _octets(rng: random.Random, sizes: tuple[int, int], tag: str, buffers: str) -> int:
    """Return a size for which so many buffers are needed, seldom a very long one."""
    least, most = sizes
    least = max(least, RX_ALIGN_OCTETS * (int(buffers[0]) - 1) - RX_PAD_OCTETS + 1)
    most = min(most, _MAX_OCTETS - 4 * (tag == "taken off"))
    near = min(most, least + 100)
    return rng.choice((least, rng.randint(least, near), rng.randint(least, near), near if rng.random() < 0.9 else most))


def _lengths(rng: random.Random, octets: int, buffers: str) -> list[int]:
    """Return lengths of buffers, all of which the frame needs."""
    needed = RX_PAD_OCTETS + octets
    count = int(buffers) if buffers != "3.." else rng.randint(3, min(5, -(-needed // RX_ALIGN_OCTETS)))
    lengths: list[int] = []
    for left in reversed(range(count)):
        blocks = -(-(needed - sum(lengths)) // RX_ALIGN_OCTETS)
        lengths.append(RX_ALIGN_OCTETS * (rng.randint(1, blocks - left) if left else blocks + rng.choice((0, 1))))
    return lengths


def _case(harness: ReceiveHarness, sizes: tuple[int, int], checksum: str, tag: str, buffers: str) -> Case:
    rng, tci = harness.rng, harness.rng.getrandbits(16)
    octets = _octets(rng, sizes, tag, buffers)
    if tag == "kept":
        plain = _frame(rng, octets - 4, rng.choice(tuple(_FLAGS)))
        memory = wire = plain[:12] + _TAG + tci.to_bytes(2, "big") + plain[12:]
    else:
        memory = _frame(rng, octets, checksum)
        wire = memory if tag == "none" else memory[:12] + _TAG + tci.to_bytes(2, "big") + memory[12:]
    flags = expected_flags(memory)
    assert flags == _FLAGS[checksum]
    if tag == "taken off":
        flags |= RxFlags.VLAN
    frame = Frame(memory, complete_sum(memory), tci if tag == "taken off" else 0, flags)
    posted = [harness.random_buffer(length) for length in _lengths(rng, octets, buffers)]
    return Case(wire, frame, posted, checksum, tag)


def _misfit(harness: ReceiveHarness) -> Buffer:
    """Return a descriptor that is no good."""
    rng, good = harness.rng, harness.random_buffer(RX_ALIGN_OCTETS)
    kind = rng.randrange(4)
    if kind == 0:
        good.addr += rng.randrange(1, RX_ALIGN_OCTETS)
    elif kind == 1:
        good.length = 0
    elif kind == 2:
        good.length += rng.randrange(1, RX_ALIGN_OCTETS)
    else:
        good.unreadable = True
    return good


async def _meet(harness: ReceiveHarness, case: Case, error: str, counted: Counter[str]) -> None:
    """Let a frame come after its buffers were posted, with something wrong."""
    rng, buffers = harness.rng, case.buffers
    completed = True
    if error == "payload":
        rng.choice(buffers).refuses = True
    elif error == "descriptor":
        # In the middle of a frame it ends that; ahead of one it is completed by itself.
        last = len(buffers) - 1
        buffers[last:] = [_misfit(harness)] if last else [_misfit(harness), buffers[0]]
    elif error == "no buffer":
        buffers = buffers[:-1]
        completed = bool(buffers)
    for buffer in buffers:
        harness.put_buffer(buffer)
    if buffers:
        await harness.post()
    if error == "wire":
        await _damaged(harness, case.wire, counted)
    if completed:
        harness.model.frames.append(case.frame)
    else:
        counted["RX_NO_BUFFER"] += 1
    await harness.carry(with_fcs(case.wire))
    counted["RX_FRAMES"] += 1
    if error == "no buffer":  # Or what is posted for the next frame comes in time.
        await harness.finish()


async def _damaged(harness: ReceiveHarness, wire: bytes, counted: Counter[str]) -> None:
    rng, octets = harness.rng, bytearray(with_fcs(wire))
    if rng.random() < 0.5:
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        counted["RX_FCS_ERRORS"] += 1
        await harness.carry(octets)
    else:
        counted["RX_SYMBOL_ERRORS"] += 1
        await harness.carry(octets, error_at=rng.randrange(len(octets)))


def _stall(harness: ReceiveHarness, stall: str) -> None:
    """Let the bus or host memory be slow, though faster than frames come."""
    harness.stall(0.0 if stall != "bus" else 0.7 if len(harness.dut.m_axi_wdata) > 32 else 0.4)
    harness.memory.latency = (125, 125) if stall == "memory" else (0, 0)
    responses = harness.writer.b_channel
    responses.queue_occupancy_limit = 32
    if stall == "memory":
        responses.set_pause_generator(itertools.cycle((True,) * 125 + (False,) * 8))


@bench_test
async def every_size_is_received_with_every_checksum_tag_stall_error_and_number_of_buffers(dut):
    """All in full in a soak, by the variants together for coverage; else a part, chosen at random."""
    harness = ReceiveHarness(dut)
    await harness.start_receiving(log2=7)
    kinds = kinds_to_receive()
    random.Random(seed()).shuffle(kinds)  # For all variants alike.
    if not THOROUGH:
        kinds = kinds[:24]
    elif not SOAK:
        kinds = kinds[list(BENCH.variants.values()).index(parameters()) :: len(BENCH.variants)]
    alike = defaultdict(list)
    for *kind, stall, error in kinds:
        alike[stall, error, kind[2] == "kept"].append(kind)
    counted: Counter[str] = Counter()
    for (stall, error, kept), batch in sorted(alike.items()):
        _stall(harness, stall)
        harness.write_errors = 0.3 if error == "completion" else 0.0
        await harness.filter(strip=not kept)
        for start in range(0, len(batch), _BATCH):
            cases = [_case(harness, *kind) for kind in batch[start : start + _BATCH]]
            needed = [len(case.buffers) for case in cases]
            failures = harness.write_failures
            for case in cases:
                await _meet(harness, case, error, counted)
            await harness.finish()
            failed = harness.write_failures > failures  # Of a few frames' completions perhaps none.
            assert failed <= (error == "completion")
            for case, buffers in zip(cases, needed, strict=True) if failed or error != "completion" else ():
                sample_received(len(case.frame.octets), case.checksum, case.tag, buffers, stall, error)
    names = {"delivered": "RX_DELIVERED", "no_buffer": "RX_NO_BUFFER", "bus_error": "RX_BUS_ERRORS"}
    for name, counter in {**names, "refused": "RX_REFUSED", "disabled": "RX_DISABLED"}.items():
        counted[counter] += harness.model.counts[name]
    counted["RX_VLAN"] = sum(bool(flags & RxFlags.VLAN) for flags in harness.model.flags)
    bad = RxFlags.CSUM_IPV4_BAD | RxFlags.CSUM_L4_BAD
    counted["RX_CSUM_ERRORS"] = sum(bool(flags & bad) for flags in harness.model.flags)
    for name in ("RX_FRAMES", "RX_FCS_ERRORS", "RX_SYMBOL_ERRORS", "RX_MISSED", "RX_FILTERED", *counted):
        assert await harness.counter(name) == counted[name], name
    assert (await harness.counter("RX_CPL_RETRIES") > 0) == (harness.write_failures > 0)
    write_bins()

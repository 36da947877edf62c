"""The whole NIC meets every size with every offload, stall and error; each is counted for functional coverage."""

import itertools
import random

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hardwire.stack.abi import TxFlags, TxStatus
from hardwire.tb.cocotb_test import THOROUGH, bench_test
from hardwire.tb.hdl.cocotb_nic import check_wire, started
from hardwire.tb.hdl.functional import ERRORS, OFFLOADS, SIZES_OCTETS, STALLS, sample, write_bins
from hardwire.tb.hdl.nic_frames import FrameToSend
from hardwire.tb.hdl.nic_harness import Harness

_HEADERS_OCTETS = 14 + 20 + 8
_FLAGS = {
    "none": TxFlags(0),
    "ipv4": TxFlags.CSUM_IPV4,
    "l4": TxFlags.CSUM_L4,
    "resolve": TxFlags.RESOLVE,
    "all": TxFlags.CSUM_IPV4 | TxFlags.CSUM_L4 | TxFlags.RESOLVE,
}


def _frame(rng: random.Random, octets: int, offload: str, neighbours: dict[int, bytes]) -> FrameToSend:
    """Return a UDP datagram in a frame of so many octets, with what is left to the device filled with noise."""
    flags = _FLAGS[offload]
    headers = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="10.0.0.2") / UDP()
    wire = bytearray(bytes(headers / Raw(rng.randbytes(octets - _HEADERS_OCTETS))))
    sent = bytearray(wire)
    fields = {"flags": flags, "l3_start": 14, "csum_start": 34, "csum_offset": 6}
    if flags & TxFlags.CSUM_IPV4:
        sent[24:26] = rng.randbytes(2)
    if flags & TxFlags.CSUM_L4:
        sent[40:42] = rng.randbytes(2)
    if flags & TxFlags.RESOLVE:
        fields["next_hop"], wire[:6] = rng.choice(list(neighbours.items()))
    return FrameToSend(bytes(sent), bytes(wire), fields)


async def _meet(harness: Harness, stall: str, error: str, kinds: list[tuple[tuple[int, int], str]]) -> None:
    """Send a frame of each kind, and compare what became of it."""
    rng = harness.rng
    harness.stall(0.7 if stall == "bus" else 0.0)
    harness.memory.latency = (125, 125) if stall == "memory" else (0, 0)
    harness.write_errors = 0.5 if error == "completion" else 0.0
    harness.bad.clear()
    harness.completions.clear()
    harness.wire.clear()
    failures = harness.write_failures
    frames = []
    for (least, most), offload in kinds:
        least = max(least, _HEADERS_OCTETS)
        octets = rng.choice(
            (least, most, rng.randint(least, most)) if most < 2000 else (least, rng.randint(least, 2000))
        )
        frames.append((_frame(rng, octets, offload, harness.neighbours), octets, offload))
        addresses = harness.put(frames[-1][0], parts=rng.choice((1, 2)))
        if error == "payload":
            harness.bad.add(rng.choice(addresses))
    await harness.ring()
    status = TxStatus.PAYLOAD_ERROR if error == "payload" else TxStatus.OK
    assert await harness.complete(len(frames), cycles=1_000_000) == [status] * len(frames)
    check_wire(harness.wire, [] if error == "payload" else [frame.wire for frame, _, _ in frames])
    failed = harness.write_failures > failures  # Of the few frames of a sample perhaps none.
    assert failed or error != "completion" or not THOROUGH
    assert error == "completion" or not failed
    await harness.acknowledge()
    for _, octets, offload in frames if failed or error != "completion" else ():
        sample(octets, offload, stall, error)


@bench_test
async def every_size_meets_every_offload_stall_and_error(dut):
    """In full when it may take long; else a part, chosen at random."""
    harness = await started(dut, log2=7)
    await harness.insert_neighbours(8)
    kinds = list(itertools.product(SIZES_OCTETS, OFFLOADS))
    for stall, error in itertools.product(STALLS, ERRORS):
        await _meet(harness, stall, error, kinds if THOROUGH else harness.rng.sample(kinds, 3))
    write_bins()

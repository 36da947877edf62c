"""What only MII has: halves of octets too many at both ends of a frame."""

import random
import zlib

from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.hdl.rx.frame import RxFrameStatus
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.phy_harness import Harness


async def put(dut, rng: random.Random, nibbles: list[int], gap: int, error_at: int | None = None) -> None:
    """Put a carrier event on the pins, with ``rx_er`` high in one of its cycles."""
    for number, nibble in enumerate(nibbles):
        dut.rx_dv.value = 1
        dut.rxd.value = nibble
        dut.rx_er.value = number == error_at
        await RisingEdge(dut.phy_rx_clk)
    dut.rx_dv.value = 0
    dut.rx_er.value = 0
    for _ in range(gap):
        dut.rxd.value = rng.getrandbits(4)
        await RisingEdge(dut.phy_rx_clk)


@bench_test
async def frames_start_with_the_delimiter_and_a_half_octet_at_the_end_is_told(dut):
    harness = Harness(dut)
    await harness.start(sync_ps=8_000)
    rng, good, ends = harness.rng, [], []
    dut.rx_er.value = 0
    await ClockCycles(dut.phy_rx_clk, 4)  # PHY's model lets go of the pins.
    for preamble in (*range(1, 17), *(rng.randint(1, 16) for _ in range(10))):
        octets = harness.frame(rng.randint(60, 80))
        fcs = zlib.crc32(octets)
        broken, odd = rng.random() < 0.5, rng.random() < 0.5
        frame = octets + (fcs ^ broken).to_bytes(4, "little")
        nibbles = [0x5] * preamble + [0xD] + [half for octet in frame for half in (octet & 15, octet >> 4)]
        nibbles += [rng.getrandbits(4)] * odd
        if not broken:
            good.append(octets)
            ends.append(RxFrameStatus.OK)
        else:
            ends.append(RxFrameStatus.ALIGNMENT_ERROR if odd else RxFrameStatus.FCS_ERROR)
        await put(dut, rng, nibbles, gap=rng.choice((2, 3, 24)))
    await harness.heard(len(ends))
    assert harness.ends == ends
    assert harness.received == good


@bench_test
async def an_error_in_either_half_of_an_octet_counts(dut):
    harness = Harness(dut)
    await harness.start(sync_ps=8_000)
    octets = harness.frame(60)
    frame = octets + zlib.crc32(octets).to_bytes(4, "little")
    nibbles = [0x5] * 15 + [0xD] + [half for octet in frame for half in (octet & 15, octet >> 4)]
    dut.rx_er.value = 0
    await ClockCycles(dut.phy_rx_clk, 4)
    places = [*range(16, 20), *range(len(nibbles) - 4, len(nibbles)), None]
    for place in places:
        await put(dut, harness.rng, nibbles, 24, error_at=place)
    await harness.heard(len(places))
    assert harness.ends == [RxFrameStatus.SYMBOL_ERROR] * 8 + [RxFrameStatus.OK]

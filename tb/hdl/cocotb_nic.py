"""The whole NIC under Verilator: from descriptors in host memory to frames on GMII."""

import zlib

from cocotb.triggers import ClockCycles

from hardwire.stack.abi import ARP, GLOBAL, STATS, TXQ, ArpOp, TxStatus
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.nic_frames import FrameToSend, random_frame, udp6_frame
from hardwire.tb.hdl.nic_harness import Harness, OnWire

PREAMBLE_AND_SFD = bytes([0x55] * 7 + [0xD5])
GAP_OCTETS = 12


async def started(dut, **options) -> Harness:
    """Return a harness with the queue enabled."""
    harness = Harness(dut)
    await harness.start(**options)
    return harness


def check_wire(frames: list[OnWire], expected: list[bytes]) -> None:
    """Compare what was sent, padding and FCS included; gaps may not be too short."""
    assert len(frames) == len(expected)
    for frame, octets in zip(frames, expected, strict=True):
        padded = octets.ljust(60, b"\0")
        assert frame.octets[:8] == PREAMBLE_AND_SFD
        assert frame.octets[8:-4].hex() == padded.hex()
        assert frame.octets[-4:] == zlib.crc32(padded).to_bytes(4, "little")
        assert not frame.errors
    for before, after in zip(frames, frames[1:], strict=False):
        assert after.start - before.end >= GAP_OCTETS


async def counter(harness: Harness, name: str) -> int:
    """Read a counter of 64 bits."""
    low = await harness.get(STATS, f"{name}_LO")
    return low["value"] | (await harness.get(STATS, f"{name}_HI"))["value"] << 32


@bench_test
async def it_says_what_it_is(dut):
    harness = await started(dut)
    assert (await harness.get(GLOBAL, "ID"))["value"] == GLOBAL["ID"].reset
    assert (await harness.get(GLOBAL, "QUEUES"))["tx_queues"] == 1
    widths = await harness.get(GLOBAL, "WIDTHS")
    assert widths["axi_octets"] == len(dut.m_axi_rdata) // 8
    assert (widths["arp_sets_log2"], widths["arp_ways"]) == (6, 4)
    assert (await harness.get(GLOBAL, "LIMITS"))["max_frame_octets"] == 9018
    assert (await harness.get(GLOBAL, "FEATURES"))["tx_flags"] == 0b1111111


@bench_test
async def random_frames_go_out_right_or_are_completed_with_a_reason(dut):
    harness = await started(dut, log2=7)
    rng = harness.rng
    await harness.insert_neighbours(20)
    expected, statuses = [], []
    for _ in range(5):
        harness.stall()
        harness.memory.latency = rng.choice(((0, 0), (0, 60), (125, 125), (0, 250)))
        harness.write_errors = rng.choice((0.0, 0.2))
        harness.bad.clear()
        used = 0
        while not used or (used < 100 and rng.random() < 0.97):
            frame = random_frame(rng, neighbours=harness.neighbours)
            parts = rng.choice((1, 1, 2, 3, 18))
            used += parts
            addresses = harness.put(frame, parts=parts)
            if frame.status is TxStatus.OK and rng.random() < 0.05:
                harness.bad.add(rng.choice(addresses))
                frame.status = TxStatus.PAYLOAD_ERROR
            statuses.append(frame.status)
            if frame.status is TxStatus.OK:
                expected.append(frame.tagged)
            if rng.random() < 0.3:
                await harness.ring()
        await harness.ring()
        assert await harness.complete(len(statuses)) == statuses
        assert dut.irq.value
        await harness.acknowledge()
    check_wire(harness.wire, expected)
    refused = (TxStatus.BAD_LENGTH, TxStatus.BAD_CHECKSUM_FIELD)
    assert await counter(harness, "TX_FRAMES") == len(expected)
    assert await counter(harness, "TX_OCTETS") == sum(max(64, len(octets) + 4) for octets in expected)
    assert await counter(harness, "TX_RESOLVE_MISSES") == statuses.count(TxStatus.RESOLVE_MISS)
    assert await counter(harness, "TX_BUS_ERRORS") == statuses.count(TxStatus.PAYLOAD_ERROR)
    assert await counter(harness, "TX_REFUSED") == sum(status in refused for status in statuses)
    assert await counter(harness, "TX_UNDERRUNS") == 0
    assert await counter(harness, "TX_ABORTED") == 0
    assert (await counter(harness, "TX_CPL_RETRIES") > 0) == (harness.write_failures > 0)


@bench_test
async def ipv6_udp_goes_out_right_through_csum_start(dut):
    harness = await started(dut)
    frames = [udp6_frame(harness.rng, size=size) for size in (0, 1, 2, 3, 7, 8, 9, 100, 1431)]
    for frame in frames:
        harness.put(frame, parts=harness.rng.choice((1, 2)))
    await harness.ring()
    assert await harness.complete(len(frames)) == [TxStatus.OK] * len(frames)
    check_wire(harness.wire, [frame.wire for frame in frames])


@bench_test
async def a_miss_does_not_block_other_destinations(dut):
    """Fault: an ARP miss blocks all transmit until it is resolved."""
    harness = await started(dut)
    await harness.insert_neighbours(1)
    rng, expected, statuses = harness.rng, [], []
    for number in range(20):
        neighbours = harness.neighbours if number % 2 else {}
        frame = FrameToSend(octets := rng.randbytes(60), octets)
        frame.fields = {"flags": 1 << 5, "next_hop": next(iter(neighbours), 0xE0000001)}
        statuses.append(TxStatus.OK if neighbours else TxStatus.RESOLVE_MISS)
        if neighbours:
            expected.append(next(iter(neighbours.values())) + octets[6:])
        harness.put(frame)
    await harness.ring()
    assert await harness.complete(len(statuses)) == statuses
    check_wire(harness.wire, expected)


@bench_test
async def line_rate_at_1_us_of_read_latency(dut):
    """Sizes are those of the frame with FCS; after the first frame all gaps are the least."""
    harness = await started(dut)
    harness.memory.latency = (125, 125)
    total = 0
    for size, count in ((64, 24), (65, 20), (128, 12), (511, 6), (1518, 4), (9018, 2)):
        for number in range(count):
            octets = harness.rng.randbytes(size - 4)
            harness.put(FrameToSend(octets, octets), align=number * 37 % 256)
        await harness.ring()
        total += count
        await harness.complete(total)
        frames = harness.wire[-count:]
        gaps = [after.start - before.end for before, after in zip(frames, frames[1:], strict=False)]
        # On a bus of 32 bits the first descriptors are a burst of 32 beats each, which the second frame may wait for.
        settled = gaps[len(dut.m_axi_rdata) < 64 :]
        assert set(settled) <= {GAP_OCTETS}, f"{size} octets: {gaps}"


@bench_test
async def doorbell_to_preamble_takes_60_cycles_at_most(dut):
    harness = await started(dut)
    octets = harness.rng.randbytes(60)
    harness.put(FrameToSend(octets, octets), align=0)
    await harness.ring()
    await harness.complete(1)
    cycles = harness.wire[0].start - harness.doorbell_cycle
    dut._log.warning("doorbell to preamble: %d cycles", cycles)
    assert cycles <= 60


@bench_test
async def a_reset_completes_what_was_not_sent_as_aborted(dut):
    harness = await started(dut, log2=5)
    rng = harness.rng
    for round_number in range(8):
        harness.stall()
        harness.memory.latency = rng.choice(((0, 0), (125, 125), (0, 250)))
        harness.completions.clear()
        harness.wire.clear()
        frames = [FrameToSend(octets := rng.randbytes(rng.randint(14, 300)), octets) for _ in range(25)]
        for frame in frames:
            harness.put(frame)
        await harness.ring()
        await ClockCycles(dut.clk, rng.choice((0, 10, 100, rng.randrange(4000))))
        if round_number % 2:
            await harness.soft_reset()
        else:
            await harness.set(TXQ, "CTRL", enable=1, reset=1)
            while (await harness.get(TXQ, "STATUS"))["resetting"]:
                pass
        await harness.settle()
        harness.poll()
        statuses = [completion["status"] for completion in harness.completions]
        assert set(statuses) <= {TxStatus.OK, TxStatus.ABORTED}
        assert [c["index"] for c in harness.completions] == list(range(len(statuses)))
        check_wire(harness.wire, [f.wire for f, s in zip(frames, statuses, strict=False) if s == TxStatus.OK])
        assert not (await harness.get(TXQ, "CTRL"))["enable"]
        await harness.configure(log2=5)


@bench_test
async def a_soft_reset_flushes_the_arp_cache(dut):
    harness = await started(dut)
    await harness.insert_neighbours(5)
    key = next(iter(harness.neighbours))
    assert (await harness.arp(ArpOp.INSERT, key=key, mac=harness.neighbours[key]))["found"]
    await harness.soft_reset()
    assert not (await harness.arp(ArpOp.DELETE, key=key))["found"]


@bench_test
async def idle_and_wake_in_tell_what_can_happen(dut):
    harness = await started(dut)
    await harness.set(TXQ, "IRQ_TIME", cycles=1000)
    await harness.set(TXQ, "IRQ_COUNT", completions=10)
    await harness.settle()
    assert int(dut.wake_in.value) == 0xFFFFFFFF
    octets = harness.rng.randbytes(60)
    harness.put(FrameToSend(octets, octets))
    await harness.ring()
    await ClockCycles(dut.clk, 10)
    assert not dut.idle.value
    await harness.complete(1)
    wake_in = int(dut.wake_in.value)
    assert 800 < wake_in < 1000
    assert not dut.irq.value
    before = (await harness.get(GLOBAL, "CYCLES_LO"))["value"]
    cycle = harness.cycle
    await ClockCycles(dut.clk, 10)
    jump = int(dut.wake_in.value) - 10
    dut.advance_cycles.value = jump
    dut.advance_stb.value = 1
    await ClockCycles(dut.clk, 1)
    dut.advance_stb.value = 0
    await ClockCycles(dut.clk, 6)
    assert not dut.irq.value
    await ClockCycles(dut.clk, 8)
    assert dut.irq.value
    after = (await harness.get(GLOBAL, "CYCLES_LO"))["value"]
    assert after - before - jump == harness.cycle - cycle


@bench_test
async def a_reset_sends_nothing_of_frames_whose_octets_are_still_to_come(dut):
    harness = await started(dut)
    harness.memory.latency = (250, 250)
    for _ in range(8):
        octets = harness.rng.randbytes(60)
        harness.put(FrameToSend(octets, octets))
    await harness.ring()
    while harness.memory.reads < 4:  # Two for the descriptors.
        await ClockCycles(dut.clk, 1)
    await harness.soft_reset()
    await ClockCycles(dut.clk, 400)
    harness.poll()
    statuses = [completion["status"] for completion in harness.completions]
    assert statuses == [TxStatus.ABORTED] * 8
    assert not harness.wire
    assert await counter(harness, "TX_ABORTED") == 8
    assert await counter(harness, "TX_REFUSED") == 0


@bench_test
async def it_is_not_idle_while_the_arp_cache_works(dut):
    harness = await started(dut)
    await harness.settle()
    await harness.set(ARP, "OP", op=ArpOp.FLUSH)
    for _ in range(200):
        await ClockCycles(dut.clk, 1)
        assert not dut.idle.value
    await ClockCycles(dut.clk, 200)
    assert dut.idle.value
    assert not (await harness.get(ARP, "STATUS"))["busy"]

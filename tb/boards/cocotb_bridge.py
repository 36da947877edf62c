"""The host bridge under Verilator: what the host tells the card, what the device reads and writes."""

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time

from hardwire.stack.abi.bridge import BRIDGE_VERSION, BridgeKind
from hardwire.tb.bench import parameters
from hardwire.tb.boards.bridge_harness import OCTET_NS, REGISTERS_OCTETS, BridgeHarness, started
from hardwire.tb.cocotb_test import bench_test

_DECERR = 3


@bench_test
async def reset_is_answered_by_hello(dut):
    harness = await started(dut)
    for nonce in (1, 0x7D7E7D7E):
        hello = await harness.reset(nonce)
        assert hello["version"] == BRIDGE_VERSION
        assert hello["memory_octets"] == parameters()["memory_octets"]
        assert hello["window_octets"] == parameters()["window_octets"]
        assert hello["rejected"] == 0


@bench_test
async def registers_are_written_and_read_in_order(dut):
    harness = await started(dut)
    rng = harness.rng
    harness.stall(0.0, 0.5)
    model: dict[int, int] = {}
    for _ in range(12):
        offset = 4 * rng.randrange(REGISTERS_OCTETS // 4)
        for _ in range(rng.randrange(4)):
            value = rng.getrandbits(32)
            harness.set(offset, value)
            model[offset] = value
        assert await harness.get(offset) == {
            "value": model.get(offset, 0),
            "resp": 0,
            "reserved_0": 0,
            "reserved_1": 0,
        }
    for offset in (REGISTERS_OCTETS, 1 << 16, 1 << 31):  # The model has none; the bus has no such address.
        harness.set(offset, 1)
        assert (await harness.get(offset))["resp"] != 0


async def _reads_match(harness: BridgeHarness, octets: bytes) -> None:
    """Read memory in random bursts, several at a time."""
    rng, size = harness.rng, harness.beat_octets

    async def read() -> None:
        for _ in range(8):
            beats = rng.choice((1, 2, 16, 32, rng.randrange(1, 64)))
            at = rng.randrange((len(octets) - beats * size) // size + 1) * size
            answer = await harness.reader.read(at, beats * size, arid=rng.randrange(32))
            assert answer.resp == 0
            assert answer.data == octets[at : at + beats * size]

    for reader in [cocotb.start_soon(read()) for _ in range(6)]:
        await reader


@bench_test
async def the_device_reads_what_the_host_wrote(dut):
    harness = await started(dut)
    octets = harness.rng.randbytes(harness.memory_octets // 2)
    harness.write(0, octets[:2048])
    await harness.sent()
    shorter = harness.rng.randrange(1, 30) * 8
    harness.write(2048, octets[2048:], part_octets=shorter)
    await harness.sent()
    for odds in (0.0,), (0.3, 0.8):
        harness.stall(*odds)
        await _reads_match(harness, octets)


@bench_test
async def addresses_outside_the_memory_give_errors_and_change_nothing(dut):
    harness = await started(dut)
    octets = harness.rng.randbytes(64)
    harness.write(0, octets)
    for outside in (harness.memory_octets, 1 << 31):
        harness.write(outside, bytes(64))
    await harness.sent()
    for outside in (harness.memory_octets, 1 << 31, 1 << 32, 1 << 63):
        answer = await harness.reader.read(outside, 64)
        assert answer.resp == _DECERR
        assert len(answer.data) == 64
    assert (await harness.reader.read(0, 64)).data == octets


@bench_test
async def bursts_follow_each_other_without_a_gap(dut):
    harness = await started(dut)
    size = harness.beat_octets
    for _ in range(2):
        reads = [harness.reader.init_read(at * 16 * size, 16 * size) for at in range(8)]
        await RisingEdge(dut.axi_rvalid)
        beats, gaps = 0, 0
        while beats < 8 * 16:
            await RisingEdge(dut.clk)
            taken = bool(dut.axi_rvalid.value and dut.axi_rready.value)
            beats += taken
            gaps += not taken
        assert gaps == 0
        for read in reads:
            await read.wait()


@bench_test
async def exactly_the_octets_with_a_strobe_reach_the_host(dut):
    harness = await started(dut)
    rng, size = harness.rng, harness.beat_octets
    harness.stall(0.0, 0.4)
    model: dict[int, int] = {}
    expected, got = [], []
    limit = 256
    for number in range(14):
        if number % 5 == 4:
            limit = rng.choice((8, 9, 100))
            await harness.until(lambda: harness.host_memory == model)
            harness.limit(limit)
            await harness.sent()
            harness.events.clear()
        beats = rng.choice((1, 2, rng.randrange(1, 24)))
        page = rng.getrandbits(20) << 12
        first = rng.randrange((4096 - beats * size) // size + 1) * size
        address = page + first
        strobes = [rng.choice(((1 << size) - 1, (1 << size) - 1, 0, rng.getrandbits(size))) for _ in range(beats)]
        data = [rng.getrandbits(8 * size) for _ in range(beats)]
        harness.burst(
            address + (rng.randrange(size) if beats == 1 else 0), list(zip(data, strobes, strict=True)), number=number
        )
        for beat in range(beats):
            for lane in range(size):
                if strobes[beat] >> lane & 1:
                    model[address + beat * size + lane] = data[beat] >> 8 * lane & 0xFF
        expected.append((number, 0))
        if rng.random() < 0.5:
            got.append(await harness.response())
            await harness.until(lambda: harness.host_memory == model)
            assert all(length <= limit for _, length in harness.events)
    while len(got) < len(expected):
        got.append(await harness.response())
    await harness.until(lambda: harness.host_memory == model)
    assert got == expected


@bench_test
async def a_write_that_has_no_place_on_the_host_is_refused(dut):
    harness = await started(dut)
    harness.burst(1 << 32, harness.beats(bytes(32)), number=3)
    assert await harness.response() == (3, _DECERR)
    harness.burst(0x8000_0000, harness.beats(b"abcd"), number=4)
    assert await harness.response() == (4, 0)
    await harness.until(lambda: bool(harness.host_memory))
    assert harness.host_memory == {0x8000_0000 + at: octet for at, octet in enumerate(b"abcd")}


@bench_test
async def the_interrupt_comes_behind_the_writes_before_it(dut):
    harness = await started(dut)
    level = 0
    for number in range(8):
        for _ in range(harness.rng.randrange(3)):
            harness.burst(256 * number, harness.beats(harness.rng.randbytes(40)))
            assert (await harness.response())[1] == 0
        level ^= 1
        dut.irq.value = level
        await harness.until(lambda: any(kind is BridgeKind.IRQ for kind, _ in harness.events))
        kinds = [kind for kind, _ in harness.events]
        assert harness.events[-1] == (BridgeKind.IRQ, level)
        assert kinds.count(BridgeKind.IRQ) == 1
        harness.events.clear()
    await ClockCycles(dut.clk, 5000)
    harness.take()
    assert harness.events == []


@bench_test
async def a_register_is_read_behind_the_writes_before_it(dut):
    harness = await started(dut)
    for number in range(4):
        harness.burst(256 * number, harness.beats(harness.rng.randbytes(40)))
        await harness.response()
        await harness.get(0)
        assert len(harness.host_memory) == 40 * (number + 1)


@bench_test
async def both_ways_carry_nine_tenths_of_the_lines_rate(dut):
    harness = await started(dut)
    rng, burst_octets = harness.rng, 32 * harness.beat_octets
    ahead, back = rng.randbytes(2048), rng.randbytes(2048)
    for way in ("down", "up", "both"):
        start = get_sim_time("ns")
        harness.host_memory.clear()
        if way != "up":
            harness.write(0, ahead)
        if way != "down":
            for at in range(0, len(back), burst_octets):
                harness.burst(0x8000_0000 + at, harness.beats(back[at : at + burst_octets]))
        await harness.until(
            lambda way=way: not harness.peer.unacknowledged and (way == "down" or len(harness.host_memory) == len(back))
        )
        octets = (get_sim_time("ns") - start) / OCTET_NS
        share = len(ahead) / octets
        assert share >= (0.9 if burst_octets == 256 or way == "down" else 0.85)
        if way != "down":
            assert harness.host_memory == {0x8000_0000 + at: octet for at, octet in enumerate(back)}
        while not harness.b.empty():
            assert int(harness.b.recv_nowait().bresp) == 0
    assert (await harness.reader.read(0, len(ahead))).data == ahead
    assert (harness.peer.sent_again, harness.peer.rejects) == (0, 0)

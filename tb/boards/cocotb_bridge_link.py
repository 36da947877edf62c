"""The host bridge under Verilator: a line that damages and loses, windows that are full, RESET at any time."""

import cocotb
from cocotb.triggers import ClockCycles

from hardwire.stack.abi.bridge import BRIDGE_REG_READ, BRIDGE_REG_VALUE, BRIDGE_WINDOW_FRAMES, BridgeKind
from hardwire.tb.bench import parameters
from hardwire.tb.boards.bridge_harness import OCTET_NS, BridgeHarness, started
from hardwire.tb.cocotb_test import SOAK, THOROUGH, bench_test

_ROUNDS = 60 if SOAK else 3
long_test = cocotb.test(timeout_time=800 if THOROUGH else 60, timeout_unit="ms")  # A lost REJECT costs a retry time.


async def _exchange(harness: BridgeHarness, *, part_octets: int, octets: int) -> None:
    """Send random octets both ways, with registers and interrupts in between; all must arrive, once and in order."""
    rng, size = harness.rng, harness.beat_octets
    ahead, back = rng.randbytes(octets), rng.randbytes(octets)
    count = octets // part_octets
    values = [rng.getrandbits(32) for _ in range(count)]
    harness.events.clear()
    harness.host_memory.clear()

    async def device() -> None:
        level = int(harness.dut.irq.value)
        for number in range(count):
            at = number * part_octets
            harness.burst(0x8000_0000 + at, harness.beats(back[at : at + part_octets]), number=number % 32)
            assert await harness.response() == (number % 32, 0)
            level ^= 1
            harness.dut.irq.value = level
            await ClockCycles(harness.dut.clk, 4)

    writer = cocotb.start_soon(device())
    levels = [int(harness.dut.irq.value) ^ (number + 1) % 2 for number in range(count)]
    for number, value in enumerate(values):
        at = number * part_octets
        harness.write(at, ahead[at : at + part_octets])
        harness.set(0x10, value)
        harness.peer.send(BridgeKind.REG_READ, BRIDGE_REG_READ.pack(offset=0x10))
    await writer
    await harness.until(lambda: not harness.peer.unacknowledged and len(harness.events) >= 3 * count)
    await ClockCycles(harness.dut.clk, 20 * 80)
    harness.take()
    assert harness.host_memory == {0x8000_0000 + at: octet for at, octet in enumerate(back)}
    assert (await harness.reader.read(0, octets // size * size)).data == ahead
    assert [level for kind, level in harness.events if kind is BridgeKind.IRQ] == levels
    answers = [
        BRIDGE_REG_VALUE.unpack(one.to_bytes(8, "little"))
        for kind, one in harness.events
        if kind is BridgeKind.REG_VALUE
    ]
    assert [answer["value"] for answer in answers] == values
    assert len(harness.events) == 3 * count


@long_test
async def all_arrives_once_and_in_order_over_a_line_that_errs(dut):
    harness = await started(dut)
    harness.limit(16)
    await harness.sent()
    harness.peer.retry_ns = 300 * OCTET_NS
    for number in range(_ROUNDS):
        odds = (0.01, 0.0) if number % 3 == 0 else (0.0, 0.01) if number % 3 == 1 else (0.01, 0.01)
        harness.line.faults = dict(zip(("to_card", "to_host"), odds, strict=True))
        await _exchange(harness, part_octets=16, octets=160)
    assert harness.peer.sent_again > 0
    assert harness.peer.decoder.damaged > 0
    harness.line.faults = {"to_card": 0.0, "to_host": 0.0}
    await harness.sent()
    assert (await harness.reset(5))["rejected"] > 0


@bench_test
async def long_frames_survive_single_errors(dut):
    harness = await started(dut)
    harness.line.faults = {"to_card": 0.0007, "to_host": 0.0007}
    await _exchange(harness, part_octets=128, octets=1024)


@bench_test
async def numbers_go_round(dut):
    harness = await started(dut)
    for _ in range(300):
        harness.set(0, harness.rng.getrandbits(32))
    harness.set(0, 0xCAFE)
    for number in range(150):
        dut.irq.value = ~number & 1
        await ClockCycles(dut.clk, 16)
    await harness.sent()
    assert (await harness.get(0))["value"] == 0xCAFE
    assert harness.peer.sent_again == 0


@bench_test
async def without_acknowledgements_the_card_stops_and_repeats(dut):
    harness = await started(dut)
    peer = harness.peer
    peer.hold_acks = True
    octets = harness.rng.randbytes(parameters()["window_octets"] + 1024)
    burst_octets = 64
    for at in range(0, len(octets), burst_octets):
        harness.burst(at, harness.beats(octets[at : at + burst_octets]))
    seen = len(harness.host_memory)
    while True:  # Until nothing comes any more.
        await ClockCycles(dut.clk, 80 * 300)
        harness.take()
        if len(harness.host_memory) == seen:
            break
        seen = len(harness.host_memory)
    assert 0 < seen < len(octets)
    octets_before = harness.line.octets["to_host"]
    await ClockCycles(dut.clk, 80 * (parameters()["retry_octets"] + 200))
    assert harness.line.octets["to_host"] - octets_before > seen // 2, "nothing was sent again"
    # A read now waits for room; what the host acknowledges then makes it.
    harness.set(0, 0x1234)
    peer.send(BridgeKind.REG_READ, BRIDGE_REG_READ.pack(offset=0))
    await ClockCycles(dut.clk, 80 * 300)
    peer.hold_acks = False
    await harness.until(lambda: len(harness.host_memory) == len(octets))
    await harness.until(lambda: any(kind is BridgeKind.REG_VALUE for kind, _ in harness.events))
    assert harness.host_memory == dict(enumerate(octets))


@long_test
async def frames_that_find_no_room_come_again(dut):
    harness = await started(dut)
    rng, peer = harness.rng, harness.peer
    peer.hold_acks = True
    octets = rng.randbytes(parameters()["window_octets"])
    for at in range(0, len(octets), 64):
        harness.burst(at, harness.beats(octets[at : at + 64]))
    # A read whose answer finds no room holds up what comes behind it: more than the card has a buffer for.
    await ClockCycles(dut.clk, 80 * len(octets) * 3 // 2)
    peer.send(BridgeKind.REG_READ, BRIDGE_REG_READ.pack(offset=0))
    ahead = rng.randbytes(3072)
    harness.write(0, ahead)
    await ClockCycles(dut.clk, 80 * 3300)
    assert peer.unacknowledged > 0
    peer.hold_acks = False
    await harness.until(lambda: not peer.unacknowledged and len(harness.host_memory) == len(octets))
    assert harness.host_memory == dict(enumerate(octets))
    assert (await harness.reader.read(0, len(ahead))).data == ahead
    assert [kind for kind, _ in harness.events].count(BridgeKind.REG_VALUE) == 1


@bench_test
async def no_more_frames_are_under_way_than_numbers_tell_apart(dut):
    harness = await started(dut)
    harness.peer.hold_acks = True
    for number in range(BRIDGE_WINDOW_FRAMES + 20):
        dut.irq.value = ~number & 1
        await ClockCycles(dut.clk, 40)
    await ClockCycles(dut.clk, 80 * 16 * (BRIDGE_WINDOW_FRAMES + 20))
    harness.take()
    window_goes_out = parameters()["retry_octets"] > 16 * BRIDGE_WINDOW_FRAMES
    assert len(harness.events) == BRIDGE_WINDOW_FRAMES if window_goes_out else len(harness.events) > 10
    dut.irq.value = 1
    harness.peer.hold_acks = False
    harness.set(0, 0)
    await harness.until(lambda: len(harness.events) > BRIDGE_WINDOW_FRAMES)
    await harness.until(lambda: harness.events[-1] == (BridgeKind.IRQ, 1))


@bench_test
async def a_gap_is_rejected_once(dut):
    harness = await started(dut)
    peer = harness.peer
    taken = peer.next_octets
    dropped = []

    def drop(now_ns: float) -> bytes:
        octets = taken(now_ns)
        if octets and octets[1] == BridgeKind.REG_WRITE and not dropped:
            dropped.append(octets)
            return b""
        return octets

    peer.next_octets = drop
    for number in range(40):
        harness.set(4 * number, number)
    await harness.sent()
    assert len(dropped) == 1
    assert peer.rejects == 1
    assert [int.from_bytes(harness.registers[4 * n : 4 * n + 4], "little") for n in range(40)] == list(range(40))


@bench_test
async def reset_in_the_middle_of_everything_starts_anew(dut):
    harness = await started(dut)
    rng = harness.rng
    for number in range(6 if not SOAK else 60):
        harness.write(0, rng.randbytes(2048))
        for at in range(8):
            harness.burst(256 * at, harness.beats(rng.randbytes(16 * harness.beat_octets)))
        harness.reader.init_read(0, 256)
        dut.irq.value = rng.getrandbits(1)
        await ClockCycles(dut.clk, rng.randrange(80 * 1200))
        harness.peer.hold_acks = number % 2 == 1
        dut.irq.value = 0
        hello = await harness.reset(rng.getrandbits(32))
        harness.peer.hold_acks = False
        assert hello["rejected"] <= number + 1  # The frame that RESET cut off.
        await ClockCycles(dut.clk, 80 * 40)
        harness.take()
        assert harness.events == []
        await _exchange(harness, part_octets=64, octets=256)


@bench_test
async def frames_it_does_not_know_do_nothing(dut):
    harness = await started(dut)
    harness.set(8, 0xABCD)
    for body in (b"", b"\x01", bytes(40)):
        for kind in (9, 10, 77, 255):
            harness.peer._frames.append((kind, body))
    for kind in (BridgeKind.WRITE, BridgeKind.REG_VALUE, BridgeKind.IRQ, BridgeKind.LIMIT):
        harness.peer.send(kind, b"")
    assert (await harness.get(8))["value"] == 0xABCD

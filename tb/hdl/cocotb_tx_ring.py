"""The TX ring under Verilator: random rings, errors, stops, resets and interrupts against its model."""

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.stack.abi import TxFlags, TxStatus
from hardwire.tb.cocotb_test import SOAK, bench_test
from hardwire.tb.hdl.tx_ring_harness import Harness

RESERVED = (TxFlags.SEGMENT, TxFlags.TIMESTAMP, TxFlags(1 << 9), TxFlags(1 << 15))
OFFLOADS = (TxFlags(0), TxFlags.CSUM_PARTIAL, TxFlags.CSUM_L4 | TxFlags.CSUM_IPV4, TxFlags.RESOLVE, TxFlags.VLAN)


class Frames:
    """Endless random descriptors; some do not make sense, some cannot be read.

    The ring must be able to hold what has no completion of its own, so each run without LAST is shorter than it.
    """

    def __init__(self, rng: random.Random, size: int, *, faults: float) -> None:
        self._rng = rng
        self._faults = faults
        self._longest = size - 2
        self._run = 0
        self._left = 0

    def next(self) -> TxFlags:
        """Return the flags of the next descriptor."""
        rng = self._rng
        flags = TxFlags(0)
        if self._left == 0:
            self._left = rng.choice((1, 1, 1, 2, 3, rng.randint(1, 25)))
            flags = TxFlags.FIRST | rng.choice(OFFLOADS)
            if rng.random() < self._faults:
                flags |= rng.choice(RESERVED)
        self._left -= 1
        if self._left == 0:
            flags |= TxFlags.LAST
        if rng.random() < self._faults:
            flags ^= rng.choice((TxFlags.FIRST, TxFlags.LAST))
        if self._run >= self._longest:
            flags |= TxFlags.LAST
        self._run = 0 if flags & TxFlags.LAST else 1 if flags & TxFlags.FIRST else self._run + 1
        return flags


async def started(dut, *, latency: int | None = None) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start(latency=latency)
    return harness


async def send(harness: Harness, count: int, *, faults: float) -> None:
    """Post random descriptors; look at completions only when an interrupt comes."""
    rng = harness.rng
    frames = Frames(rng, harness.rings.size, faults=faults)
    batch = rng.choice((1, 4, harness.rings.size))
    while count:
        posted = min(count, harness.room, rng.randint(0, batch))
        for _ in range(posted):
            bad = rng.randrange(32) if rng.random() < faults else None
            harness.put(harness.random_descriptor(frames.next()), bad=bad)
        if posted:
            await harness.ring()
            count -= posted
        if rng.random() < 0.3:
            await ClockCycles(harness.dut.clk, rng.randint(1, 200))
        if harness.room == 0:
            await harness.wait(lambda: harness.dut.irq.value or harness.poll())
        if harness.dut.irq.value:
            harness.poll()
            await harness.acknowledge()


@bench_test
async def random_rings_complete_every_descriptor_once_and_in_order(dut):
    harness = await started(dut)
    rng = harness.rng
    for log2 in (1, 2, 3, 4, 5, 6, 8, 12) if SOAK else (1, rng.choice((2, 3)), rng.choice((4, 5, 7))):
        harness.stall()
        harness.rings.write_errors = rng.choice((0.0, 0.05, 0.5))
        size = 1 << log2
        await harness.configure(log2=log2, irq_count=rng.randint(0, size), irq_time=rng.choice((0, 10, 1000)))
        count = 3000 if SOAK else 100
        await send(harness, count, faults=rng.choice((0.0, 0.05, 0.2)))
        await harness.stop()
        harness.check()
        assert (await harness.read("HEAD"))["index"] == harness.next_to_use
        assert (await harness.read("CPL_HEAD"))["index"] == harness.cpl_tail
        assert harness.rings.fetched == count * 32
        await harness.reset()


@bench_test
async def a_stop_sends_what_was_posted_and_no_more(dut):
    harness = await started(dut)
    rng = harness.rng
    await harness.configure(log2=4)
    for _ in range(100 if SOAK else 6):
        harness.stall()
        await send(harness, rng.randint(1, 30), faults=0.05)
        await harness.write("CTRL", enable=0)
        limit = harness.next_to_use
        harness.poll()
        for _ in range(min(harness.room, 3)):
            harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
        await harness.write("TAIL", index=harness.next_to_use)  # Comes too late.
        await harness.until("STATUS", running=0)
        harness.model.close(TxStatus.BAD_SEQUENCE)
        harness.check()
        assert (await harness.read("HEAD"))["index"] == limit
        harness.rings.tail = harness.next_to_use
        await harness.acknowledge()
        await harness.write("CTRL", enable=1)
    await harness.stop()
    harness.check()


@bench_test
async def repeated_completions_never_look_like_the_next_lap(dut):
    """A write that the bus answers with an error may have reached memory: software goes on, the ring writes it anew."""
    harness = await started(dut)
    for log2 in (1, 2, 3):
        harness.stall()
        harness.rings.write_errors = 0.5
        await harness.configure(log2=log2, irq_count=1, irq_time=10)
        await send(harness, 150, faults=0.0)
        await harness.stop()
        harness.check()
        await harness.reset()


@bench_test
async def a_reset_at_any_time_completes_what_was_fetched(dut):
    harness = await started(dut)
    rng = harness.rng
    for _ in range(300 if SOAK else 8):
        log2 = rng.randint(1, 7)
        harness.stall()
        harness.rings.write_errors = rng.choice((0.0, 0.1))
        await harness.configure(log2=log2, irq_time=rng.choice((0, 300)))
        await send(harness, rng.randint(1, 60), faults=rng.choice((0.0, 0.1)))
        await ClockCycles(dut.clk, rng.randint(1, rng.choice((5, 100, 400))))
        await harness.reset()
        harness.check()
        fetched = harness.rings.fetched // 32 % harness.rings.size
        assert harness.next_to_clean == fetched, "a fetched descriptor has no completion"
        for name in ("HEAD", "TAIL", "CPL_HEAD", "CPL_TAIL"):
            assert (await harness.read(name))["index"] == 0
        assert (await harness.read("CTRL"))["enable"] == 0
        status = await harness.read("STATUS")
        assert status == {"running": 0, "idle": 1, "resetting": 0}


@bench_test
async def a_reset_ends_even_if_completions_cannot_be_written(dut):
    harness = await started(dut)
    await harness.configure(log2=4)
    harness.rings.write_errors = 1.0
    for _ in range(10):
        harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
    await harness.ring()
    await ClockCycles(dut.clk, 2000)
    assert (await harness.read("CPL_HEAD"))["index"] == 0
    await harness.write("CTRL", reset=1)
    await harness.until("STATUS", resetting=0)


@bench_test
async def a_frame_of_many_parts_goes_out_whole(dut):
    harness = await started(dut)
    await harness.configure(log2=6)
    for parts in (18, 19, 62):
        for part in range(parts):
            flags = (TxFlags.FIRST if part == 0 else 0) | (TxFlags.LAST if part == parts - 1 else 0)
            harness.put(harness.random_descriptor(TxFlags(flags)))
        await harness.ring()
        await harness.wait(lambda: dut.irq.value)
        harness.poll()
        await harness.acknowledge()
        assert harness.next_to_clean == harness.next_to_use
    await harness.stop()
    harness.check()
    assert len(harness.seen) == 3


async def complete(harness: Harness, count: int) -> None:
    """Post frames of one part and wait until so many more completions are written."""
    before = (await harness.read("CPL_HEAD"))["index"]
    for _ in range(count):
        harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
    await harness.ring()
    await harness.until("CPL_HEAD", index=(before + count) % harness.rings.size)


@bench_test
async def interrupts_wait_for_enough_completions_or_for_their_time(dut):
    harness = await started(dut)
    harness.delay = harness.stalls = 0
    await harness.configure(log2=6, irq_count=4, irq_time=2000)
    await complete(harness, 3)
    assert not dut.irq.value
    await complete(harness, 1)
    await ClockCycles(dut.clk, 10)
    assert dut.irq.value

    await complete(harness, 2)  # More than enough is enough, too.
    await harness.write("IRQ", enable=1, pending=1)  # Cleared too early: the completions are still unseen.
    await ClockCycles(dut.clk, 10)
    assert dut.irq.value

    harness.poll()
    await harness.acknowledge()
    await ClockCycles(dut.clk, 10)
    assert not dut.irq.value

    await harness.write("IRQ", enable=0)
    await complete(harness, 4)
    await ClockCycles(dut.clk, 10)
    assert not dut.irq.value
    assert await harness.read("IRQ") == {"enable": 0, "pending": 1}
    harness.poll()
    await harness.acknowledge(arm=False)
    assert (await harness.read("IRQ"))["pending"] == 1
    await harness.acknowledge(arm=True)
    assert await harness.read("IRQ") == {"enable": 1, "pending": 0}

    harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
    await harness.ring()
    await harness.wait(lambda: dut.cpl_stb.value)
    started_at = harness.cycle
    await harness.wait(lambda: dut.irq.value)
    assert 2000 <= harness.cycle - started_at <= 2008


@bench_test
async def time_that_jumps_ahead_is_time_that_passed(dut):
    harness = await started(dut)
    harness.delay = harness.stalls = 0
    took = 0
    for jump in (0, 1, 100, 2000, 3000):
        await harness.configure(log2=6, irq_count=63, irq_time=3000)
        assert int(dut.wake_in.value) == (1 << 32) - 1
        harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
        await harness.ring()
        await harness.wait(lambda: dut.cpl_stb.value)
        started_at = harness.cycle
        await harness.wait(lambda: dut.idle.value)
        skipped = min(jump, int(dut.wake_in.value) - 1) if jump else 0
        if jump:
            dut.advance_stb.value = 1
            dut.advance_cycles.value = skipped
            await RisingEdge(dut.clk)
            dut.advance_stb.value = 0
        await harness.wait(lambda: dut.irq.value)
        before, took = took, harness.cycle - started_at + skipped
        assert jump == 0 or took == before, jump
        assert int(dut.wake_in.value) == (1 << 32) - 1
        await harness.reset()


@bench_test
async def no_interrupt_is_lost_however_arming_and_completions_meet(dut):
    harness = await started(dut)
    harness.delay = harness.stalls = 0
    await harness.configure(log2=6, irq_count=2, irq_time=40)
    for offset in range(0, 60, 1 if SOAK else 3):
        harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
        await harness.ring()
        await ClockCycles(dut.clk, offset)
        await harness.acknowledge()  # Before, while or after the completion is written, and not looking at it.
        await harness.wait(lambda: dut.irq.value, 500)
        assert harness.poll() == 1
        await harness.acknowledge()
        await ClockCycles(dut.clk, 4)
        assert not dut.irq.value
    await harness.stop()
    harness.check()


@bench_test
async def the_ring_is_idle_only_when_nothing_can_happen(dut):
    harness = await started(dut)
    await harness.configure(log2=4)
    await harness.wait(lambda: dut.idle.value, 100)
    for _ in range(10):
        harness.stall()
        await complete(harness, harness.rng.randint(1, 8))
        await harness.wait(lambda: dut.idle.value, 100)
        watched = [dut.axi_read_arvalid, dut.axi_write_awvalid, dut.axi_write_wvalid, dut.frame_valid, dut.part_valid]
        for _ in range(100):
            await RisingEdge(dut.clk)
            assert dut.idle.value
            assert not any(signal.value for signal in watched)
        harness.poll()
        await harness.acknowledge()
    assert {status for _, _, status in harness.seen} <= set(TxStatus)


@bench_test
async def descriptors_keep_up_with_minimum_frames_at_10_gb_per_s(dut):
    """A frame each 67.2 ns are 10.5 cycles of 6.4 ns; 1 Gb/s gives 84."""
    harness = await started(dut, latency=125)
    harness.delay = harness.stalls = 0
    await harness.configure(log2=7, irq_count=127, irq_time=1 << 23)
    starts = []
    for sent in range(0, 600, 60):
        for _ in range(60):
            harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
        await harness.ring()
        # So that the next doorbell comes while there is still work.
        while len(harness.frames) < sent + 40:
            await RisingEdge(dut.clk)
            harness.poll()
            starts.append(harness.cycle)
    cycles = (starts[-1] - starts[0]) / (len(harness.frames) - 1)
    dut._log.info("%.2f cycles a descriptor with a latency of 125", cycles)
    await harness.stop()
    harness.check()
    assert cycles <= (17 if len(dut.axi_read_rdata) == 32 else 10)


@bench_test
async def latencies_are_as_documented(dut):
    harness = await started(dut, latency=0)
    harness.delay = harness.stalls = 0
    await harness.configure(log2=4)
    at: dict[str, int] = {}

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk)
            events = {
                "doorbell": dut.csr_bvalid.value,  # In the same cycle the register has its new value.
                "arvalid": dut.axi_read_arvalid.value,
                "rlast": dut.axi_read_rvalid.value and dut.axi_read_rlast.value,
                "part": dut.part_valid.value,
                "result": dut.result_valid.value and dut.result_ready.value,
                "awvalid": dut.axi_write_awvalid.value,
                "b": dut.axi_write_bvalid.value,
                "irq": dut.irq.value,
            }
            for name, happens in events.items():
                if happens:
                    at.setdefault(name, harness.cycle)

    harness.put(harness.random_descriptor(TxFlags.FIRST | TxFlags.LAST))
    cocotb.start_soon(watch())
    await harness.ring()
    await harness.wait(lambda: "irq" in at)
    steps = list(at.items())
    took = {f"{a}-{b}": y - x for (a, x), (b, y) in zip(steps, steps[1:], strict=False)}
    dut._log.info("cycles: %s", took)
    assert took["doorbell-arvalid"] == 3
    assert took["rlast-part"] == 5
    assert took["result-awvalid"] == 5
    assert took["b-irq"] == 5


@bench_test
async def a_reset_forgets_the_frame_that_was_under_way(dut):
    harness = await started(dut)
    for unfinished, bad in ((None, None), (7, None), (None, 5), (7, 5)):  # Octets that cannot be read.
        await harness.configure(log2=4)
        harness.put(harness.random_descriptor(TxFlags.FIRST), bad=unfinished)  # Its LAST never comes.
        await harness.ring()
        await harness.wait(lambda: dut.desc_stb.value)
        await harness.reset()
        harness.check()
        await harness.configure(log2=4)
        harness.put(harness.random_descriptor(TxFlags.LAST), bad=bad)
        await harness.ring()
        await harness.wait(lambda: dut.cpl_stb.value)
        await harness.stop()
        harness.check()
        await harness.reset()

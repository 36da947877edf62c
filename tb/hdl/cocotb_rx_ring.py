"""The RX ring under Verilator: random rings, buffers, errors, stops, resets and interrupts against its model."""

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.tb.bench import parameters
from hardwire.tb.cocotb_test import SOAK, bench_test
from hardwire.tb.hdl.rx_ring_harness import Harness
from hardwire.tb.hdl.rx_ring_model import Buffer


async def started(dut, *, latency: int | None = None) -> Harness:
    """Return a harness after reset."""
    harness = Harness(dut)
    await harness.start(latency=latency)
    return harness


async def post(harness: Harness, count: int, *, most: int) -> None:
    """Post up to so many random buffers."""
    count = min(count, harness.room)
    for _ in range(count):
        harness.put(harness.random_buffer(most=most))
    if count:
        await harness.ring()


async def receive(harness: Harness, count: int, *, most: int, longest: int) -> None:
    """Send so many random frames, and post buffers meanwhile; look at completions when an interrupt comes."""
    rng, dut = harness.rng, harness.dut
    batch = rng.choice((1, 4, harness.rings.size))
    for _ in range(count):
        harness.queue.append(harness.frame(rng.randint(14, rng.choice((60, 300, longest)))))
    while not harness.all_sent:
        if rng.random() < 0.5:
            await post(harness, rng.randint(0, batch), most=most)
        if rng.random() < 0.3:
            await ClockCycles(dut.clk, rng.randint(1, 300))
        if dut.irq.value or harness.room == 0:
            harness.poll()
            await harness.acknowledge()


@bench_test
async def random_frames_go_whole_into_random_buffers(dut):
    harness = await started(dut)
    rng = harness.rng
    for log2 in (1, 2, 3, 4, 5, 6, 8, 12) if SOAK else (1, rng.choice((2, 3)), rng.choice((4, 5, 7))):
        harness.stall()
        harness.rings.write_errors = rng.choice((0.0, 0.05, 0.5))
        harness.faults = rng.choice((0.0, 0.05, 0.3))
        await harness.configure(log2=log2, irq_count=rng.randint(0, 3), irq_time=rng.choice((0, 10, 1000)))
        most = rng.choice((1, 3, 40))
        await receive(harness, 400 if SOAK else 50, most=most, longest=rng.choice((200, 1514, 3000)))
        await harness.stop()
        harness.check()
        assert (await harness.read("HEAD"))["index"] == harness.next_to_clean
        assert (await harness.read("CPL_HEAD"))["index"] == harness.cpl_tail
        await harness.reset()
        harness.check()
    assert harness.strobes["delivered"] > 0 or not SOAK  # In a few rounds perhaps none has buffers.


@bench_test
async def a_reset_at_any_time_completes_the_frame_under_way(dut):
    harness = await started(dut)
    rng = harness.rng
    for _ in range(200 if SOAK else 10):
        harness.stall()
        harness.rings.write_errors, harness.faults = rng.choice((0.0, 0.1)), rng.choice((0.0, 0.1))
        await harness.configure(log2=rng.randint(1, 6), irq_time=rng.choice((0, 300)))
        await receive(harness, rng.randint(1, 20), most=rng.choice((1, 10)), longest=rng.choice((100, 600)))
        for _ in range(5):
            harness.queue.append(harness.frame(rng.randint(14, 400)))
        await post(harness, 8, most=3)
        await ClockCycles(dut.clk, rng.randint(1, rng.choice((5, 100, 400))))
        await harness.reset()
        harness.check()
        for name in ("HEAD", "TAIL", "CPL_HEAD", "CPL_TAIL"):
            assert (await harness.read(name))["index"] == 0
        assert (await harness.read("CTRL"))["enable"] == 0
        assert await harness.read("STATUS") == {"running": 0, "idle": 1, "resetting": 0}
        await harness.wait(lambda: harness.all_sent)
    assert harness.strobes["disabled"] > 0


@bench_test
async def a_stop_keeps_what_is_posted_for_the_next_start(dut):
    harness = await started(dut)
    rng = harness.rng
    await harness.configure(log2=4)
    for _ in range(60 if SOAK else 6):
        harness.stall()
        for _ in range(10):
            harness.queue.append(harness.frame(rng.randint(14, 400)))
        await post(harness, rng.randint(0, 15), most=3)
        await ClockCycles(dut.clk, rng.randint(1, 300))
        await harness.stop()
        harness.check()
        reads, bursts = harness.rings.fetched, harness.started_bursts
        await post(harness, rng.randint(0, 2), most=3)
        await harness.wait(lambda: harness.all_sent)
        await ClockCycles(dut.clk, 50)
        assert (reads, bursts) == (harness.rings.fetched, harness.started_bursts), "not at rest"
        await harness.acknowledge()
        await harness.enable()
    await harness.stop()
    harness.check()


@bench_test
async def frames_without_a_buffer_are_dropped_at_once(dut):
    harness = await started(dut)
    await harness.configure(log2=4)
    await ClockCycles(dut.clk, 20)
    for _ in range(5):
        harness.queue.append(harness.frame(60))
    await harness.wait(lambda: harness.strobes["no_buffer"] == 5, 40)
    harness.put(harness.random_buffer(most=1))
    harness.put(harness.random_buffer(most=1))
    await harness.ring()
    await ClockCycles(dut.clk, 20)
    harness.queue.append(harness.frame(1000))  # Needs more than there are.
    await harness.wait(lambda: harness.poll())
    harness.queue.append(harness.frame(60))
    await harness.wait(lambda: harness.strobes["no_buffer"] == 7, 1000)
    harness.put(harness.random_buffer(most=1))
    await harness.ring()
    await ClockCycles(dut.clk, 20)
    harness.queue.append(harness.frame(60))
    await harness.wait(lambda: harness.poll())
    await harness.stop()
    harness.check()
    assert harness.strobes["delivered"] == 1


@bench_test
async def a_frame_that_fills_its_buffers_takes_no_further_one(dut):
    harness = await started(dut)
    await harness.configure(log2=5)
    await post(harness, 24, most=1)
    await ClockCycles(dut.clk, 200)
    for octets in (62, 63, 61, 126, 127, 125, 190, 62):  # With the pad 64, 65, 63 and so on.
        harness.queue.append(harness.frame(octets))
    await harness.wait(lambda: harness.strobes["delivered"] == 8, 2000)
    await harness.stop()
    harness.check()
    assert harness.used == 1 + 2 + 1 + 2 + 3 + 2 + 3 + 1


@bench_test
async def each_kind_of_bad_descriptor_is_told_and_no_other(dut):
    harness = await started(dut)
    await harness.configure(log2=5)
    good = harness.random_buffer
    for bad in (
        Buffer(64 + 1, 64, 1),
        Buffer(64 + 32, 64, 2),
        Buffer(1 << 20, 0, 3),
        Buffer(1 << 20, 64 + 1, 4),
        Buffer(1 << 20, 32, 5),
        Buffer(1 << 20, 64, 6, unreadable=True),
    ):
        harness.put(bad)  # By itself,
        harness.put(good(most=1))
        harness.put(Buffer(**(vars(bad) | {"octets": {}, "bursts": []})))  # and in the middle of a frame.
        await harness.ring()
        await ClockCycles(dut.clk, 60)
        harness.queue.append(harness.frame(200))
        await harness.wait(
            lambda: harness.completed + harness.poll() and not harness.model.frames and not harness.queue
        )
        await harness.wait(lambda: harness.poll() or harness.used == len(harness.buffers), 1000)
        await harness.acknowledge()
    await harness.stop()
    harness.check()
    assert (harness.strobes["refused"], harness.strobes["bus_error"]) == (5, 1)


@bench_test
async def a_reset_ends_even_if_completions_cannot_be_written(dut):
    harness = await started(dut)
    await harness.configure(log2=4)
    harness.rings.write_errors = 1.0
    harness.put(harness.random_buffer(most=1))
    await harness.ring()
    await ClockCycles(dut.clk, 30)
    harness.queue.append(harness.frame(60))
    await ClockCycles(dut.clk, 2000)
    assert (await harness.read("CPL_HEAD"))["index"] == 0
    await harness.write("CTRL", reset=1)
    await harness.until("STATUS", resetting=0)


@bench_test
async def registers_that_change_at_work_hang_nothing(dut):
    """What the ring writes then may be anywhere; it comes to rest all the same, and works after a reset."""
    harness = await started(dut)
    rng = harness.rng
    for _ in range(30 if SOAK else 4):
        harness.stall()
        harness.wild = True
        await harness.configure(log2=rng.randint(1, 5))
        sent = 20
        for _ in range(sent):
            harness.queue.append(harness.frame(rng.randint(14, 1514)))
            name, fields = rng.choice(
                (
                    ("SIZE", {"log2": rng.randint(0, 15)}),
                    ("TAIL", {"index": rng.getrandbits(16)}),
                    ("BASE_LO", {"value": rng.getrandbits(20) << 12}),
                    ("CPL_BASE_HI", {"value": rng.getrandbits(32)}),
                    ("CPL_TAIL", {"index": rng.getrandbits(16), "arm": 1}),
                    ("CTRL", {"enable": rng.getrandbits(1)}),
                )
            )
            harness.enabled_since = None
            await harness.write(name, **fields)
            await ClockCycles(dut.clk, rng.randint(1, 100))
        await harness.wait(lambda: harness.all_sent)
        await harness.write("CTRL", reset=1)
        await harness.until("STATUS", resetting=0)
        assert sum(harness.strobes.values()) == sent
        harness.forget()
    await harness.configure(log2=3)
    await post(harness, 4, most=4)
    await ClockCycles(dut.clk, 100)
    harness.queue.append(harness.frame(60))
    await harness.wait(harness.poll)
    await harness.stop()
    harness.check()


@bench_test
async def interrupts_wait_for_enough_completions_or_for_their_time(dut):
    harness = await started(dut)
    await harness.configure(log2=6, irq_count=3, irq_time=1000)
    await post(harness, 40, most=2)
    await ClockCycles(dut.clk, 300)

    async def complete(count: int) -> None:
        for _ in range(count):
            harness.queue.append(harness.frame(50))
        want = harness.strobes["delivered"] + count
        await harness.wait(lambda: harness.strobes["delivered"] == want)
        await harness.wait(lambda: dut.cpl_stb.value)
        await ClockCycles(dut.clk, 10)

    await complete(2)
    assert not dut.irq.value
    await complete(1)
    assert dut.irq.value
    harness.poll()
    await harness.acknowledge()
    await ClockCycles(dut.clk, 10)
    assert not dut.irq.value

    harness.queue.append(harness.frame(50))
    await harness.wait(lambda: dut.cpl_stb.value)
    began = harness.cycle
    await harness.wait(lambda: dut.idle.value)
    skipped = min(400, int(dut.wake_in.value) - 1)
    dut.advance_stb.value, dut.advance_cycles.value = 1, skipped
    await RisingEdge(dut.clk)
    dut.advance_stb.value = 0
    await harness.wait(lambda: dut.irq.value)
    assert 1000 <= harness.cycle - began + skipped <= 1008
    await harness.stop()
    harness.check()


@bench_test
async def the_ring_is_idle_only_when_nothing_can_happen(dut):
    harness = await started(dut)
    await harness.configure(log2=5)
    await harness.wait(lambda: dut.idle.value, 100)
    harness.faults = 0.2
    for _ in range(40 if SOAK else 10):
        harness.stall()
        await post(harness, harness.rng.randint(1, 31), most=3)
        for _ in range(harness.rng.randint(0, 3)):
            harness.queue.append(harness.frame(harness.rng.randint(14, 400)))
        await ClockCycles(dut.clk, 10)
        await harness.wait(lambda: dut.idle.value and harness.all_sent, 20_000)
        watched = [dut.axi_read_arvalid, dut.axi_write_awvalid, dut.axi_write_wvalid, dut.delivered, dut.cpl_stb]
        for _ in range(100):
            await RisingEdge(dut.clk)
            assert dut.idle.value
            assert not any(signal.value for signal in watched)
        harness.poll()
        await harness.acknowledge()
    await harness.stop()
    harness.check()


@bench_test
async def minimum_frames_keep_up_with_1_us_of_latency(dut):
    """A minimum frame each 67.2 ns at 10 Gb/s are 10.5 cycles of 6.4 ns, and at 1 Gb/s 84 of 8 ns."""
    harness = await started(dut, latency=125)
    await harness.configure(log2=7, irq_count=127, irq_time=1 << 23)
    await post(harness, 127, most=1)
    await ClockCycles(dut.clk, 2000)
    for _ in range(100):
        harness.queue.append(harness.frame(60))
    ends = []
    while len(ends) < 100 and not dut.no_buffer.value:
        await RisingEdge(dut.clk)
        if dut.delivered.value:
            ends.append(harness.cycle)
    cycles = (ends[-1] - ends[20]) / (len(ends) - 21)
    dut._log.info("%.2f cycles a frame with a latency of 125", cycles)
    await harness.stop()
    harness.check()
    assert cycles <= 84 / 2 or (parameters().get("outstanding") == 4 and cycles <= 84)


@bench_test
async def latencies_are_as_documented(dut):
    harness = await started(dut, latency=0)
    await harness.configure(log2=4)
    await post(harness, 4, most=4)
    while harness.buffers[0].length < 128 or harness.buffers[0].addr % 256 > 128:
        await harness.reset()
        await harness.configure(log2=4)
        await post(harness, 4, most=4)
    await ClockCycles(dut.clk, 100)
    at: dict[str, int] = {}

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk)
            cpl = int(dut.axi_write_awid.value) & 2
            b_cpl = int(dut.axi_write_bid.value) & 2
            events = {
                "frame": dut.frame_valid.value,
                "ready": dut.frame_ready.value,
                "awvalid": dut.axi_write_awvalid.value and not cpl,
                "b": dut.axi_write_bvalid.value and not b_cpl,
                "completion": dut.axi_write_awvalid.value and cpl,
                "b2": dut.axi_write_bvalid.value and b_cpl,
                "irq": dut.irq.value,
            }
            for name, happens in events.items():
                if happens and (name not in at or (name == "b" and "completion" not in at)):
                    at[name] = harness.cycle

    cocotb.start_soon(watch())
    harness.queue.append(harness.frame(118))
    await harness.wait(lambda: "irq" in at)
    steps = list(at.items())
    took = {f"{a}-{b}": y - x for (a, x), (b, y) in zip(steps, steps[1:], strict=False)}
    dut._log.info("cycles: %s, in all %d", took, at["irq"] - at["frame"])
    assert took["frame-ready"] == 1
    assert at["awvalid"] - at["frame"] == 5
    assert took["b-completion"] <= 8
    assert took["b2-irq"] == 5
    if parameters()["stream_width_bits"] == parameters()["axi_width_bits"] == 64:
        assert at["irq"] - at["frame"] <= 45

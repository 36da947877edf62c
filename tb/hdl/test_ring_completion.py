"""Completion writes in the Amaranth simulator: order, phase, and repetition after errors."""

import os
import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.ring.completion import CompletionWrite
from hardwire.hdl.tx.result_join import ResultJoin, TxCompletion
from hardwire.stack.abi import TX_CPL, TxStatus

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))
BASE = 0xFEDC_BA98_7610_0000


def run(size, total, *, errors, latency):
    """Write completions; return the component's memory, what was put in, the log of its writes, and the repetitions."""
    rng = random.Random(SEED)
    write = CompletionWrite(
        axi_width_bits=64, ring_log2_max=10, id_width_bits=1, record=TX_CPL, completion=TxCompletion
    )
    ring = bytearray(size * TX_CPL.size_octets)
    seen, put, repeated = [], [], []
    most = [0]

    async def memory(ctx):
        axi, now = write.axi, 0
        addresses, answers, beats = deque(), deque(), []
        while True:
            await ctx.delay(0)
            ready = [rng.random() < 0.7 for _ in range(2)]
            ctx.set(axi.awready, ready[0])
            ctx.set(axi.wready, ready[1])
            due = bool(answers) and answers[0][0] <= now
            ctx.set(axi.bvalid, due)
            ctx.set(axi.bresp, 2 if due and answers[0][1] else 0)
            if due:
                answers.popleft()
            *_, awvalid, awaddr, wvalid, wdata, wlast = await ctx.tick().sample(
                axi.awvalid, axi.awaddr, axi.wvalid, axi.wdata, axi.wlast
            )
            now += 1
            if awvalid and ready[0]:
                addresses.append(awaddr)
            if wvalid and ready[1]:
                beats.append((wdata.to_bytes(8, "little"), wlast))
            if addresses and len(beats) >= 2:
                (low, first_last), (high, last) = beats[:2]
                del beats[:2]
                assert (first_last, last) == (0, 1)
                at = addresses.popleft() - BASE
                failed = rng.random() < errors
                if not failed:
                    ring[at : at + 16] = low + high
                answers.append((now + latency, failed))
                most[0] = max(most[0], len(answers))

    async def feed(ctx):
        ctx.set(write.base, BASE)
        ctx.set(write.mask, size - 1)
        await ctx.tick()
        for number in range(total):
            while number - len(seen) >= size:
                await ctx.tick()
            completion = {"cookie": rng.getrandbits(32), "index": number % size, "status": rng.randrange(10)}
            put.append(completion)
            ctx.set(write.i.payload, completion)
            ctx.set(write.i.valid, 1)
            await ctx.tick().until(write.i.ready)
            ctx.set(write.i.valid, 0)
            if rng.random() < 0.3:
                await ctx.tick().repeat(rng.randint(1, 20))
        while len(seen) < total:
            await ctx.tick()
        await ctx.tick().repeat(5)
        assert not ctx.get(write.busy)
        assert ctx.get(write.head) == total % size

    async def driver(ctx):
        while True:
            *_, index, written, place, retried = await ctx.tick().sample(
                write.index, write.written, write.place, write.retried
            )
            while len(seen) % size != index:
                at = len(seen) % size * 16
                seen.append(TX_CPL.unpack(ring[at : at + 16]))
            if written:
                repeated.append(("written", place.index, place.status))
            if retried:
                repeated.append("retried")

    simulator = Simulator(write)
    simulator.add_clock(8e-9)
    simulator.add_testbench(feed)
    simulator.add_testbench(driver, background=True)
    simulator.add_testbench(memory, background=True)
    simulator.run()
    want = [{**c, "timestamp": 0, "phase": 1 - n // size % 2} for n, c in enumerate(put)]
    assert seen == want, f"seed {SEED}"
    assert [e for e in repeated if e != "retried"] == [("written", c["index"], c["status"]) for c in put]
    return most[0], repeated.count("retried")


@pytest.mark.parametrize("size", [2, 4, 16, 64])
@pytest.mark.parametrize("errors", [0.0, 0.1, 0.5])
def test_completions_are_in_memory_when_the_index_says_so(size, errors):
    _, retried = run(size, 100, errors=errors, latency=20)
    assert bool(retried) == bool(errors)


def test_several_writes_are_under_way():
    most, _ = run(64, 100, errors=0.0, latency=200)
    assert most >= 4


def test_records_and_results_meet_in_order():
    rng = random.Random(SEED)
    join = ResultJoin(depth=4)
    want, results, seen = [], [], []
    records = []
    for number in range(100):
        wait, own = rng.random() < 0.6, rng.choice((TxStatus.DESC_ERROR, TxStatus.BAD_SEQUENCE))
        status = own if not wait or rng.random() < 0.2 else TxStatus.OK
        if wait:
            results.append(rng.choice((TxStatus.OK, TxStatus.BAD_LENGTH, TxStatus.RESOLVE_MISS)))
        want.append((number, results[-1] if wait and status == TxStatus.OK else status))
        records.append({"cookie": number, "index": number, "status": status, "wait": wait})

    async def feed(ctx):
        for record in records:
            ctx.set(join.record.payload, record)
            ctx.set(join.record.valid, 1)
            await ctx.tick().until(join.record.ready)
            ctx.set(join.record.valid, 0)
            await ctx.tick().repeat(rng.randint(1, 4))
        while ctx.get(join.busy):
            await ctx.tick()

    async def give(ctx):
        for status in results:
            await ctx.tick().repeat(rng.randint(1, 20))
            ctx.set(join.result.payload.status, status)
            ctx.set(join.result.valid, 1)
            await ctx.tick().until(join.result.ready)
            ctx.set(join.result.valid, 0)

    async def take(ctx):
        while True:
            ctx.set(join.o.ready, rng.random() < 0.5)
            *_, valid, ready, payload = await ctx.tick().sample(join.o.valid, join.o.ready, join.o.payload)
            if valid and ready:
                seen.append((payload.index, payload.status))

    simulator = Simulator(join)
    simulator.add_clock(8e-9)
    simulator.add_testbench(feed)
    simulator.add_testbench(give)
    simulator.add_testbench(take, background=True)
    simulator.run()
    assert seen == want, f"seed {SEED}"

# amaranth: UnusedElaboratable=no
"""Tests of hardwire.hdl.arp_cache."""

import os
import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.arp_cache import ArpCache
from hardwire.stack.abi import ArpOp

SEED = int(os.environ.get("HARDWIRE_SEED", random.randrange(2**32)))


def run(dut: ArpCache, testbench) -> None:
    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


async def operate(ctx, dut, op, key=0, mac=0, index=0):
    ctx.set(dut.op.payload, {"op": op, "key": key, "mac": mac, "index": index})
    ctx.set(dut.op.valid, 1)
    await ctx.tick().until(dut.op.ready)
    ctx.set(dut.op.valid, 0)
    ctx.set(dut.op_result.ready, 1)
    (result,) = await ctx.tick().sample(dut.op_result.payload).until(dut.op_result.valid)
    ctx.set(dut.op_result.ready, 0)
    return result


async def look_up(ctx, dut, key):
    """Return the MAC address or None, and the cycles from acceptance to the result."""
    ctx.set(dut.lookup.payload, key)
    ctx.set(dut.lookup.valid, 1)
    await ctx.tick().until(dut.lookup.ready)
    ctx.set(dut.lookup.valid, 0)
    ctx.set(dut.result.ready, 1)
    cycles = 1
    while not ctx.get(dut.result.valid):
        await ctx.tick()
        cycles += 1
    result = ctx.get(dut.result.payload)
    await ctx.tick()
    ctx.set(dut.result.ready, 0)
    return (result.mac if result.hit else None), cycles


@pytest.mark.parametrize(("sets", "ways"), [(64, 4), (2, 1), (4, 2), (16, 8)])
def test_cache_agrees_with_a_dictionary_and_reports_what_it_evicts(sets: int, ways: int) -> None:
    dut, rng, held = ArpCache(sets=sets, ways=ways), random.Random(SEED), {}
    keys = [rng.getrandbits(32) for _ in range(2 * sets * ways)]

    async def testbench(ctx):
        for _ in range(400):
            key, mac = rng.choice(keys), rng.getrandbits(48)
            action = rng.random()
            if action < 0.45:
                result = await operate(ctx, dut, ArpOp.INSERT, key, mac)
                assert result.found == (key in held)
                if result.evicted:
                    assert held.pop(result.key) == result.mac
                held[key] = mac
            elif action < 0.55:
                result = await operate(ctx, dut, ArpOp.DELETE, key)
                assert result.found == (key in held)
                held.pop(key, None)
            elif action < 0.56:
                await operate(ctx, dut, ArpOp.FLUSH)
                held.clear()
            else:
                assert (await look_up(ctx, dut, key))[0] == held.get(key)
        entries = [await operate(ctx, dut, ArpOp.READ, index=index) for index in range(sets * ways)]
        assert {entry.key: entry.mac for entry in entries if entry.found} == held

    run(dut, testbench)


def test_cache_latency_is_at_most_8() -> None:
    dut = ArpCache()

    async def testbench(ctx):
        await operate(ctx, dut, ArpOp.INSERT, 0x0A000002, 0x020000000002)
        assert await look_up(ctx, dut, 0x0A000002) == (0x020000000002, 8)
        assert await look_up(ctx, dut, 0x0A000003) == (None, 8)

    run(dut, testbench)


def test_activity_bit_is_set_by_a_hit_and_cleared_by_reading() -> None:
    dut = ArpCache(sets=2, ways=2)

    async def testbench(ctx):
        await operate(ctx, dut, ArpOp.INSERT, 4, 44)
        (index,) = [i for i in range(4) if (await operate(ctx, dut, ArpOp.READ, index=i)).found]
        assert not (await operate(ctx, dut, ArpOp.READ, index=index)).active
        await look_up(ctx, dut, 4)
        await look_up(ctx, dut, 5)
        assert (await operate(ctx, dut, ArpOp.READ, index=index)).active
        assert (await operate(ctx, dut, ArpOp.READ_CLEAR, index=index)).active
        assert not (await operate(ctx, dut, ArpOp.READ, index=index)).active

    run(dut, testbench)


@pytest.mark.parametrize(("name", "value", "high"), [("sets", 3, 4096), ("sets", 1, 4096), ("ways", 32, 16)])
def test_cache_refuses_a_bad_shape(name: str, value: int, high: int) -> None:
    low = 2 if name == "sets" else 1
    with pytest.raises(ValueError, match=rf"^{name} must be a power of two from {low} to {high}, not {value}$"):
        ArpCache(**{name: value})

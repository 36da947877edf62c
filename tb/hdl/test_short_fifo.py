# amaranth: UnusedElaboratable=no
"""The queue in LUT RAM with a margin, behind a sender that hears late, against a Python list."""

import os
import random
import re

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.short_fifo import ShortFifo

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))


@pytest.mark.parametrize(("depth", "margin"), [(8, 4), (16, 4), (16, 8)])
def test_short_fifo_with_a_margin_loses_nothing_of_a_sender_that_hears_late(depth, margin):
    print(f"HARDWIRE_SEED={SEED}")
    dut = ShortFifo(shape=12, depth=depth, margin=margin)
    rng = random.Random(SEED)

    async def testbench(ctx):
        queue, heard, odds, stops = [], [True, True], (1.0, 1.0), 0
        for cycle in range(4000):
            if cycle % 100 == 0:
                odds = rng.choice((0.3, 1.0)), rng.choice((0.0, 0.3, 1.0))
            sends, ready = heard[1] and rng.random() < odds[0], rng.random() < odds[1]
            value = rng.getrandbits(12)
            ctx.set(dut.i.valid, sends)
            ctx.set(dut.i.payload, value)
            ctx.set(dut.o.ready, ready)
            if sends:
                queue.append(value)
            if ready and ctx.get(dut.o.valid):
                assert ctx.get(dut.o.payload) == queue.pop(0)
            heard = [bool(ctx.get(dut.i.ready)), heard[0]]
            stops += not heard[0]
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.o.ready, 1)
        for _ in range(depth + 4):
            if ctx.get(dut.o.valid):
                assert ctx.get(dut.o.payload) == queue.pop(0)
            await ctx.tick()
        assert not queue
        assert not ctx.get(dut.busy)
        assert stops > 100, "it was never full"

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 3}, "depth must be a power of two from 2 up, not 3"),
        ({"depth": 8, "margin": 8}, "margin must be in 0..7, less than the depth, not 8"),
        ({"margin": -1}, "margin must be in 0..15, less than the depth, not -1"),
        (
            {"always_room": True, "margin": 2},
            "with always_room there is no ready that a margin could be for: leave one of them out",
        ),
    ],
)
def test_short_fifo_refuses_what_makes_no_sense(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ShortFifo(shape=8, **arguments)

# amaranth: UnusedElaboratable=no
"""The queue in block RAM against a Python list."""

import os
import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.ram_fifo import RamFifo

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))


def simulate(dut, testbench):
    """Run one testbench."""
    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("depth", [2, 4, 16])
@pytest.mark.parametrize("always_room", [False, True])
def test_ram_fifo_hands_out_what_it_took_in_order(depth, always_room):
    dut = RamFifo(shape=12, depth=depth, always_room=always_room)
    rng = random.Random(SEED)

    async def testbench(ctx):
        queue, offered, full, empty, before = [], 0, 0, 0, 0
        for cycle in range(4000):
            if cycle % 100 == 0:
                odds = rng.choice((0.1, 0.5, 1.0)), rng.choice((0.1, 0.5, 1.0))
            # A payload that was offered stays; with always_room there is none without room.
            if not offered and rng.random() < odds[0] and (not always_room or len(queue) < depth):
                offered = rng.randrange(1, 1 << 12)
            ready = rng.random() < odds[1]
            ctx.set(dut.i.valid, offered != 0)
            ctx.set(dut.i.payload, offered)
            ctx.set(dut.o.ready, ready)
            taken = ctx.get(dut.o.valid) and ready
            put = offered and ctx.get(dut.i.ready)
            assert ctx.get(dut.busy) == bool(queue), f"seed {SEED}"
            # Room shows a cycle after it is there, and is for one payload less than the depth.
            assert put or not offered or before >= depth - 1, f"refused with room, seed {SEED}"
            assert len(queue) <= depth + 2, f"seed {SEED}"
            full += bool(offered and not put)
            empty += not queue
            if ctx.get(dut.o.valid):
                assert ctx.get(dut.o.payload) == queue[0], f"seed {SEED}"
            before = len(queue)
            if taken:
                queue.pop(0)
            if put:
                queue.append(offered)
                offered = 0
            await ctx.tick()
        assert empty
        assert full or always_room

    simulate(dut, testbench)


def test_ram_fifo_has_a_latency_of_three_cycles_and_passes_one_payload_a_cycle():
    dut = RamFifo(shape=8, depth=4)

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        for cycle in range(50):
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload, cycle)
            assert ctx.get(dut.i.ready)
            assert ctx.get(dut.o.valid) == (cycle >= 3)
            if cycle >= 3:
                assert ctx.get(dut.o.payload) == cycle - 3
            await ctx.tick()

    simulate(dut, testbench)


@pytest.mark.parametrize("depth", [1, 3])
def test_ram_fifo_refuses_a_depth_that_is_no_power_of_two(depth):
    with pytest.raises(ValueError, match=f"^depth must be a power of two from 2 up, not {depth}$"):
        RamFifo(shape=8, depth=depth)

"""Interrupt moderation in the Amaranth simulator, cycle by cycle."""

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.ring.irq_moderation import IrqModeration

NEVER = (1 << 32) - 1


def simulate(testbench):
    """Run a testbench on moderation for a ring of 16."""
    moderation = IrqModeration(index_width_bits=15)
    simulator = Simulator(moderation)
    simulator.add_clock(8e-9)

    async def run(ctx):
        ctx.set(moderation.mask, 15)
        ctx.set(moderation.count, 1)
        await ctx.tick().repeat(3)
        await testbench(ctx, moderation)

    simulator.add_testbench(run)
    simulator.run()


async def cycles_until_fire(ctx, moderation):
    """Count the cycles until there should be an interrupt."""
    for cycle in range(10_000):
        if ctx.get(moderation.fire):
            return cycle
        await ctx.tick()
    raise AssertionError("never fires")


async def see(ctx, moderation, seen):
    """Write CPL_TAIL."""
    ctx.set(moderation.seen, seen)
    ctx.set(moderation.stb, 1)
    await ctx.tick()
    ctx.set(moderation.stb, 0)


@pytest.mark.parametrize(("count", "unseen"), [(0, 1), (1, 1), (4, 4), (4, 15)])
def test_enough_completions_fire_at_once(count, unseen):
    async def testbench(ctx, moderation):
        ctx.set(moderation.time_cycles, 5000)
        ctx.set(moderation.count, count)
        ctx.set(moderation.seen, 9)
        ctx.set(moderation.head, (9 + unseen) % 16)
        assert await cycles_until_fire(ctx, moderation) == 2

    simulate(testbench)


@pytest.mark.parametrize("time_cycles", [0, 1, 2, 100])
def test_one_completion_fires_after_its_time(time_cycles):
    async def testbench(ctx, moderation):
        ctx.set(moderation.time_cycles, time_cycles)
        ctx.set(moderation.count, 4)
        ctx.set(moderation.head, 3)
        assert await cycles_until_fire(ctx, moderation) == time_cycles + 3
        assert ctx.get(moderation.wake_in) == NEVER

    simulate(testbench)


def test_nothing_unseen_never_fires():
    async def testbench(ctx, moderation):
        ctx.set(moderation.count, 0)
        for _ in range(50):
            await ctx.tick()
            assert not ctx.get(moderation.fire)
            assert ctx.get(moderation.wake_in) == NEVER

    simulate(testbench)


def test_acknowledging_starts_over():
    async def testbench(ctx, moderation):
        ctx.set(moderation.time_cycles, 20)
        ctx.set(moderation.count, 9)
        ctx.set(moderation.head, 2)
        await cycles_until_fire(ctx, moderation)
        await see(ctx, moderation, 1)
        assert not ctx.get(moderation.fire)
        assert await cycles_until_fire(ctx, moderation) == 20 + 2
        await see(ctx, moderation, 2)
        for _ in range(50):
            assert not ctx.get(moderation.fire)
            await ctx.tick()

    simulate(testbench)


@pytest.mark.parametrize("jump", [1, 2, 50, 96])
def test_time_jumps_ahead(jump):
    async def testbench(ctx, moderation):
        ctx.set(moderation.time_cycles, 100)
        ctx.set(moderation.count, 9)
        ctx.set(moderation.head, 1)
        await ctx.tick().repeat(5)
        assert ctx.get(moderation.wake_in) == 97
        ctx.set(moderation.advance_stb, 1)
        ctx.set(moderation.advance_cycles, jump)
        await ctx.tick()
        ctx.set(moderation.advance_stb, 0)
        assert ctx.get(moderation.wake_in) == 97 - jump - 1
        assert await cycles_until_fire(ctx, moderation) == 103 - 5 - jump - 1

    simulate(testbench)


def test_a_jump_too_far_fires():
    async def testbench(ctx, moderation):
        ctx.set(moderation.time_cycles, 100)
        ctx.set(moderation.count, 9)
        ctx.set(moderation.head, 1)
        await ctx.tick().repeat(5)
        ctx.set(moderation.advance_stb, 1)
        ctx.set(moderation.advance_cycles, 1 << 31)
        await ctx.tick()
        ctx.set(moderation.advance_stb, 0)
        assert await cycles_until_fire(ctx, moderation) == 0

    simulate(testbench)

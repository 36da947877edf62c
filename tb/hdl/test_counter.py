# amaranth: UnusedElaboratable=no
"""The counter of cycles against Python integers."""

import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.counter import Counter


def simulate(dut, testbench):
    """Run one testbench."""
    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("add_width", [1, 15, 16, 17, 32])
def test_counter_value_is_a_true_sum_in_every_cycle(add_width):
    dut = Counter(add_width=add_width)
    rng = random.Random(add_width)

    async def testbench(ctx):
        total = 0
        for _ in range(3000):
            number = rng.choice((0, (1 << add_width) - 1, rng.getrandbits(add_width)))
            ctx.set(dut.add, number)
            await ctx.tick()
            assert ctx.get(dut.value) == total  # The number of the cycle that just ended is not yet in it.
            total += number + 1

    simulate(dut, testbench)


def test_counter_carries_through_all_bits():
    dut = Counter(add_width=32)

    async def testbench(ctx):
        ctx.set(dut.add, 0xFFFFFFFF)
        await ctx.tick().repeat(5)
        ctx.set(dut.add, 0)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.value) == 5 * 0xFFFFFFFF + 6

    simulate(dut, testbench)


@pytest.mark.parametrize("add_width", [0, 33])
def test_counter_refuses_what_it_cannot_add_in_one_cycle(add_width):
    with pytest.raises(ValueError, match=f"^add_width must be in 1..32, not {add_width}$"):
        Counter(add_width=add_width)

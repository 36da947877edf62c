# amaranth: UnusedElaboratable=no
"""Sums in block RAM against Python integers."""

import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.counter_sums import MIN_DISTANCE, CounterSums

ROWS = 6


@pytest.mark.parametrize("widths", [(4, 3, 3), (4, 4, 4), (3, 1)])
def test_counter_sums_wrap_around_and_keep_what_they_are_asked_to(widths):
    bits = sum(widths)
    dut = CounterSums(rows=ROWS, amount_bits=3, widths=widths)
    rng = random.Random(bits)

    async def testbench(ctx):
        sums, last, amounts, kept, wraps, waits = [0] * ROWS, [-99] * ROWS, [0, 0], [], 0, 0
        for cycle in range(ROWS + 40 * (1 << bits)):
            clear = cycle < ROWS
            row = cycle if clear else rng.randrange(ROWS)
            en = cycle - last[row] >= MIN_DISTANCE and (clear or rng.random() < 0.9)
            amount = rng.choice((0, 7, rng.randrange(8)))
            # What is kept is not overwritten before it is seen.
            waits = max(waits - 1, 0)
            keep = en and not waits and rng.random() < 0.3
            if en:
                last[row] = cycle
                wraps += sums[row] + amount >> bits
                sums[row] = 0 if clear else sums[row] + amount & (1 << bits) - 1
            if keep:
                waits = len(widths) + 4
                kept.append(sums[row])
            for name, value in (("row", row), ("en", en), ("clear", clear), ("keep", keep)):
                ctx.set(getattr(dut, name), value)
            ctx.set(dut.amount, amounts.pop(0))
            amounts.append(amount)
            await ctx.tick()
            if ctx.get(dut.done):
                assert ctx.get(dut.kept) == kept.pop(0)
            assert len(kept) <= 1
        assert wraps > 10

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


def test_counter_sums_refuse_an_amount_wider_than_the_lowest_piece():
    with pytest.raises(ValueError, match=r"^amount_bits must be at most 4, not 5$"):
        CounterSums(rows=ROWS, amount_bits=5, widths=(4, 4))

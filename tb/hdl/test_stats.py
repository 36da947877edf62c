# amaranth: UnusedElaboratable=no
"""The bank of counters: what it refuses."""

import dataclasses

import pytest

from hardwire.hdl.stats import CounterBank
from hardwire.stack.abi import STATS


@pytest.mark.parametrize("counters", [4, 51])
def test_counter_bank_refuses_what_one_round_cannot_serve(counters):
    registers = tuple(
        dataclasses.replace(r, name=f"N{n}_{half}", offset=8 * n + 4 * high)
        for n, r in enumerate((STATS.registers[0],) * counters)
        for high, half in enumerate(("LO", "HI"))
    )
    with pytest.raises(ValueError, match=rf"^there must be 5\.\.50 counters, not {counters}$"):
        CounterBank(block=dataclasses.replace(STATS, registers=registers))

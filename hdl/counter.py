"""A counter of cycles whose value can be seen in every cycle."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Counter"]

LOW_BITS = 16  # Longest carry chain that adds two numbers, unless what is added is wider.


class Counter(wiring.Component):
    """Count cycles in 64 bits, and add a number besides in every cycle.

    The sum is in two parts, with the carry between them in a register; the low part waits for it, so ``value`` is
    always a sum that was true in one cycle.

    Timing
    ------
    Domain ``sync``. ``value`` has all cycles, and all that was on ``add``, up to two cycles ago. From registers.

    Parameters
    ----------
    add_width : int
        Bits of the number to add.

    Members
    -------
    add : In(add_width)
        Number to add in this cycle, besides 1.
    value : Out(64)
        Sum since reset, modulo 2**64.

    Raises
    ------
    ValueError
        If ``add_width`` is not in 1..32.
    """

    def __init__(self, *, add_width: int = 1) -> None:
        if add_width not in range(1, 33):
            raise ValueError(f"add_width must be in 1..32, not {add_width!r}")
        super().__init__({"add": In(add_width), "value": Out(64)})

    def elaborate(self, platform):
        m = Module()
        low_bits = max(LOW_BITS, len(self.add))
        low, low_waiting = Signal(low_bits), Signal(low_bits)
        carry = Signal()
        high = Signal(64 - low_bits)
        m.d.sync += [
            # The lowest bit carries the 1 in: it spares a second adder.
            Cat(low, carry).eq((Cat(Const(1, 1), low) + Cat(Const(1, 1), self.add))[1:]),
            low_waiting.eq(low),
            high.eq(high + carry),
        ]
        m.d.comb += self.value.eq(Cat(low_waiting, high))
        return m

"""Event counters of 64 bits, as many as the contract names."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..stack.abi.model import Block
from ..stack.abi.regs import STATS
from .csr import block_signature

__all__ = ["Counter", "CounterBank"]

LOW_BITS = 16  # Longest carry chain that adds two numbers, unless what is added is wider.


class Counter(wiring.Component):
    """Add a number in every cycle to a sum of 64 bits.

    The sum is in two parts, with the carry between them in a register; the low part waits for it, so ``value`` is
    always a sum that was true in one cycle.

    Timing
    ------
    Domain ``sync``. ``value`` has all that was on ``add`` up to two cycles ago. From registers.

    Parameters
    ----------
    add_width : int
        Bits of the number to add.

    Members
    -------
    add : In(add_width)
        Number to add in this cycle.
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
            Cat(low, carry).eq(low + self.add),
            low_waiting.eq(low),
            high.eq(high + carry),
        ]
        m.d.comb += self.value.eq(Cat(low_waiting, high))
        return m


class CounterBank(wiring.Component):
    """Count everything that a block of counters in the contract names.

    Timing
    ------
    Domain ``sync``. As `Counter`.

    Parameters
    ----------
    block : Block
        Counters, each a pair of registers ``X_LO`` and ``X_HI``.

    Members
    -------
    add : In(data.StructLayout)
        One member ``x`` for each counter: the number to add in this cycle. One bit wide, or 16 if the counter is one of
        octets.
    values : In(block_signature(block))
        The sums, to the register bank.
    """

    def __init__(self, *, block: Block = STATS) -> None:
        names = [r.name.removesuffix("_LO").lower() for r in block.registers if r.name.endswith("_LO")]
        layout = data.StructLayout({name: 16 if name.endswith("_octets") else 1 for name in names})
        super().__init__({"add": In(layout), "values": In(block_signature(block))})

    def elaborate(self, platform):
        m = Module()
        for name, shape in self.add.shape().members.items():
            m.submodules[name] = counter = Counter(add_width=shape)
            m.d.comb += [counter.add.eq(self.add[name]), getattr(self.values, name).value.eq(counter.value)]
        return m

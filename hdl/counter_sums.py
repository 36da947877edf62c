"""Sums of many bits in block RAM, one of which is added to in each cycle."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .block_ram import BlockRam

__all__ = ["MIN_DISTANCE", "CounterSums"]

MIN_DISTANCE = 5  # Cycles after which a row can be added to again.


class CounterSums(wiring.Component):
    """Add to sums in block RAM.

    A sum is cut into pieces, each in a RAM of its own: the carry goes from piece to piece in a register, and the row's
    number goes with it, so that no carry is long and the pieces of a row are never gathered.

    Timing
    ------
    Domain ``sync``. One row in each cycle; the same one again after `MIN_DISTANCE` cycles or later. All outputs but
    ``busy`` come from registers.

    Parameters
    ----------
    rows : int
        Number of sums.
    amount_bits : int
        Bits of the number to add.
    widths : tuple[int, ...]
        Bits of each piece, from the lowest up.

    Members
    -------
    en, row : In(1), In(range(rows))
        Add to this sum. ``row`` stands still while nothing is to be done.
    clear : In(1)
        With ``en``: the sum becomes 0 instead.
    keep : In(1)
        With ``en``: show the new sum as ``kept``.
    amount : In(amount_bits)
        What to add, two cycles after ``row``.
    kept, done : Out(sum(widths)), Out(1)
        The sum that was to be kept; whole from the cycle in which ``done`` is high.
    busy : Out(1)
        A sum is being added to.

    Raises
    ------
    ValueError
        If an amount is wider than the lowest piece.
    """

    def __init__(self, *, rows: int, amount_bits: int, widths: tuple[int, ...] = (22, 21, 21)) -> None:
        if amount_bits > widths[0]:
            raise ValueError(f"amount_bits must be at most {widths[0]}, not {amount_bits!r}")
        self._widths = widths
        super().__init__(
            {
                "en": In(1),
                "row": In(ceil_log2(rows)),
                "clear": In(1),
                "keep": In(1),
                "amount": In(amount_bits),
                "kept": Out(sum(widths)),
                "done": Out(1),
                "busy": Out(1),
            }
        )
        self._rows = rows

    def elaborate(self, platform):
        m = Module()
        # What comes with the row, by cycles since then.
        stages = 3 + len(self._widths)
        rows = [self.row, *(Signal.like(self.row, name=f"row_{age}") for age in range(1, stages))]
        for age in range(1, stages):
            m.d.sync += rows[age].eq(rows[age - 1])
        en, clear, keep = Signal(stages), Signal(stages - 1), Signal(stages)
        m.d.sync += [
            en.eq(Cat(self.en, en)),
            clear.eq(Cat(self.clear, clear)),
            keep.eq(Cat(self.keep & self.en, keep)),
            self.done.eq(keep[-1]),
        ]
        carry = self.amount
        first = 0
        for piece, width in enumerate(self._widths):
            m.submodules[f"piece_{piece}"] = ram = BlockRam(shape=width, depth=self._rows)
            total, carry_out = Signal(width), Signal()
            m.d.sync += Cat(total, carry_out).eq(ram.read_data + carry)
            with m.If(clear[1 + piece]):
                m.d.sync += Cat(total, carry_out).eq(0)
            m.d.comb += [
                ram.read_en.eq(1),
                ram.read_addr.eq(rows[piece]),
                ram.write_en.eq(en[2 + piece]),
                ram.write_addr.eq(rows[3 + piece]),
                ram.write_data.eq(total),
            ]
            with m.If(keep[2 + piece]):
                m.d.sync += self.kept[first : first + width].eq(total)
            carry = carry_out
            first += width
        m.d.comb += self.busy.eq(en.any() | self.done)
        return m

"""Interrupt moderation: when completions that nobody has seen are worth an interrupt."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["IrqModeration"]


class IrqModeration(wiring.Component):
    """Ask for an interrupt when enough completions are unseen, or the first of them for long enough.

    The condition is a level: as long as it holds, ``fire`` does, so that no completion can be forgotten, whatever the
    order in which software clears, looks and acknowledges. A write of ``seen``, ``stb``, starts moderation over: time
    counts from then if completions are still unseen.

    Timing
    ------
    Domain ``sync``. ``fire`` and ``wake_in`` are a few gates from registers and ``stb``. ``head`` to ``fire``: 2 cycles
    by count, ``time_cycles`` + 3 by time. After ``stb``, ``fire`` is low for 2 cycles.

    Parameters
    ----------
    index_width_bits : int
        Bits of an index.

    Members
    -------
    mask : In(index_width_bits)
        Size of the completion ring, less one.
    head, seen : In(index_width_bits)
        The completion to be written next, the one to be looked at next.
    stb : In(1)
        High in the first cycle with a new ``seen``.
    count : In(16)
        Completions that are enough; 0 counts as 1.
    time_cycles : In(24)
        Time that is long enough.
    advance_stb, advance_cycles : In(1), In(32)
        Let time jump ahead by so many cycles, besides the one of this clock edge.
    fire : Out(1)
        There should be an interrupt.
    due : Out(1)
        The same, but ``stb`` does not matter. From registers.
    wake_in : Out(32)
        Cycles until time makes ``due`` rise; all ones: it will not. From registers.
    """

    def __init__(self, *, index_width_bits: int) -> None:
        super().__init__(
            {
                "mask": In(index_width_bits),
                "head": In(index_width_bits),
                "seen": In(index_width_bits),
                "stb": In(1),
                "count": In(16),
                "time_cycles": In(24),
                "advance_stb": In(1),
                "advance_cycles": In(32),
                "fire": Out(1),
                "due": Out(1),
                "wake_in": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unseen = Signal.like(self.head)
        some, enough, late = Signal(), Signal(), Signal()
        settling = Signal()  # `some` and `enough` are of the time before `stb`.
        m.d.sync += [
            unseen.eq((self.head - self.seen) & self.mask),
            some.eq(unseen != 0),
            enough.eq((unseen != 0) & (unseen >= self.count)),
            settling.eq(self.stb),
        ]

        waiting, counting = Signal(), Signal()
        left = Signal(24)
        jump = Signal(25)
        after = Signal(26)
        m.d.comb += [
            waiting.eq(some & ~settling),
            counting.eq(waiting & ~self.stb),
            jump.eq(Mux(self.advance_stb, Cat(self.advance_cycles[:24], self.advance_cycles[24:].any()), 0)),
            after.eq(left - jump - 1),
            self.due.eq(waiting & (enough | late)),
            self.fire.eq(self.due & ~self.stb),
            self.wake_in.eq(Mux(waiting & ~late, left, ~0)),
        ]
        m.d.sync += late.eq(counting & (late | after[-1]))
        with m.If(~counting):
            m.d.sync += left.eq(self.time_cycles)
        with m.Else():
            m.d.sync += left.eq(after)  # Anything, once `late`.
        return m

"""Make a pulse long enough to be seen."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Stretch"]


class Stretch(wiring.Component):
    """Hold a signal high for some time after it was.

    Timing
    ------
    Domain ``sync``. Latency 1 cycle. ``o`` comes from a register.

    Parameters
    ----------
    cycles : int
        For so many cycles ``o`` stays high after ``i``.

    Members
    -------
    i : In(1)
        A pulse or a level.
    o : Out(1)
        High since the last ``cycles`` cycles began.

    Raises
    ------
    ValueError
        If ``cycles`` is less than 1.
    """

    i: In(1)
    o: Out(1)

    def __init__(self, *, cycles: int) -> None:
        if cycles < 1:
            raise ValueError(f"cycles must be at least 1, not {cycles!r}")
        self._cycles = cycles
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(self._cycles))
        with m.If(self.i):
            m.d.sync += [left.eq(self._cycles - 1), self.o.eq(1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += self.o.eq(0)
        return m

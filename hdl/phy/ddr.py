"""Pins that carry two bits a clock cycle."""

from amaranth.hdl import ClockDomain, ClockSignal, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DdrInput", "DdrOutput"]


class DdrOutput(wiring.Component):
    """Pins that change with both edges of the clock.

    A platform that has a method ``ddr_output(cell)`` builds it from its own primitives. Without one the clock itself
    chooses between two registers, which is right, but does not have the primitives' exact times.

    Timing
    ------
    Domain ``sync``. ``rise`` is at the pins from the next rise of the clock on, ``fall`` from the fall after it.

    Parameters
    ----------
    width : int
        Number of pins.

    Members
    -------
    rise, fall : In(width)
        What to show.
    pins : Out(width)
        The pins.
    """

    def __init__(self, *, width: int) -> None:
        self.width = width
        super().__init__({"rise": In(width), "fall": In(width), "pins": Out(width)})

    def elaborate(self, platform):
        if hasattr(platform, "ddr_output"):
            return platform.ddr_output(self)

        m = Module()
        rise, fall = Signal(self.width), Signal(self.width)
        m.d.sync += [rise.eq(self.rise), fall.eq(self.fall)]
        m.d.comb += self.pins.eq(Mux(ClockSignal(), rise, fall))
        return m


class DdrInput(wiring.Component):
    """Pins that are sampled with both edges of the clock.

    A platform that has a method ``ddr_input(cell)`` builds it from its own primitives.

    Timing
    ------
    Domain ``sync``. Both outputs change with the rise of the clock, from registers: ``rise`` is what was at the pins
    one rise before, ``fall`` what was there at the fall after that.

    Parameters
    ----------
    width : int
        Number of pins.

    Members
    -------
    pins : In(width)
        The pins.
    rise, fall : Out(width)
        What was there.
    """

    def __init__(self, *, width: int) -> None:
        self.width = width
        super().__init__({"pins": In(width), "rise": Out(width), "fall": Out(width)})

    def elaborate(self, platform):
        if hasattr(platform, "ddr_input"):
            return platform.ddr_input(self)

        m = Module()
        m.domains.falling = falling = ClockDomain("falling", clk_edge="neg", reset_less=True, local=True)
        m.d.comb += falling.clk.eq(ClockSignal())
        at_rise, at_fall = Signal(self.width), Signal(self.width)
        m.d.falling += at_fall.eq(self.pins)
        m.d.sync += [at_rise.eq(self.pins), self.rise.eq(at_rise), self.fall.eq(at_fall)]
        return m

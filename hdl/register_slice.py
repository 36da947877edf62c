"""Register stage for a stream: cuts every combinational path between two components."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RegisterSlice"]


class RegisterSlice(wiring.Component):
    """Pass a stream on through registers, ``ready`` too.

    Timing
    ------
    Domain ``sync``. Latency 1 cycle, one payload a cycle. No combinational path between the two sides:
    all of ``o`` and ``i.ready`` come from registers.

    Parameters
    ----------
    shape : ShapeLike
        Payload of the stream.

    Members
    -------
    i : In(stream.Signature(shape))
        Payloads in.
    o : Out(stream.Signature(shape))
        The same payloads.
    """

    def __init__(self, shape) -> None:
        Shape.cast(shape)  # TypeError if it is no shape.
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        # The payload that arrived in the cycle in which the output stalled waits here.
        waiting = Signal(self._shape)
        full = Signal()

        m.d.comb += self.i.ready.eq(~full)
        with m.If(~full):
            m.d.sync += waiting.eq(self.i.payload)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | full),
                full.eq(0),
            ]
            with m.If(full):
                m.d.sync += self.o.payload.eq(waiting)
            with m.Else():
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid):
            m.d.sync += full.eq(1)
        return m

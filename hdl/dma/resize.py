"""Fit the beats of frames to a bus of another width."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..axi import check_axi_width_bits
from ..packet import check_width_bits, packet_signature

__all__ = ["Resize", "Word"]


class Word(data.StructLayout):
    """A word of the bus, filled with octets of a frame from lane 0 up; ``keep`` marks them."""

    def __init__(self, width_bits: int) -> None:
        super().__init__({"data": width_bits, "keep": width_bits // 8, "last": 1})


class Resize(wiring.Component):
    """Give the octets of frames as words of a bus, the first octet of each frame in lane 0.

    Timing
    ------
    Domain ``sync``. One beat of the narrower side a cycle. To a wider bus: latency 1 cycle, outputs from registers,
    ``i.ready`` two gates from ``o.ready``. Otherwise combinational from ``i`` to ``o`` and from ``o.ready`` to
    ``i.ready``.

    Parameters
    ----------
    stream_width_bits : int
        Width of the packet stream.
    axi_width_bits : int
        Width of a word.

    Members
    -------
    i : In(packet_signature(stream_width_bits))
        Frames; ``error`` means nothing.
    o : Out(stream.Signature(Word(axi_width_bits)))
        The same frames.
    busy : Out(1)
        A word is being filled, or waits.
    """

    def __init__(self, *, stream_width_bits: int, axi_width_bits: int) -> None:
        self._in = check_width_bits(stream_width_bits)
        self._out = check_axi_width_bits(axi_width_bits)
        super().__init__(
            {
                "i": In(packet_signature(stream_width_bits)),
                "o": Out(stream.Signature(Word(axi_width_bits))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self._out > self._in:
            self._widen(m, self._out // self._in)
        else:
            self._narrow(m, self._in // self._out)
        return m

    def _widen(self, m: Module, ratio: int) -> None:
        """Collect beats."""
        i, o, width = self.i.payload, self.o.payload, self._in
        at = Signal(range(ratio))
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), self.busy.eq((at != 0) | self.o.valid)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [at.eq(at + 1), o.last.eq(i.last), self.o.valid.eq(i.last | (at == ratio - 1))]
            with m.If(i.last):
                m.d.sync += at.eq(0)
            for place in range(ratio):
                with m.If(at == place):
                    m.d.sync += [
                        o.data.word_select(place, width).eq(i.data),
                        o.keep[place * width // 8 :].eq(i.keep),  # None in the lanes above.
                    ]

    def _narrow(self, m: Module, ratio: int) -> None:
        """Hand out a beat in parts, as many as hold octets."""
        i, o, octets = self.i.payload, self.o.payload, self._out // 8
        at = Signal(range(ratio))
        # Each part goes on if the next one holds octets.
        more = Signal()
        next_parts = Cat(*(i.keep[place * octets] for place in range(1, ratio)), 0)
        m.d.comb += [
            more.eq(next_parts.bit_select(at, 1)),
            o.data.eq(i.data.word_select(at, self._out)),
            o.keep.eq(i.keep.word_select(at, octets)),
            o.last.eq(i.last & ~more),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & ~more),
            self.busy.eq(at != 0),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += at.eq(at + 1)
            with m.If(~more):
                m.d.sync += at.eq(0)

"""Readings out of a packet stream: a block that sits beside the card, on the stream of what it receives."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from hardwire.hdl.packet import packet_layout, packet_signature
from hardwire.hdl.register_slice import RegisterSlice

__all__ = ["READING", "ReadingTap"]

WIDTH_BITS = 32
READING = data.StructLayout({"number": 16, "value": 32})


class ReadingTap(wiring.Component):
    """Pick the reading out of each frame of our EtherType; all other frames are swallowed.

    Of beats of four octets the fourth holds EtherType and number, the fifth the value.

    Parameters
    ----------
    ethertype : int
        Which frames.

    Members
    -------
    i : In(packet_signature(32))
        Frames.
    o : Out(stream.Signature(READING))
        Readings.
    """

    def __init__(self, ethertype: int) -> None:
        self._ethertype = ethertype
        super().__init__({"i": In(packet_signature(WIDTH_BITS)), "o": Out(stream.Signature(READING))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.edge = edge = RegisterSlice(packet_layout(WIDTH_BITS))
        wiring.connect(m, wiring.flipped(self.i), edge.i)

        beat = Signal(3)
        ours = Signal()
        word = edge.o.payload.data
        swapped = self._ethertype >> 8 | (self._ethertype & 0xFF) << 8  # Big endian on the wire.
        m.d.comb += edge.o.ready.eq(~self.o.valid)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(edge.o.valid & edge.o.ready):
            with m.If(edge.o.payload.last):
                m.d.sync += beat.eq(0)
            with m.Elif(beat != 5):
                m.d.sync += beat.eq(beat + 1)
            with m.If(beat == 3):
                m.d.sync += [ours.eq(word[:16] == swapped), self.o.payload.number.eq(word[16:])]
            with m.If((beat == 4) & ours):
                m.d.sync += [self.o.payload.value.eq(word), self.o.valid.eq(1)]
        return m

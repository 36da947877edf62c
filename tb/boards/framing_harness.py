"""Enframer and deframer in one component."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hardwire.boards.bridge.framing import CheckedToken, Deframer, Enframer, Token

__all__ = ["Framing"]


class Framing(wiring.Component):
    """Enframer from ``i`` to ``tx``, deframer from ``rx`` to ``o``."""

    i: In(stream.Signature(Token))
    tx: Out(stream.Signature(8))
    rx: In(stream.Signature(8, always_ready=True))
    o: Out(stream.Signature(CheckedToken, always_ready=True))

    def elaborate(self, platform):
        m = Module()
        m.submodules.enframer = enframer = Enframer()
        m.submodules.deframer = deframer = Deframer()
        wiring.connect(m, wiring.flipped(self.i), enframer.i)
        wiring.connect(m, enframer.o, wiring.flipped(self.tx))
        m.d.comb += [
            deframer.i.payload.eq(self.rx.payload),
            deframer.i.valid.eq(self.rx.valid),
            self.o.payload.eq(deframer.o.payload),
            self.o.valid.eq(deframer.o.valid),
        ]
        return m

"""Frames of the bridge as octets on a line, and back: RFC 1662, PPP in HDLC-like framing."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.mac.fcs import FCS_INIT, fcs_step
from ...stack.abi.bridge import (
    BRIDGE_ADDR_OCTETS,
    BRIDGE_HEADER,
    BRIDGE_WRITE_OCTETS_MAX,
    ESCAPE,
    ESCAPE_XOR,
    FCS_OCTETS,
    FLAG,
)

__all__ = ["FRAME_OCTETS_MAX", "CheckedToken", "Deframer", "Enframer", "Token"]

_RESIDUE = 0xDEBB20E3  # §C.3: what the remainder is after a frame with its FCS.
FRAME_OCTETS_MAX = BRIDGE_HEADER.size_octets + BRIDGE_ADDR_OCTETS + BRIDGE_WRITE_OCTETS_MAX  # Without FCS.


class Token(data.Struct):
    """An octet of a frame, or with ``end`` the end of it, which is no octet."""

    octet: 8
    end: 1


class CheckedToken(data.Struct):
    """A `Token`; ``good`` counts at the end: the FCS was right, and the length possible."""

    octet: 8
    end: 1
    good: 1


class Deframer(wiring.Component):
    """Find frames in octets, take escapes and FCS away, and tell if they are good.

    An empty frame, as between two flags, is none. A frame that ends inside an escape is not good (§4.3).

    Timing
    ------
    Domain ``sync``. Up to an octet a cycle, latency 1 cycle besides the four octets that may be the FCS. Outputs come
    from registers.

    Members
    -------
    i : In(stream.Signature(8, always_ready=True))
        Octets of the line.
    o : Out(stream.Signature(CheckedToken, always_ready=True))
        Frames. Those that are not good have any content and length.
    """

    i: In(stream.Signature(8, always_ready=True))
    o: Out(stream.Signature(CheckedToken, always_ready=True))

    def elaborate(self, platform):
        m = Module()
        token = self.o.payload
        flag, escape, escaped = Signal(), Signal(), Signal()
        octet = Signal(8)
        line = Signal(8 * FCS_OCTETS)  # The last four octets, the oldest lowest: the FCS, if the frame ends here.
        remainder = Signal(8 * FCS_OCTETS, init=FCS_INIT)
        octets = Signal(range(FRAME_OCTETS_MAX + FCS_OCTETS + 2))
        some, full, long_enough, too_long = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            flag.eq(self.i.payload == FLAG),
            escape.eq((self.i.payload == ESCAPE) & ~escaped),
            octet.eq(self.i.payload ^ Mux(escaped, ESCAPE_XOR, 0)),
        ]
        m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & flag):
            m.d.sync += [
                self.o.valid.eq(some),
                token.end.eq(1),
                token.good.eq((remainder == _RESIDUE) & long_enough & ~too_long & ~escaped),
                remainder.eq(FCS_INIT),
                *(one.eq(0) for one in (octets, some, full, long_enough, too_long, escaped)),
            ]
        with m.Elif(self.i.valid & escape):
            m.d.sync += [escaped.eq(1), some.eq(1)]
        with m.Elif(self.i.valid):
            m.d.sync += [
                self.o.valid.eq(full & ~too_long),
                token.end.eq(0),
                token.octet.eq(line[:8]),
                line.eq(Cat(line[8:], octet)),
                remainder.eq(fcs_step(remainder, octet)),
                octets.eq(octets + 1),
                some.eq(1),
                full.eq(full | (octets == FCS_OCTETS - 1)),
                long_enough.eq(long_enough | (octets == BRIDGE_HEADER.size_octets + FCS_OCTETS - 1)),
                too_long.eq(too_long | (octets == FRAME_OCTETS_MAX + FCS_OCTETS)),
                escaped.eq(0),
            ]
        return m


class Enframer(wiring.Component):
    """Put FCS and escapes into frames, and flags around them; one flag between two frames that follow at once.

    After a reset in the middle of a frame, the first flag ends what was sent of it.

    Timing
    ------
    Domain ``sync``. Up to an octet a cycle. ``o`` comes from registers; ``i.ready`` through gates from ``i.payload``
    and ``o.ready``.

    Members
    -------
    i : In(stream.Signature(Token))
        Frames.
    o : Out(stream.Signature(8))
        Octets of the line.
    """

    i: In(stream.Signature(Token))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        token = self.i.payload
        remainder = Signal(8 * FCS_OCTETS, init=FCS_INIT)
        free, escaped, special, in_fcs, moved = Signal(), Signal(), Signal(), Signal(), Signal()
        value = Signal(8)
        number = Signal(range(FCS_OCTETS))
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            value.eq(Mux(in_fcs, ~remainder[:8], token.octet)),
            special.eq(((value == FLAG) | (value == ESCAPE)) & ~escaped),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(moved):
            # In the FCS the remainder goes out octet by octet, and is all zeros for good.
            m.d.sync += remainder.eq(fcs_step(remainder, Mux(in_fcs, remainder[:8], token.octet)))

        def send(octet: Value | int) -> None:
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(octet)]

        def send_value() -> None:
            send(Mux(special, ESCAPE, value ^ Mux(escaped, ESCAPE_XOR, 0)))
            m.d.sync += escaped.eq(special)
            m.d.comb += moved.eq(~special)

        with m.FSM():
            with m.State("Idle"):
                with m.If(free & self.i.valid):
                    send(FLAG)
                    m.next = "Data"
            with m.State("Data"):
                m.d.comb += self.i.ready.eq(free & (token.end | ~special))
                with m.If(free & self.i.valid):
                    with m.If(token.end):
                        m.next = "Fcs"
                    with m.Else():
                        send_value()
            with m.State("Fcs"):
                m.d.comb += in_fcs.eq(1)
                with m.If(free):
                    send_value()
                    with m.If(~special):
                        m.d.sync += number.eq(number + 1)
                        with m.If(number == FCS_OCTETS - 1):
                            m.next = "Flag"
            with m.State("Flag"):
                m.d.sync += remainder.eq(FCS_INIT)
                with m.If(free):
                    send(FLAG)
                    m.next = "Between"
            with m.State("Between"):
                with m.If(free):
                    with m.If(self.i.valid):
                        m.next = "Data"
                    with m.Else():
                        m.next = "Idle"
        return m

"""What the device writes, and its interrupt line, as frames to the host."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...hdl.axi import Axi4WriteSignature, Resp
from ...stack.abi.bridge import BRIDGE_ADDR_OCTETS, BRIDGE_WRITE_OCTETS_MAX, BridgeKind
from .framing import Token

__all__ = ["Forwarder"]

_PAGE_BITS = 12  # No burst crosses a multiple of 4 KiB (A3.4.1).
_LIMIT_BITS = BRIDGE_WRITE_OCTETS_MAX.bit_length()


class Forwarder(wiring.Component):
    """Turn writes on the host bus into WRITE frames, each octet whose strobe is set and no other.

    A frame ends with the burst, at a hole, and after ``limit`` octets. A burst is answered when its frames are on their
    way; DECERR if its address has more than 32 bits, then nothing is sent of it. The interrupt line's level goes out
    between bursts when it is not what was told last, or low after reset.

    Timing
    ------
    Domain ``sync``. An octet a cycle, strobe set or not; six cycles a frame besides, four a burst. Outputs come from
    registers, ``o`` and the readies through gates.

    Parameters
    ----------
    axi_width_bits : int
        Width of the bus.
    id_width_bits : int
        Bits of a transaction's ID.

    Members
    -------
    axi : In(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits))
        The device.
    irq : In(1)
        Its interrupt line.
    limit : In(9)
        Most octets in a frame, 1 to 256.
    o : Out(stream.Signature(Token))
        Frames: kind, then what comes after the header.
    """

    def __init__(self, *, axi_width_bits: int = 64, id_width_bits: int) -> None:
        self._axi_width_bits = axi_width_bits
        super().__init__(
            {
                "axi": In(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "irq": In(1),
                "limit": In(_LIMIT_BITS),
                "o": Out(stream.Signature(Token)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi, token = self.axi, self.o.payload
        lanes = self._axi_width_bits // 8
        addr = Signal(8 * BRIDGE_ADDR_OCTETS)  # Of the lane that is looked at.
        outside, last = Signal(), Signal()
        octets, strobes = Signal(self._axi_width_bits), Signal(lanes)
        in_frame, left, at_limit = Signal(), Signal(len(self.limit)), Signal()
        wanted, sends, ends, passes = Signal(), Signal(), Signal(), Signal()
        number = Signal(range(BRIDGE_ADDR_OCTETS))
        irq, told = Signal(), Signal()
        m.d.sync += irq.eq(self.irq)
        m.d.comb += [
            wanted.eq(strobes[0] & ~outside),
            sends.eq(wanted & in_frame & ~at_limit),
            ends.eq(in_frame & ~sends),
            axi.bresp.eq(Mux(outside, Resp.DECERR.value, Resp.OKAY.value)),
        ]
        with m.If(passes):
            m.d.sync += [
                octets.eq(octets >> 8),
                strobes.eq(strobes >> 1),
                addr[:_PAGE_BITS].eq(addr[:_PAGE_BITS] + 1),
            ]

        with m.FSM():
            with m.State("Idle"):
                # Before the next burst: while frames come in faster than the line is, there is always one.
                with m.If(irq != told):
                    m.d.sync += told.eq(irq)
                    m.next = "Irq"
                with m.Else():
                    m.d.comb += axi.awready.eq(1)
                    with m.If(axi.awvalid):
                        m.d.sync += [
                            addr.eq(axi.awaddr & -lanes),
                            outside.eq(axi.awaddr[len(addr) :].any()),
                            axi.bid.eq(axi.awid),
                        ]
                        m.next = "Beat"
            with m.State("Beat"):
                m.d.comb += axi.wready.eq(1)
                m.d.sync += [octets.eq(axi.wdata), strobes.eq(axi.wstrb), last.eq(axi.wlast)]
                with m.If(axi.wvalid):
                    m.next = "Lane"
            with m.State("Lane"):
                m.d.comb += [
                    self.o.valid.eq(in_frame),
                    token.octet.eq(octets),
                    token.end.eq(ends),
                    passes.eq(Mux(in_frame, sends & self.o.ready, ~wanted)),
                ]
                with m.If(ends & self.o.ready):
                    m.d.sync += in_frame.eq(0)
                with m.If(sends & self.o.ready):
                    m.d.sync += [left.eq(left - 1), at_limit.eq(left == 1)]
                with m.If(wanted & ~in_frame):
                    m.next = "Kind"
                with m.Elif(passes & addr[: exact_log2(lanes)].all()):
                    m.next = "Beat"
                    with m.If(last):
                        m.next = "End"
            with m.State("Kind"):
                m.d.comb += [self.o.valid.eq(1), token.octet.eq(BridgeKind.WRITE)]
                m.d.sync += [number.eq(0), left.eq(self.limit), at_limit.eq(0)]
                with m.If(self.o.ready):
                    m.next = "Address"
            with m.State("Address"):
                m.d.comb += [self.o.valid.eq(1), token.octet.eq(addr.word_select(number, 8))]
                with m.If(self.o.ready):
                    m.d.sync += number.eq(number + 1)
                    with m.If(number == BRIDGE_ADDR_OCTETS - 1):
                        m.d.sync += in_frame.eq(1)
                        m.next = "Lane"
            with m.State("End"):
                m.d.comb += [self.o.valid.eq(in_frame), token.end.eq(1)]
                with m.If(self.o.ready | ~in_frame):
                    m.d.sync += [in_frame.eq(0), axi.bvalid.eq(1)]
                    m.next = "Respond"
            with m.State("Respond"):
                with m.If(axi.bready):
                    m.d.sync += axi.bvalid.eq(0)
                    m.next = "Idle"
            with m.State("Irq"):
                m.d.comb += [self.o.valid.eq(1), token.octet.eq(BridgeKind.IRQ)]
                with m.If(self.o.ready):
                    m.next = "Level"
            with m.State("Level"):
                m.d.comb += [self.o.valid.eq(1), token.octet.eq(told)]
                with m.If(self.o.ready):
                    m.next = "Told"
            with m.State("Told"):
                m.d.comb += [self.o.valid.eq(1), token.end.eq(1)]
                with m.If(self.o.ready):
                    m.next = "Idle"
        return m

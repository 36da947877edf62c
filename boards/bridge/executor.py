"""What the host's frames tell the card to do."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ...hdl.axi import AxiLiteSignature, Resp
from ...stack.abi.bridge import (
    BRIDGE_ADDR_OCTETS,
    BRIDGE_REG_VALUE,
    BRIDGE_WORD_OCTETS,
    BRIDGE_WRITE_OCTETS_MAX,
    BridgeKind,
)
from .framing import Token

__all__ = ["Executor"]

_WORD_BITS = 8 * BRIDGE_WORD_OCTETS
_VALUE_BITS = BRIDGE_REG_VALUE["resp"].lsb  # In REG_VALUE the value lies below the response.
_LIMIT_BITS = 16  # In the frame.
_LIMIT_MIN = 8


class Executor(wiring.Component):
    """Write the card's memory and registers, read registers, one frame after the other.

    A kind that it does not know, and a WRITE outside the memory, does nothing; of a WRITE, what fills no whole row at
    its end is left out. A register beyond ``reg_addr_width`` bits gives DECERR,
    and any value.

    Timing
    ------
    Domain ``sync``. An octet a cycle; a register access besides takes what the bus takes and two cycles. Outputs come
    from registers, ``i.ready`` and the valids through a gate.

    Parameters
    ----------
    memory_octets : int
        Size of the memory, a power of two.
    row_octets : int
        Octets in a row of the memory: 4 or 8.
    reg_addr_width : int
        Bits of a register's offset.

    Members
    -------
    i : In(stream.Signature(Token))
        Frames: kind, then what comes after the header.
    o : Out(stream.Signature(Token))
        Answers, in the same shape.
    write_en, write_addr, write_data : Out
        Write a row of the memory.
    axil : Out(AxiLiteSignature(addr_width=reg_addr_width))
        The registers.
    limit : Out(range(BRIDGE_WRITE_OCTETS_MAX + 1))
        Most octets of memory in a WRITE frame to the host. A LIMIT outside 8 to that does nothing.
    """

    def __init__(self, *, memory_octets: int, row_octets: int, reg_addr_width: int) -> None:
        self._memory_bits = exact_log2(memory_octets)
        self._row_octets = row_octets
        self._reg_addr_width = reg_addr_width
        super().__init__(
            {
                "i": In(stream.Signature(Token)),
                "o": Out(stream.Signature(Token)),
                "write_en": Out(1),
                "write_addr": Out(ceil_log2(memory_octets // row_octets)),
                "write_data": Out(8 * row_octets),
                "axil": Out(AxiLiteSignature(addr_width=reg_addr_width)),
                "limit": Out(range(BRIDGE_WRITE_OCTETS_MAX + 1), init=BRIDGE_WRITE_OCTETS_MAX),
            }
        )

    def elaborate(self, platform):
        m = Module()
        token, axil = self.i.payload, self.axil
        kind = Signal(8)
        word = Signal(_WORD_BITS)  # The last octets, the newest highest; or those of the answer, the next one lowest.
        addr = Signal(8 * BRIDGE_ADDR_OCTETS)
        count = Signal(range(BRIDGE_WORD_OCTETS))
        addressed, addr_there = Signal(), Signal()
        taken = Signal()
        row_full = Signal()
        row_bits = exact_log2(self._row_octets)
        m.d.comb += [
            self.write_data.eq(word[-8 * self._row_octets :]),
            self.write_addr.eq(addr[row_bits : self._memory_bits]),
            self.write_en.eq(row_full & (addr[self._memory_bits :] == 0)),
            axil.awaddr.eq(addr),
            axil.araddr.eq(addr),
            axil.wdata.eq(word[-len(axil.wdata) :]),
            axil.wstrb.eq(Const(-1, len(axil.wstrb))),
            axil.bready.eq(1),
            axil.rready.eq(1),
        ]
        no_register = Signal()
        m.d.sync += [
            no_register.eq(addr[self._reg_addr_width :] != 0),
            addr_there.eq(0),
            row_full.eq(0),
        ]
        with m.If(addr_there):
            m.d.sync += addr.eq(word[-len(addr) :])
        with m.Elif(row_full):
            m.d.sync += addr[row_bits : self._memory_bits].eq(self.write_addr + 1)
        with m.If(taken):
            m.d.sync += [word.eq(Cat(word[8:], token.octet)), count.eq(count + 1)]

        with m.FSM():
            with m.State("Kind"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [kind.eq(token.octet), count.eq(0), addressed.eq(0)]
                with m.If(self.i.valid & ~token.end):
                    m.next = "Body"
            with m.State("Body"):
                m.d.comb += [self.i.ready.eq(1), taken.eq(self.i.valid & ~token.end)]
                with m.If(taken & ~addressed & (count == BRIDGE_ADDR_OCTETS - 1)):
                    m.d.sync += [addr_there.eq(1), addressed.eq(1), count.eq(0)]
                with m.If(taken & addressed & count[:row_bits].all()):
                    m.d.sync += row_full.eq(kind == BridgeKind.WRITE)
                with m.If(self.i.valid & token.end):
                    m.next = "End"
            with m.State("End"):
                m.next = "Kind"
                with m.Switch(kind):
                    with m.Case(BridgeKind.LIMIT):
                        limit = word[-_LIMIT_BITS:]
                        with m.If((limit >= _LIMIT_MIN) & (limit <= BRIDGE_WRITE_OCTETS_MAX)):
                            m.d.sync += self.limit.eq(limit)
                    with m.Case(BridgeKind.REG_WRITE):
                        m.next = "Write"
                    with m.Case(BridgeKind.REG_READ):
                        m.next = "Read"
            with m.State("Write"):
                m.next = "Kind"
                with m.If(~no_register):
                    m.d.sync += [axil.awvalid.eq(1), axil.wvalid.eq(1)]
                    m.next = "Writing"
            with m.State("Writing"):
                with m.If(axil.awready):
                    m.d.sync += axil.awvalid.eq(0)
                with m.If(axil.wready):
                    m.d.sync += axil.wvalid.eq(0)
                with m.If(axil.bvalid):
                    m.next = "Kind"
            with m.State("Read"):
                m.d.sync += word[_VALUE_BITS:].eq(Resp.DECERR.value)
                m.next = "Answer"
                with m.If(~no_register):
                    m.d.sync += axil.arvalid.eq(1)
                    m.next = "Reading"
            with m.State("Reading"):
                with m.If(axil.arready):
                    m.d.sync += axil.arvalid.eq(0)
                with m.If(axil.rvalid):
                    m.d.sync += [word[:_VALUE_BITS].eq(axil.rdata), word[_VALUE_BITS:].eq(axil.rresp)]
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.octet.eq(BridgeKind.REG_VALUE)]
                m.d.sync += count.eq(0)
                with m.If(self.o.ready):
                    m.next = "Value"
            with m.State("Value"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.octet.eq(word)]
                with m.If(self.o.ready):
                    m.d.sync += [word.eq(Cat(word[8:], token.octet)), count.eq(count + 1)]
                    with m.If(count == BRIDGE_REG_VALUE.size_octets - 1):
                        m.next = "Answered"
            with m.State("Answered"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.end.eq(1)]
                with m.If(self.o.ready):
                    m.next = "Kind"
        return m

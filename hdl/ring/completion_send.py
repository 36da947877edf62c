"""One completion as a write burst on the host bus."""

from amaranth.hdl import C, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...stack.abi.model import Record
from ..axi import Axi4WriteSignature, Burst

__all__ = ["CompletionSend", "placed_layout"]


def placed_layout(completion) -> data.StructLayout:
    """Return what a completion is with where in the ring it goes."""
    return data.StructLayout({"completion": completion, "at": 16, "phase": 1})


class CompletionSend(wiring.Component):
    """Write completions to the host bus, one burst each.

    The members of a completion are those of the record with the same names; the record's others are 0. A bus wider than
    a completion carries it in the lanes of its address.

    Timing
    ------
    Domain ``sync``. All outputs come from registers. ``i`` to ``awvalid`` and ``wvalid`` 1 cycle; ``i`` is taken when
    its last beat was; one completion each beats + 2 cycles.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus.
    id_width_bits : int
        Bits of a transaction ID.
    record : Record
        An entry of the ring.
    completion : data.Struct
        What of it is not the same in all.

    Members
    -------
    base : In(64)
        Bus address of the ring, aligned to its size.
    i : In(stream.Signature(placed_layout(completion)))
        Completions.
    axi : Out(Axi4WriteSignature)
        Host memory; the responses are somebody else's.
    """

    def __init__(self, *, axi_width_bits: int, id_width_bits: int, record: Record, completion) -> None:
        self._record = record
        self._members = list(data.Layout.cast(completion).members)
        self._beats = max(1, 8 * record.size_octets // axi_width_bits)
        self._lanes = max(1, axi_width_bits // (8 * record.size_octets))
        super().__init__(
            {
                "base": In(64),
                "i": In(stream.Signature(placed_layout(completion))),
                "axi": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi, placed, octets = self.axi, self.i.payload, self._record.size_octets
        width = len(axi.wdata)
        entry = Signal(data.StructLayout({member.name: member.width for member in self._record.members}))
        m.d.comb += [
            *(entry[name].eq(placed.completion[name]) for name in self._members),
            entry.phase.eq(placed.phase),
        ]
        start, moved, number = Signal(), Signal(), Signal(range(self._beats))  # Of the beat that comes next.
        m.d.comb += [
            axi.awlen.eq(self._beats - 1),
            axi.awsize.eq(exact_log2(min(width // 8, octets))),
            axi.awburst.eq(Burst.INCR),
            start.eq(self.i.valid & ~self.i.ready & ~axi.awvalid & ~axi.wvalid),
            moved.eq(axi.wvalid & axi.wready),
        ]
        m.d.sync += self.i.ready.eq(moved & axi.wlast)
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(moved & axi.wlast):
            m.d.sync += [axi.wvalid.eq(0), number.eq(0)]
        with m.Elif(start | moved):
            beat = entry.as_value().replicate(self._lanes).word_select(number, width)
            m.d.sync += [axi.wdata.eq(beat), axi.wlast.eq(number == self._beats - 1), number.eq(number + 1)]
        with m.If(start):
            lane = placed.at[: exact_log2(self._lanes)]
            m.d.sync += [
                axi.awaddr.eq(self.base | (placed.at << exact_log2(octets))),
                axi.awvalid.eq(1),
                axi.wvalid.eq(1),
                axi.wstrb.eq(C((1 << min(octets, width // 8)) - 1) << (lane << exact_log2(octets))),
            ]
        return m

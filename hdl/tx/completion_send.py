"""One completion as a write burst on the host bus."""

from amaranth.hdl import C, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...stack.abi.desc import TX_CPL
from ..axi import Axi4WriteSignature, Burst
from .result_join import Completion

__all__ = ["CompletionSend", "PlacedCompletion"]


class PlacedCompletion(data.Struct):
    """A completion, and where in the ring it goes."""

    completion: Completion
    at: 16
    phase: 1


class CompletionSend(wiring.Component):
    """Write completions to the host bus, one burst each.

    A bus wider than a completion carries it in the lanes of its address.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``i.ready`` (a gate). ``i`` to ``awvalid`` and ``wvalid``
    1 cycle; one completion each beats + 1 cycles.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus.
    id_width_bits : int
        Bits of a transaction ID.

    Members
    -------
    base : In(64)
        Bus address of the ring, aligned to its size and to 4 KiB.
    i : In(stream.Signature(PlacedCompletion))
        Completions.
    axi : Out(Axi4WriteSignature)
        Host memory; the responses are somebody else's.
    """

    def __init__(self, *, axi_width_bits: int, id_width_bits: int) -> None:
        self._beats = max(1, 8 * TX_CPL.size_octets // axi_width_bits)
        self._lanes = max(1, axi_width_bits // (8 * TX_CPL.size_octets))
        super().__init__(
            {
                "base": In(64),
                "i": In(stream.Signature(PlacedCompletion)),
                "axi": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi, placed, octets = self.axi, self.i.payload, TX_CPL.size_octets
        width = len(axi.wdata)
        entry = Signal(data.StructLayout({member.name: member.width for member in TX_CPL.members}))
        m.d.comb += [
            entry.cookie.eq(placed.completion.cookie),
            entry.index.eq(placed.completion.index),
            entry.status.eq(placed.completion.status),
            entry.phase.eq(placed.phase),
        ]
        number = Signal(range(self._beats))
        rest = Signal(max(8 * octets, width))  # What is not sent, the next beat lowest.
        m.d.comb += [
            axi.awlen.eq(self._beats - 1),
            axi.awsize.eq(exact_log2(min(width // 8, octets))),
            axi.awburst.eq(Burst.INCR),
            axi.wdata.eq(rest[:width]),
            axi.wlast.eq(number == self._beats - 1),
            self.i.ready.eq(~axi.awvalid & ~axi.wvalid),
        ]
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(axi.wready & axi.wvalid):
            m.d.sync += [axi.wvalid.eq(~axi.wlast), number.eq(number + 1), rest.eq(rest >> width)]
        with m.If(self.i.valid & self.i.ready):
            lane = placed.at[: exact_log2(self._lanes)]
            m.d.sync += [
                axi.awaddr.eq(self.base | (placed.at << exact_log2(octets))),
                axi.awvalid.eq(1),
                axi.wvalid.eq(1),
                axi.wstrb.eq(C((1 << min(octets, width // 8)) - 1) << (lane << exact_log2(octets))),
                rest.eq(entry.as_value().replicate(self._lanes)),
                number.eq(0),
            ]
        return m

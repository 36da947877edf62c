"""Joins what the ring knows of a frame with what became of it in the datapath."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...stack.abi.desc import TxStatus
from ..ram_fifo import RamFifo
from .decode import FrameRecord

__all__ = ["ResultJoin", "TxCompletion"]


class TxCompletion(data.Struct):
    """A completion, but for what only the ring knows."""

    cookie: 32
    index: 16
    status: 4


class ResultJoin(wiring.Component):
    """Give each record the datapath's result, if it waits for one.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``busy`` (an or). Latency 4 cycles from ``record``, 1 from
    ``result``; one completion each 2 cycles.

    Parameters
    ----------
    depth : int
        Records that can wait.

    Members
    -------
    record : In(stream.Signature(FrameRecord))
        Frames, in order.
    result : In(stream.Signature({"status": 8}))
        What became of those that wait, in order: a ``TxStatus``.
    o : Out(stream.Signature(TxCompletion))
        Their completions.
    busy : Out(1)
        Something is inside.
    """

    def __init__(self, *, depth: int = 32) -> None:
        self._depth = depth
        super().__init__(
            {
                "record": In(stream.Signature(FrameRecord)),
                "result": In(stream.Signature(data.StructLayout({"status": 8}))),
                "o": Out(stream.Signature(TxCompletion)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        o = self.o
        m.submodules.fifo = fifo = RamFifo(shape=FrameRecord, depth=self._depth)
        connect(m, flipped(self.record), fifo.i)

        held = fifo.o.payload
        must_wait, joined = Signal(), Signal()
        m.d.comb += [
            must_wait.eq(held.wait & ~self.result.valid),
            joined.eq(fifo.o.valid & ~o.valid & ~must_wait),
            fifo.o.ready.eq(joined),
            self.result.ready.eq(fifo.o.valid & held.wait & ~o.valid),
            self.busy.eq(fifo.busy | o.valid),
        ]
        with m.If(o.ready):
            m.d.sync += o.valid.eq(0)
        with m.If(joined):
            m.d.sync += [
                o.valid.eq(1),
                o.payload.cookie.eq(held.cookie),
                o.payload.index.eq(held.index),
                o.payload.status.eq(Mux(held.status == TxStatus.OK, self.result.payload.status, held.status)),
            ]
        return m

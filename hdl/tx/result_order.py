"""Report what became of each frame, in order."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import TxStatus
from ..short_fifo import ShortFifo
from .frame_stage import Verdict

__all__ = ["ResultOrder"]


class ResultOrder(wiring.Component):
    """Give one result for each frame in the order of the frames: its verdict, or for a frame that is sent its end.

    Timing
    ------
    Domain ``sync``. 2 cycles from ``done`` to ``result``. ``verdict.ready`` and ``done.ready`` come from registers;
    ``result`` comes from registers through a few gates. ``done`` is always accepted: it never has more to report than
    there are verdicts inside.

    Parameters
    ----------
    depth : int
        Frames between verdict and result, a power of two.

    Members
    -------
    verdict : In(stream.Signature(Verdict))
        One for each frame. It limits the frames on their way to the MAC.
    done : In(stream.Signature({"underrun": 1}))
        One for each frame that the MAC ended.
    result : Out(stream.Signature({"status": 8}))
        A ``TxStatus`` for each frame.
    """

    def __init__(self, *, depth: int = 16) -> None:
        self._depth = depth
        super().__init__(
            {
                "verdict": In(stream.Signature(Verdict)),
                "done": In(stream.Signature(data.StructLayout({"underrun": 1}))),
                "result": Out(stream.Signature(data.StructLayout({"status": 8}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.verdicts = verdicts = ShortFifo(shape=Verdict, depth=self._depth, always_room=True)
        m.submodules.dones = dones = ShortFifo(shape=1, depth=self._depth, always_room=True)
        # Many gates lead to a verdict, and follow its `ready`: both have registers of their own.
        inside = Signal(range(self._depth + 1))
        entered, left = self.verdict.valid & self.verdict.ready, verdicts.o.valid & verdicts.o.ready
        m.d.sync += [
            inside.eq(inside + entered - left),
            self.verdict.ready.eq(inside < self._depth - 1),
            verdicts.i.valid.eq(entered),
            verdicts.i.payload.eq(self.verdict.payload),
        ]
        m.d.comb += [
            dones.i.valid.eq(self.done.valid),
            dones.i.payload.eq(self.done.payload.underrun),
            self.done.ready.eq(dones.i.ready),
        ]
        sent = verdicts.o.payload.status == TxStatus.OK
        sent_status = Mux(dones.o.payload, TxStatus.UNDERRUN, TxStatus.OK)
        m.d.comb += [
            self.result.valid.eq(verdicts.o.valid & (dones.o.valid | ~sent)),
            self.result.payload.status.eq(Mux(sent, sent_status, verdicts.o.payload.status)),
            verdicts.o.ready.eq(self.result.ready & (dones.o.valid | ~sent)),
            dones.o.ready.eq(self.result.ready & verdicts.o.valid & sent),
        ]
        return m

"""Report what became of each frame, in order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import TxStatus
from ..short_fifo import ShortFifo
from .frame_stage import Verdict

__all__ = ["ResultOrder"]

# Two for the verdicts that `room` does not know of yet; two for what else hangs on a verdict, and lasts a little longer
# than its result.
_MARGIN = 4


class ResultOrder(wiring.Component):
    """Give one result for each frame in the order of the frames: its verdict; for one that goes out, once it does.

    Timing
    ------
    Domain ``sync``. 2 cycles from ``sent`` to ``result``, one each two cycles. All outputs come from registers.

    Parameters
    ----------
    depth : int
        Frames between verdict and result, and whose results were taken a few cycles ago: a power of two.

    Members
    -------
    verdict : In(stream.Signature(Verdict, always_ready=True))
        One for each frame, at most one each two cycles.
    room : Out(1)
        As ``FrameStage`` has it. It limits the frames on their way to the MAC.
    sent : In(1)
        High for one cycle for each frame that goes to the MAC.
    result : Out(stream.Signature({"status": 8}))
        A ``TxStatus`` for each frame.
    """

    def __init__(self, *, depth: int = 16) -> None:
        self._depth = depth
        super().__init__(
            {
                "verdict": In(stream.Signature(Verdict, always_ready=True)),
                "room": Out(1),
                "sent": In(1),
                "result": Out(stream.Signature(data.StructLayout({"status": 8}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.verdicts = verdicts = ShortFifo(shape=Verdict, depth=self._depth, always_room=True)
        # Many gates lead to a verdict.
        inside, was_left = Signal(range(self._depth + 1)), Signal()
        left = verdicts.o.valid & verdicts.o.ready
        m.d.sync += [
            inside.eq(inside + verdicts.i.valid - was_left),
            was_left.eq(left),
            self.room.eq(inside < self._depth - _MARGIN),
            verdicts.i.valid.eq(self.verdict.valid),
            verdicts.i.payload.eq(self.verdict.payload),
        ]
        gone, some_gone = Signal(range(self._depth)), Signal()  # Frames that were sent and have no result yet.
        next_gone = Signal.like(gone)
        verdict, status = verdicts.o.payload, Signal(TxStatus)
        good, may_leave = Signal(), Signal()
        with m.If(verdict.aborted):
            m.d.comb += status.eq(TxStatus.ABORTED)
        with m.Elif(verdict.bad_length):
            m.d.comb += status.eq(TxStatus.BAD_LENGTH)
        with m.Elif(verdict.payload_error):
            m.d.comb += status.eq(TxStatus.PAYLOAD_ERROR)
        with m.Elif(verdict.bad_checksum_field):
            m.d.comb += status.eq(TxStatus.BAD_CHECKSUM_FIELD)
        with m.Elif(verdict.resolve_miss):
            m.d.comb += status.eq(TxStatus.RESOLVE_MISS)
        with m.Else():
            m.d.comb += [status.eq(TxStatus.OK), good.eq(1)]
        m.d.comb += [
            may_leave.eq(some_gone | ~good),
            verdicts.o.ready.eq(may_leave & ~self.result.valid),
            next_gone.eq(gone + self.sent - (left & good)),
        ]
        m.d.sync += [gone.eq(next_gone), some_gone.eq(next_gone != 0)]
        with m.If(left):
            m.d.sync += [self.result.valid.eq(1), self.result.payload.status.eq(status)]
        with m.Elif(self.result.ready):
            m.d.sync += self.result.valid.eq(0)
        return m

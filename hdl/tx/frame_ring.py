"""Ring of beats that holds frames until they are whole."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..block_ram import BlockRam

__all__ = ["FrameRing"]

# Beats that may still come in after the ring was found nearly full.
_MARGIN_BITS = 3
_LATE_CYCLES = 4


class FrameRing(wiring.Component):
    """Store frames; give out only whole ones; forget those that end with ``drop``.

    A beat is announced by ``push`` and its content is taken in the cycle after: this hides one stage of
    the user's pipeline from the latency.

    Timing
    ------
    Domain ``sync``. From ``push`` with ``last`` to the first beat on ``o``: 3 cycles. 4 cycles more if ``late`` or if
    the frame has only one beat, and for frames that follow so closely on such a one that they would overtake it.
    One beat a cycle both ways; a frame that has begun to come out comes without a gap. Combinational from
    ``o.ready`` to the enable of registers, not to any output.

    Parameters
    ----------
    shape : ShapeLike
        One beat.
    max_beats : int
        Longest frame, in beats. The ring holds at least that and a margin.

    Members
    -------
    room : Out(1)
        The ring has room for this cycle's beat and the next one's. ``push`` only if it was high a cycle ago.
    push, last, drop : In(1)
        A beat comes; it ends its frame; that frame is not to be sent.
    lost : In(1)
        The beat and all to come of this frame need not be stored, as the frame ends with ``drop``.
    late : In(1)
        Give this frame out some cycles later. Belongs to its last beat.
    beat : In(shape)
        Content of the beat that was pushed in the cycle before.
    o : Out(stream.Signature(shape))
        Beats of whole frames.
    """

    def __init__(self, *, shape, max_beats: int) -> None:
        self._shape = shape
        self._depth = 1 << ceil_log2(max_beats + (2 << _MARGIN_BITS))
        super().__init__(
            {
                "room": Out(1),
                "push": In(1),
                "last": In(1),
                "drop": In(1),
                "lost": In(1),
                "late": In(1),
                "beat": In(shape),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = BlockRam(shape=self._shape, depth=self._depth)

        # Write side: `head` is where the next beat goes, `start` where its frame starts.
        head = Signal(range(self._depth))
        next_head = Signal.like(head)
        start = Signal.like(head)
        inside = Signal()
        m.d.comb += next_head.eq(head + 1)
        with m.If(self.push):
            m.d.sync += inside.eq(~self.last)
            with m.If(self.last & self.drop):
                m.d.sync += head.eq(start)
            with m.Elif(~self.lost):
                m.d.sync += head.eq(next_head)
            with m.If(self.last & ~self.drop):
                m.d.sync += start.eq(next_head)

        # Up to `end` there are whole frames. Late ones take the long way, and any that would overtake them.
        # (So does a frame of one beat, which is not in the memory yet.)
        end = Signal.like(head)
        whole = Signal()
        waiting = Signal(_LATE_CYCLES)
        at_once = Signal()
        late_end = start
        for _ in range(_LATE_CYCLES - 1):
            late_end, late_end_before = Signal.like(end), late_end
            m.d.sync += late_end.eq(late_end_before)
        m.d.comb += [
            whole.eq(self.push & self.last & ~self.drop),
            at_once.eq(whole & inside & ~self.late & ~waiting.any()),
        ]
        m.d.sync += waiting.eq(Cat(whole & ~at_once, waiting))
        with m.If(at_once | waiting[-1]):
            m.d.sync += end.eq(Mux(waiting[-1], late_end, next_head))

        m.d.sync += [ram.write_en.eq(self.push), ram.write_addr.eq(head)]
        m.d.comb += ram.write_data.eq(self.beat)

        # Read side: up to `end`, through the two stages of the memory.
        tail = Signal.like(head)
        readable = Signal()
        step = Signal()
        fetched = Signal()
        m.d.comb += [
            readable.eq(tail != end),
            step.eq(self.o.ready | ~self.o.valid),
            ram.read_en.eq(step),
            ram.read_addr.eq(tail),
            self.o.payload.eq(ram.read_data),
        ]
        with m.If(step):
            m.d.sync += [fetched.eq(readable), self.o.valid.eq(fetched)]
            with m.If(readable):
                m.d.sync += tail.eq(tail + 1)

        # Three cycles late with the user's register, which the margin covers.
        used = Signal.like(head)
        m.d.sync += [used.eq(head - tail), self.room.eq(~used[_MARGIN_BITS:].all())]
        return m

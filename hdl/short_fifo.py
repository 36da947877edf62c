"""Short queue in LUT RAM."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .step import one_more

__all__ = ["ShortFifo"]


class ShortFifo(wiring.Component):
    """Queue of a few payloads in LUT RAM.

    Timing
    ------
    Domain ``sync``. Latency 2 cycles, one payload a cycle. ``o.payload`` and ``o.valid`` come from registers,
    ``i.ready`` and ``busy`` from a comparison of two of them, with a ``margin`` ``i.ready`` too from a register. No
    combinational path from ``o`` to ``i``.

    Parameters
    ----------
    shape : ShapeLike
        A payload.
    depth : int
        Payloads that have room, a power of two; one more waits at the output.
    always_room : bool
        The user never sends more than ``depth`` payloads that were not taken, so ``i.ready`` is always high. It spares
        the comparison.
    margin : int
        Payloads that have room when ``i.ready`` falls: those that a pipeline sends before it has heard of it. Each
        ``i.valid`` is a payload then, and taken, whatever ``i.ready`` is. 0: the rules of streams.

    Members
    -------
    i : In(stream.Signature(shape))
        Payloads in.
    o : Out(stream.Signature(shape))
        The same payloads.
    busy : Out(1)
        There are payloads inside.

    Raises
    ------
    ValueError
        If ``depth`` is no power of two from 2 up, or ``margin`` not less than it, or useless as there is always room.
    """

    def __init__(self, *, shape, depth: int = 16, always_room: bool = False, margin: int = 0) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 up, not {depth!r}")
        if not 0 <= margin < depth:
            raise ValueError(f"margin must be in 0..{depth - 1}, less than the depth, not {margin!r}")
        if always_room and margin:
            raise ValueError("with always_room there is no ready that a margin could be for: leave one of them out")
        self._shape = shape
        self._depth = depth
        self._always_room = always_room
        self._margin = margin
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # Without the attribute, yosys takes the output register into a block RAM, which is three times as slow.
        m.submodules.memory = memory = Memory(
            shape=Shape.cast(self._shape).width, depth=self._depth, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        # One bit more than an address tells full from empty.
        written, fetched = Signal(ceil_log2(self._depth) + 1), Signal(ceil_log2(self._depth) + 1)
        some, room = Signal(), Signal(init=1)
        if self._always_room:
            m.d.comb += room.eq(1)
        elif self._margin:
            level = (written - fetched)[: len(written)]
            m.d.sync += room.eq(level < self._depth - self._margin)
        else:
            m.d.comb += room.eq((written ^ fetched) != self._depth)
        m.d.comb += [
            self.i.ready.eq(room),
            write.en.eq(self.i.valid & (room | (self._margin != 0))),
            write.addr.eq(written),
            write.data.eq(self.i.payload),
            read.addr.eq(fetched),
            some.eq(written != fetched),
            self.busy.eq(some | self.o.valid),
        ]
        with m.If(write.en):
            m.d.sync += written.eq(one_more(written))
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(some),
                self.o.payload.eq(read.data),
                fetched.eq(one_more(fetched, some)),  # A carry: it is known too late to be one more condition.
            ]
        return m

"""Queue in block RAM."""

from amaranth.hdl import Const, Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["BlockFifo"]


class BlockFifo(wiring.Component):
    """Queue of payloads in block RAM.

    Timing
    ------
    Domain ``sync``. Latency 3 cycles, one payload a cycle. All outputs but ``i.ready`` and ``busy`` (comparisons) come
    from registers; no combinational path through the component.

    Parameters
    ----------
    shape : ShapeLike
        A payload.
    depth : int
        Payloads that have room, a power of two; two more wait at the output.

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
        If ``depth`` is no power of two from 2 up.
    """

    def __init__(self, *, shape, depth: int) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 up, not {depth!r}")
        self._shape = shape
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # The row that is read was written in an earlier cycle, so no logic is needed for both meeting in one.
        m.submodules.memory = memory = Memory(
            shape=Shape.cast(self._shape).width, depth=self._depth, init=[], attrs={"no_rw_check": Const(1)}
        )
        write, read = memory.write_port(), memory.read_port()
        # One bit more than an address tells full from empty.
        written, fetched = Signal(ceil_log2(self._depth) + 1), Signal(ceil_log2(self._depth) + 1)
        waiting, out_of_memory, move = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq((written ^ fetched) != self._depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(written),
            write.data.eq(self.i.payload),
            waiting.eq(written != fetched),
            move.eq(~self.o.valid | self.o.ready),
            read.en.eq(waiting & (~out_of_memory | move)),
            read.addr.eq(fetched),
            self.busy.eq(waiting | out_of_memory | self.o.valid),
        ]
        m.d.sync += [written.eq(written + write.en), fetched.eq(fetched + read.en)]
        with m.If(read.en | move):
            m.d.sync += out_of_memory.eq(read.en)
        # Block RAM is slow: nothing but a register may follow it.
        with m.If(move):
            m.d.sync += [self.o.valid.eq(out_of_memory), self.o.payload.eq(read.data)]
        return m

"""Queue in block RAM, for what is wide and comes seldom."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .block_ram import BlockRam

__all__ = ["BlockFifo"]


class BlockFifo(wiring.Component):
    """Queue of payloads in block RAM that hands out at most one each 3 cycles.

    Timing
    ------
    Domain ``sync``. Latency 3 cycles. All outputs come from registers, but ``busy`` (a comparison). ``i.ready`` comes a
    cycle late, which one row is for: two payloads have room when it is high.

    Parameters
    ----------
    shape : ShapeLike
        A payload.
    depth : int
        Rows, a power of two from 4 up; all but one hold payloads.

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
        If ``depth`` is no power of two from 4 up.
    """

    def __init__(self, *, shape, depth: int = 16) -> None:
        if depth < 4 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 4 up, not {depth!r}")
        self._shape = shape
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = BlockRam(shape=self._shape, depth=self._depth)
        # One bit more than an address tells full from empty.
        written, taken = Signal(ceil_log2(self._depth) + 1), Signal(ceil_log2(self._depth) + 1)
        put, take, read = Signal(), Signal(), Signal()
        m.d.comb += [
            put.eq(self.i.valid & self.i.ready),
            take.eq(self.o.valid & self.o.ready),
            ram.write_en.eq(put),
            ram.write_addr.eq(written),
            ram.write_data.eq(self.i.payload),
            ram.read_en.eq(1),
            ram.read_addr.eq(taken),
            self.o.payload.eq(ram.read_data),
            self.busy.eq(written != taken),
        ]
        m.d.sync += [
            written.eq(written + put),
            taken.eq(taken + take),
            self.i.ready.eq((written - taken)[: len(written)] < self._depth - 1),
            read.eq(self.busy & ~take),
            self.o.valid.eq(read & ~take),
        ]
        return m

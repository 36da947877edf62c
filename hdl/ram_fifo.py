"""Queue in block RAM."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .block_ram import BlockRam
from .step import one_more

__all__ = ["RamFifo"]


class RamFifo(wiring.Component):
    """Queue of payloads in block RAM: as `ShortFifo`, but wide ones cost next to no logic.

    Timing
    ------
    Domain ``sync``. Latency 3 cycles, one payload a cycle. ``o.payload``, ``o.valid`` and ``i.ready`` come from
    registers, ``busy`` from a comparison of two of them. Room shows a cycle after it is there. No combinational path
    from ``o`` to ``i``.

    Parameters
    ----------
    shape : ShapeLike
        A payload.
    depth : int
        A power of two. One payload less has room, or as many with ``always_room``; up to two more wait on the way out.
    always_room : bool
        The user never sends more than ``depth`` payloads that were not taken, so ``i.ready`` is always high. It spares
        a comparison.

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

    def __init__(self, *, shape, depth: int, always_room: bool = False) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 up, not {depth!r}")
        self._shape = shape
        self._depth = depth
        self._always_room = always_room
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = BlockRam(shape=self._shape, depth=self._depth)
        # One bit more than an address tells full from empty.
        written, fetched = Signal(ceil_log2(self._depth) + 1), Signal(ceil_log2(self._depth) + 1)
        some, on_the_way, room = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            some.eq(written != fetched),
            self.i.ready.eq(room),
            ram.write_en.eq(self.i.valid & self.i.ready),
            ram.write_addr.eq(written),
            ram.write_data.eq(self.i.payload),
            ram.read_en.eq(~self.o.valid | self.o.ready),
            ram.read_addr.eq(fetched),
            self.o.payload.eq(ram.read_data),
            self.busy.eq(some | on_the_way | self.o.valid),
        ]
        if not self._always_room:
            # One place is left for what may be written in this cycle.
            level = (written - fetched)[: len(written)]
            m.d.sync += room.eq(level < self._depth - 1)
        with m.If(ram.write_en):
            m.d.sync += written.eq(one_more(written))
        with m.If(ram.read_en):
            # `some` as a carry: it is known too late to be one more condition.
            m.d.sync += [on_the_way.eq(some), self.o.valid.eq(on_the_way), fetched.eq(one_more(fetched, some))]
        return m

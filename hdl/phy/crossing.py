"""Queue between two clock domains."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["CrossingFifo"]


class CrossingFifo(wiring.Component):
    """Queue in LUT RAM whose ends are in unrelated clock domains.

    Each end counts in binary and shows its count in Gray code, of which a synchroniser may see the value before or
    after a step, but no third one. A reset of one end alone lets up to a lap of old payloads out.

    Timing
    ------
    ``i`` in domain ``write``, ``o`` in domain ``read``. From ``i`` to ``o.valid``: 1 cycle of ``write`` and 3 to 4 of
    ``read``. One payload a cycle. ``i.ready`` and ``o.valid`` come from registers, ``o.payload`` from the memory, whose
    address is a register.

    Parameters
    ----------
    shape : ShapeLike
        A payload.
    depth : int
        Payloads that have room, a power of two.

    Members
    -------
    i : In(stream.Signature(shape))
        Payloads in.
    o : Out(stream.Signature(shape))
        The same payloads.

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
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=Shape.cast(self._shape).width, depth=self._depth, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(domain="write"), memory.read_port(domain="comb")
        # One bit more than an address tells full from empty.
        width = ceil_log2(self._depth) + 1
        written, fetched, next_written, next_fetched = (Signal(width) for _ in range(4))
        written_gray, fetched_gray, next_written_gray, next_fetched_gray = (Signal(width) for _ in range(4))
        written_seen, fetched_seen = Signal(width), Signal(width)
        ready = Signal(init=1)
        m.submodules.written_seen = FFSynchronizer(written_gray, written_seen, o_domain="read")
        m.submodules.fetched_seen = FFSynchronizer(fetched_gray, fetched_seen, o_domain="write")
        m.d.comb += [
            self.i.ready.eq(ready),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(written),
            write.data.eq(self.i.payload),
            next_written.eq(written + write.en),
            read.addr.eq(fetched),
            self.o.payload.eq(read.data),
            next_fetched.eq(fetched + (self.o.valid & self.o.ready)),
            next_written_gray.eq(next_written ^ next_written[1:]),
            next_fetched_gray.eq(next_fetched ^ next_fetched[1:]),
        ]
        m.d.write += [
            written.eq(next_written),
            written_gray.eq(next_written_gray),
            # A lap apart, Gray codes differ in their two highest bits.
            ready.eq((next_written_gray ^ fetched_seen) != 0b11 << width - 2),
        ]
        m.d.read += [
            fetched.eq(next_fetched),
            fetched_gray.eq(next_fetched_gray),
            self.o.valid.eq(next_fetched_gray != written_seen),
        ]
        return m

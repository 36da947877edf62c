"""Block RAM with one write port, one read port and an output register."""

from amaranth.hdl import Const, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["BlockRam"]


class BlockRam(wiring.Component):
    """Memory that is written and read at once.

    A platform that has a method ``block_ram(ram)`` builds it from its own primitives; without one it is
    inferred, and its output register is made of flip-flops. Reading a row in the cycle in which it is
    written gives an undefined value: the user keeps the two apart.

    Timing
    ------
    Domain ``sync``. ``read_data`` shows row ``read_addr`` two cycles with ``read_en`` later; it stands
    still while ``read_en`` is low. A row can be read in the cycle after it was written.

    Parameters
    ----------
    shape : ShapeLike
        One row.
    depth : int
        Number of rows.

    Members
    -------
    write_en, write_addr, write_data : In
        Write one row.
    read_en, read_addr : In
        Advance the read by one stage.
    read_data : Out(shape)
        The row that was read.

    Raises
    ------
    ValueError
        If ``depth`` is less than 2.
    """

    def __init__(self, *, shape, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth!r}")
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "write_en": In(1),
                "write_addr": In(ceil_log2(depth)),
                "write_data": In(shape),
                "read_en": In(1),
                "read_addr": In(ceil_log2(depth)),
                "read_data": Out(shape),
            }
        )

    def elaborate(self, platform):
        if hasattr(platform, "block_ram"):
            return platform.block_ram(self)

        m = Module()
        width = Shape.cast(self.shape).width
        # Without the attribute, yosys adds logic that gives the old row when both ports meet in one.
        m.submodules.memory = memory = Memory(shape=width, depth=self.depth, init=[], attrs={"no_rw_check": Const(1)})
        write = memory.write_port()
        read = memory.read_port()
        read_data = Signal(width)
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_data),
            read.en.eq(self.read_en),
            read.addr.eq(self.read_addr),
            self.read_data.eq(read_data),
        ]
        with m.If(self.read_en):
            m.d.sync += read_data.eq(read.data)
        return m

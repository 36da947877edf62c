"""The card's own memory: the host writes it ahead, the device reads it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In
from amaranth.utils import exact_log2

from ...hdl.axi import Axi4ReadSignature, Resp
from ...hdl.block_ram import BlockRam
from ...hdl.register_slice import RegisterSlice

__all__ = ["CardMemory"]

_PAGE_OCTETS = 4096  # No burst crosses a multiple of it (A3.4.1).
_ADDR_WIDTH_BITS = 64


class CardMemory(wiring.Component):
    """Answer reads, in the order of their addresses; DECERR outside the memory.

    All bursts are INCR, of whole rows. Who reads a row in the cycle in which it is written gets anything.

    Timing
    ------
    Domain ``sync``. 5 cycles from ``arvalid`` to the first beat, then one beat a cycle, over bursts too; a second
    address is accepted while a burst runs. Outputs come from registers or the memory's own; ``axi.rready`` holds
    what is inside by a gate or two.

    Parameters
    ----------
    memory_octets : int
        Size, a power of two from 4096 up.
    axi_width_bits : int
        Width of the bus and of a row: 32 or 64.
    id_width_bits : int
        Bits of a transaction's ID.

    Members
    -------
    write_en, write_addr, write_data : In
        Write a row.
    axi : In(Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits))
        The device.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, memory_octets: int, axi_width_bits: int = 64, id_width_bits: int) -> None:
        if memory_octets < _PAGE_OCTETS or memory_octets & (memory_octets - 1):
            raise ValueError(f"memory_octets must be a power of two from {_PAGE_OCTETS} up, not {memory_octets!r}")
        if axi_width_bits not in (32, 64):
            raise ValueError(f"axi_width_bits must be 32 or 64, not {axi_width_bits!r}")
        self._row_bits = exact_log2(axi_width_bits // 8)
        self._memory_bits = exact_log2(memory_octets)
        self._axi_width_bits = axi_width_bits
        self._id_width_bits = id_width_bits
        super().__init__(
            {
                "write_en": In(1),
                "write_addr": In(self._memory_bits - self._row_bits),
                "write_data": In(axi_width_bits),
                "axi": In(
                    Axi4ReadSignature(addr_width=_ADDR_WIDTH_BITS, data_width=axi_width_bits, id_width=id_width_bits)
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        row_addr_bits = len(self.write_addr)
        m.submodules.ram = ram = BlockRam(shape=self._axi_width_bits, depth=1 << row_addr_bits)
        burst_shape = data.StructLayout({"id": self._id_width_bits, "row": row_addr_bits, "len": 8, "outside": 1})
        tag_shape = data.StructLayout({"id": self._id_width_bits, "outside": 1, "last": 1})
        m.submodules.bursts = bursts = RegisterSlice(burst_shape)
        burst = bursts.o.payload
        m.d.comb += [
            ram.write_en.eq(self.write_en),
            ram.write_addr.eq(self.write_addr),
            ram.write_data.eq(self.write_data),
            bursts.i.valid.eq(axi.arvalid),
            axi.arready.eq(bursts.i.ready),
            bursts.i.payload.id.eq(axi.arid),
            bursts.i.payload.row.eq(axi.araddr[self._row_bits :]),
            bursts.i.payload.len.eq(axi.arlen),
            bursts.i.payload.outside.eq(axi.araddr[self._memory_bits :].any()),
        ]

        # Three stages behind each other: which row, the memory's first register, its second.
        moving = Signal()
        active, left, row, tag = Signal(), Signal(8), Signal(row_addr_bits), Signal(tag_shape)
        first, second = Signal(_stage(tag_shape)), Signal(_stage(tag_shape))
        m.d.comb += [
            moving.eq(~second.valid | axi.rready),
            bursts.o.ready.eq(moving & (~active | tag.last)),
            ram.read_en.eq(moving),
            ram.read_addr.eq(row),
            axi.rvalid.eq(second.valid),
            axi.rid.eq(second.tag.id),
            axi.rlast.eq(second.tag.last),
            axi.rresp.eq(Mux(second.tag.outside, Resp.DECERR.value, Resp.OKAY.value)),
            axi.rdata.eq(ram.read_data),
        ]
        with m.If(moving):
            m.d.sync += [first.valid.eq(active), first.tag.eq(tag), second.eq(first)]
            m.d.sync += [row.eq(row + 1), left.eq(left - 1), tag.last.eq(left == 1)]
            with m.If(~active | tag.last):
                m.d.sync += [
                    active.eq(bursts.o.valid),
                    tag.id.eq(burst.id),
                    tag.outside.eq(burst.outside),
                    tag.last.eq(burst.len == 0),
                    left.eq(burst.len),
                    row.eq(burst.row),
                ]
        return m


def _stage(tag_shape: data.Layout) -> data.StructLayout:
    """Return a stage of the pipeline."""
    return data.StructLayout({"valid": 1, "tag": tag_shape})

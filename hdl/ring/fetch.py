"""Descriptor prefetch: bursts of descriptors out of the ring in host memory, one by one to the decoder."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...stack.abi.model import Record
from ..axi import Axi4ReadSignature, Burst
from ..ram_fifo import RamFifo

__all__ = ["DescriptorFetch", "fetched_layout"]

_BLOCK_LOG2 = 2  # A burst ends where a block of 4 descriptors ends, so it crosses neither 4 KiB nor the ring's end.


def fetched_layout(record: Record) -> data.StructLayout:
    """Return what a descriptor is as it came from memory; with ``error`` its fields mean nothing."""
    fields = data.StructLayout({member.name: member.width for member in record.members})
    return data.StructLayout({"fields": fields, "index": 16, "error": 1})


class DescriptorFetch(wiring.Component):
    """Read the descriptors from index 0 on, up to but never at ``limit``, and hand them out in order.

    A burst takes up to 4 descriptors; further ones follow without waiting for data, as long as all of it has room
    inside. All have the same ID, so that their data comes in order, and it is always accepted at once.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``caught_up`` (a comparison) and ``empty`` (a few gates). A
    change of ``limit`` to ``arvalid`` 2 cycles; last beat of a descriptor to ``o.valid`` 4 cycles; one burst each 2
    cycles, one descriptor each cycles as it has beats, and 1.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus: 32 to 512.
    ring_log2_max : int
        Largest ring, as log2 of its descriptors.
    id_width_bits : int
        Bits of a transaction ID.
    prefetch : int
        Descriptors that have room inside, a power of two from 8 up.
    record : Record
        A descriptor.

    Members
    -------
    base : In(64)
        Bus address of the ring, aligned to its size.
    mask : In(ring_log2_max)
        Number of descriptors, less one.
    limit : In(ring_log2_max)
        Index of the first descriptor that must not be read.
    halt : In(1)
        Start no burst.
    clear : In(1)
        Start again at index 0. Only while ``empty``.
    axi : Out(Axi4ReadSignature)
        Host memory.
    o : Out(stream.Signature(fetched_layout(record)))
        Descriptors.
    caught_up : Out(1)
        All up to what ``limit`` was a cycle ago was asked for.
    empty : Out(1)
        All that was asked for was handed out.
    """

    def __init__(
        self,
        *,
        axi_width_bits: int,
        ring_log2_max: int,
        id_width_bits: int,
        prefetch: int,
        record: Record,
    ) -> None:
        self._record = record
        # A bus wider than a descriptor carries one a beat, in the lane of its address (A3.4.3, narrow transfers).
        self._width = min(axi_width_bits, 8 * record.size_octets)
        self._beats = 8 * record.size_octets // self._width
        self._prefetch = prefetch
        super().__init__(
            {
                "base": In(64),
                "mask": In(ring_log2_max),
                "limit": In(ring_log2_max),
                "halt": In(1),
                "clear": In(1),
                "axi": Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "o": Out(stream.Signature(fetched_layout(record))),
                "caught_up": Out(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        taken = Signal()
        m.d.comb += taken.eq(self.o.valid & self.o.ready)
        self._request(m, taken)
        self._assemble(m, taken)
        return m

    def _request(self, m: Module, taken: Signal) -> None:
        """Ask for bursts while there is room for a whole block."""
        axi, mask = self.axi, self.mask
        low = min(_BLOCK_LOG2, len(mask))
        limit = Signal.like(self.limit)
        index = Signal.like(mask)
        room = Signal(range(self._prefetch + 1), init=self._prefetch)

        same_block, to_limit, start = Signal(init=1), Signal(), Signal()
        more = Signal(low)  # Descriptors of the burst, less one.
        # Where the next block starts, and the room that this burst leaves, come one cycle late; so does the next burst.
        next_block = Signal.like(mask)
        asked, asked_more, returned, cleared = Signal(), Signal(low), Signal(), Signal()
        m.d.sync += [
            # In step: `index` stands still in the cycle before a burst starts.
            limit.eq(self.limit),
            same_block.eq(index[low:] == self.limit[low:] if len(mask) > low else 1),
            cleared.eq(self.clear),
        ]
        m.d.comb += [
            self.caught_up.eq(same_block & (index[:low] == limit[:low])),
            to_limit.eq(same_block & (index[:low] < limit[:low])),
            # (Never beyond the block, even if `mask` became less than `index` meanwhile.)
            more.eq(Mux(to_limit, limit[:low] + ~index[:low], mask[:low] & ~index[:low])),
            start.eq(~axi.arvalid & ~self.caught_up & ~self.halt & ~cleared & room[low:].any()),
            self.empty.eq((room == self._prefetch) & ~axi.arvalid),
        ]
        m.d.sync += [
            next_block.eq(Cat(C(0, low), index[low:] + 1) & mask),
            asked.eq(start),
            asked_more.eq(more),
            returned.eq(taken),
            room.eq(room + returned - Mux(asked, asked_more + 1, 0)),
        ]

        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        with m.If(start):
            m.d.sync += [axi.arvalid.eq(1), index.eq(Mux(to_limit, limit, next_block))]
        with m.If(~axi.arvalid):  # What may be asked for next, if it is or not.
            m.d.sync += [
                axi.araddr.eq(self.base | (index << exact_log2(self._record.size_octets))),
                axi.arlen.eq(Cat(C(self._beats - 1, exact_log2(self._beats)), more)),
            ]
        with m.If(self.clear):
            m.d.sync += index.eq(0)
        m.d.comb += [
            axi.arsize.eq(exact_log2(self._width // 8)),
            axi.arburst.eq(Burst.INCR),
            axi.rready.eq(1),
        ]

    def _assemble(self, m: Module, taken: Signal) -> None:
        """Collect the beats of a descriptor."""
        axi, o, width = self.axi, self.o, self._width
        beat = data.StructLayout({"data": width, "error": 1})
        m.submodules.fifo = fifo = RamFifo(shape=beat, depth=self._prefetch * self._beats, always_room=True)
        lane = Signal(range(len(axi.rdata) // width))
        with m.If(axi.rvalid):
            m.d.sync += lane.eq((lane + 1) & self.mask)  # A ring may be narrower than the bus.
        number = Signal(range(self._beats))
        next_index = Signal.like(self.mask)
        fields = Signal(width * self._beats)
        m.d.comb += [
            fifo.i.payload.data.eq(axi.rdata.word_select(lane, width)),
            fifo.i.payload.error.eq(axi.rresp[1]),
            fifo.i.valid.eq(axi.rvalid),
            fifo.o.ready.eq(~o.valid),
            o.payload.fields.eq(fields),
        ]
        with m.If(fifo.o.valid & fifo.o.ready):
            m.d.sync += [
                number.eq(number + 1),
                o.valid.eq(number == self._beats - 1),
                o.payload.error.eq((o.payload.error & (number != 0)) | fifo.o.payload.error),
            ]
            with m.If(number == 0):
                m.d.sync += [o.payload.index.eq(next_index), next_index.eq((next_index + 1) & self.mask)]
            for at in range(self._beats):
                with m.If(number == at):
                    m.d.sync += fields.word_select(at, width).eq(fifo.o.payload.data)
        with m.If(taken):
            m.d.sync += o.valid.eq(0)
        with m.If(self.clear):
            m.d.sync += [lane.eq(0), next_index.eq(0)]

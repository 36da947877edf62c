"""Memory in which received frames wait for the RX ring."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...stack.abi.desc import RxFlags
from ..block_ram import BlockRam
from ..packet import check_width_bits, packet_layout, packet_signature
from ..ram_fifo import RamFifo
from .frame import RX_FLAGS_BITS, RxEnd, RxFrame

__all__ = ["RxBuffer", "check_buffer_octets"]

_FCS_OCTETS, _TAG_OCTETS = 4, 4
_MARGIN_BITS = 3  # Rows that may still come in after the memory was found nearly full.
_MIN_ROWS = 4  # Of a good frame: 56 octets without tag and FCS, after the pad, 16 to a row.


def check_buffer_octets(buffer_octets: int, width_bits: int) -> int:
    """Return ``buffer_octets`` if a buffer of that width can have it.

    Raises
    ------
    ValueError
        If it is no power of two, or less than 16 rows.
    """
    if buffer_octets < 2 * width_bits or buffer_octets & (buffer_octets - 1):
        raise ValueError(f"buffer_octets must be a power of two of at least 16 rows, not {buffer_octets!r}")
    return buffer_octets


class RxBuffer(wiring.Component):
    """Store frames whole, give back the good ones in order, and forget the others.

    A frame that finds no room is forgotten whole.

    Timing
    ------
    Domain ``sync``. One beat a cycle; at least 2 cycles between two frames, 5 from a last beat to the next one, and a
    good frame has at least 4 beats. ``accept`` 3 cycles, ``done`` 5 cycles after a last beat. From there to
    ``frame.valid`` 4 cycles; from ``frame.ready`` to the first beat 3 cycles, to the next ``frame.valid`` as many as
    the frame has beats, and 1. Combinational from ``o.ready`` to the memory's enable.

    Parameters
    ----------
    width_bits : int
        Width of a beat.
    buffer_octets : int
        Room, a power of two; a little less can be used.

    Members
    -------
    i : In(stream.Signature(packet_layout(width_bits), always_ready=True))
        Frames.
    end : In(stream.Signature(RxEnd, always_ready=True))
        Valid with the last beat of each good frame.
    accept : In(1)
        The frame whose last beat was 3 cycles ago is wanted.
    csum, flags, done : In
        Sums of the frame whose last beat was 5 cycles ago.
    frame : Out(stream.Signature(RxFrame))
        Each good frame.
    drop : In(1)
        With ``frame.ready``: its octets are not wanted.
    o : Out(packet_signature(width_bits))
        Octets of the frames, ``error`` always 0.
    stored, filtered, missed : Out(1)
        High for one cycle for each good frame that is inside, was not wanted, found no room.
    busy : Out(1)
        A frame is inside.

    Raises
    ------
    ValueError
        If ``buffer_octets`` is not a power of two of at least 16 rows.
    """

    def __init__(self, *, width_bits: int, buffer_octets: int) -> None:
        self._octets = check_width_bits(width_bits) // 8
        self._rows = check_buffer_octets(buffer_octets, width_bits) // self._octets
        super().__init__(
            {
                "i": In(stream.Signature(packet_layout(width_bits), always_ready=True)),
                "end": In(stream.Signature(RxEnd, always_ready=True)),
                "accept": In(1),
                "csum": In(16),
                "flags": In(RX_FLAGS_BITS),
                "done": In(1),
                "frame": Out(stream.Signature(RxFrame)),
                "drop": In(1),
                "o": Out(packet_signature(width_bits)),
                "stored": Out(1),
                "filtered": Out(1),
                "missed": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width, octets, rows = self._octets * 8, self._octets, self._rows
        lane_bits, row_bits = ceil_log2(octets), ceil_log2(rows)
        row = data.StructLayout({"data": width, "extra": lane_bits, "last": 1})
        record = data.StructLayout({"frame": RxFrame, "next": row_bits})
        m.submodules.memory = memory = BlockRam(shape=row.size, depth=rows)
        m.submodules.frames = frames = RamFifo(shape=record, depth=rows // _MIN_ROWS, always_room=True)

        # Writing: the beats, a cycle later than they come so that the verdict on the frame before is there.
        valid = Signal()
        beat = Signal.like(self.i.payload)
        first = Signal(init=1)
        failed = Signal()
        room = Signal(init=1)
        base, write_row, tail = Signal(row_bits), Signal(row_bits), Signal(row_bits)
        m.d.sync += valid.eq(self.i.valid)
        with m.If(self.i.valid):
            m.d.sync += beat.eq(self.i.payload)
        ended = self.i.valid & self.i.payload.last
        ended_ago = Signal(3)
        good = Signal()
        waiting = Signal(RxFrame)  # What is known of the frame that ended; its flags are only VLAN.
        m.d.sync += ended_ago.eq(Cat(ended, ended_ago))
        with m.If(ended):
            tagged = self.end.payload.tagged
            m.d.sync += [
                good.eq(~self.i.payload.error),
                waiting.length.eq(self.end.payload.octets - Mux(tagged, _FCS_OCTETS + _TAG_OCTETS, _FCS_OCTETS)),
                waiting.tci.eq(Mux(tagged, self.end.payload.tci, 0)),
                waiting.flags.eq(Mux(tagged, int(RxFlags.VLAN), 0)),
            ]
        verdict = ended_ago[2]
        keep_frame = good & self.accept & ~failed
        m.d.comb += [
            self.filtered.eq(verdict & good & ~self.accept),
            self.missed.eq(verdict & good & self.accept & failed),
        ]
        free = Signal(row_bits, init=rows - 1)
        m.d.sync += [free.eq(tail + ~write_row), room.eq(free[_MARGIN_BITS:].any())]
        do_write = valid & room & (first | ~failed)
        with m.If(valid):
            m.d.sync += [first.eq(beat.last), failed.eq(~do_write)]
        with m.If(verdict & ~keep_frame):
            m.d.sync += write_row.eq(base)
        with m.Elif(do_write):
            m.d.sync += write_row.eq(write_row + 1)
        kept = Signal(4)
        m.d.sync += kept.eq(Cat(verdict & keep_frame, kept))
        with m.If(verdict & keep_frame):
            m.d.sync += base.eq(write_row)
        found, found_valid, frames_busy = Signal(record), Signal(), Signal()
        extra = sum(beat.keep[n] for n in range(1, octets))
        m.d.comb += [
            memory.write_en.eq(do_write),
            memory.write_addr.eq(write_row),
            memory.write_data.eq(Cat(beat.data, extra[:lane_bits], beat.last)),
            self.stored.eq(self.done & kept[1]),
            frames.i.valid.eq(found_valid),
            frames.i.payload.eq(found),
        ]
        m.d.sync += [
            frames_busy.eq(frames.busy),
            found_valid.eq(self.stored),
            found.next.eq(base),
            found.frame.eq(waiting),
            found.frame.csum.eq(self.csum),
            found.frame.flags.eq(waiting.flags | self.flags),
        ]

        # Reading: rows go through the memory's two stages.
        issue = Signal()
        data_at = Signal(2)
        advance = ~data_at[1] | self.o.ready
        moving = advance & (issue | data_at.any())
        last_row = Signal(row_bits)
        tail_moves = Signal()  # Apart from where to: that is there earlier.
        with m.If(moving):
            m.d.sync += data_at.eq(Cat(issue, data_at))
        with m.If(tail_moves):
            m.d.sync += tail.eq(Mux(issue, tail + 1, frames.o.payload.next))
        with m.If(issue):
            m.d.comb += tail_moves.eq(advance)
            with m.If(advance & (tail == last_row)):
                m.d.sync += issue.eq(0)
        with m.Else():
            m.d.comb += [self.frame.valid.eq(frames.o.valid), frames.o.ready.eq(self.frame.ready)]
            m.d.sync += last_row.eq(frames.o.payload.next - 1)
            with m.If(self.frame.valid & self.frame.ready):
                m.d.comb += tail_moves.eq(self.drop)
                m.d.sync += issue.eq(~self.drop)
        out = data.View(row, memory.read_data)
        m.d.comb += [
            memory.read_en.eq(moving),
            memory.read_addr.eq(tail),
            self.frame.payload.eq(frames.o.payload.frame),
            self.o.valid.eq(data_at[1]),
            self.o.payload.data.eq(out.data),
            self.o.payload.last.eq(out.last),
            self.o.payload.keep.eq(Cat(out.extra >= n for n in range(octets))),
            self.busy.eq(~first | valid | ended_ago.any() | kept.any() | frames_busy | issue | data_at.any()),
        ]
        return m

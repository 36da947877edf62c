"""Memory in which received frames wait for the RX ring."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...stack.abi.desc import RxFlags
from ..block_ram import BlockRam
from ..packet import check_width_bits, packet_layout, packet_signature
from .frame import RX_FLAGS_BITS, RxEnd, RxFrame

__all__ = ["RxBuffer", "check_buffer_octets"]

_FCS_OCTETS, _TAG_OCTETS = 4, 4
_MARGIN_ROWS = 4


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

    A frame's rows come after one row (two at 32 bits) for its `RxFrame`, which is written last. A frame that finds no
    room is forgotten whole.

    Timing
    ------
    Domain ``sync``. One beat a cycle. ``verdict`` 3 cycles and ``done`` 4 to 6 cycles after a last beat, at least 2
    cycles between two frames, and a good one has at least 4 beats unless 8 cycles go by after it. From ``done`` to
    ``frame.valid`` 5 cycles (7 at 32 bits), from ``frame.ready`` to the first beat 3 cycles.
    Combinational from ``o.ready`` to the memory's enable.

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
        Result for the frame whose ``verdict`` was last.
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
        header = data.StructLayout({"frame": RxFrame, "next": row_bits})
        header_rows = 2 if width == 32 else 1
        m.submodules.memory = memory = BlockRam(shape=row.size, depth=rows)

        # Writing: the beats, a cycle later than they come so that the verdict on the frame before is there.
        valid = Signal()
        beat = Signal.like(self.i.payload)
        first = Signal(init=1)
        failed = Signal()
        room = Signal(init=1)
        base, write_row, tail = Signal(row_bits), Signal(row_bits, init=header_rows), Signal(row_bits)
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
        free = Signal(row_bits)
        m.d.comb += free.eq(tail + ~write_row)
        m.d.sync += room.eq(free >= _MARGIN_ROWS)
        do_write = valid & room & (first | ~failed)
        with m.If(valid):
            m.d.sync += [first.eq(beat.last), failed.eq(~do_write)]
        with m.If(verdict):
            m.d.sync += write_row.eq(Mux(keep_frame, write_row, base) + header_rows)
        with m.Elif(do_write):
            m.d.sync += write_row.eq(write_row + 1)

        # The header: put together when all is known, written when no beat is.
        is_kept = Signal()
        kept_row = Signal(row_bits)
        kept = Signal.like(waiting)
        pending = Signal(header_rows)
        result = Signal(header)
        result_row = Signal(row_bits)
        with m.If(verdict):
            m.d.sync += is_kept.eq(keep_frame)
            with m.If(keep_frame):
                m.d.sync += [kept_row.eq(base), base.eq(write_row), kept.eq(waiting)]
        write_header = pending.any() & ~valid
        with m.If(write_header):
            m.d.sync += [pending.eq(pending[1:]), result_row.eq(result_row + 1)]
            if header_rows > 1:
                m.d.sync += result.eq(result.as_value() >> row.size)
        with m.If(self.done & is_kept):
            m.d.sync += [
                pending.eq(~0),
                result_row.eq(kept_row),
                result.frame.eq(kept),
                result.frame.csum.eq(self.csum),
                result.frame.flags.eq(kept.flags | self.flags),
                result.next.eq(base),
            ]
        extra = sum(beat.keep[n] for n in range(1, octets))
        m.d.comb += [
            self.stored.eq(write_header & ~pending[1:].any()),
            memory.write_en.eq(do_write | write_header),
            memory.write_addr.eq(Mux(valid, write_row, result_row)),
            memory.write_data.eq(Mux(valid, Cat(beat.data, extra[:lane_bits], beat.last), result.as_value())),
        ]

        # Reading: rows go through the memory's two stages; a header is taken where it comes out.
        frames = Signal(range(rows // header_rows))
        taken = Signal()
        m.d.sync += frames.eq(frames + self.stored - taken)
        issue, issue_header = Signal(), Signal()
        data_at, header_at = Signal(2), Signal(2)
        advance = ~data_at[1] | self.o.ready
        raw = Signal(header_rows * row.size)
        got = data.View(header, raw[: header.size])
        got_rows = Signal(range(header_rows + 1))
        issued = Signal(range(header_rows + 1))
        last_row = Signal(row_bits)
        moving = advance & (issue | issue_header | data_at.any() | header_at.any())
        with m.If(moving):
            m.d.sync += [data_at.eq(Cat(issue, data_at)), header_at.eq(Cat(issue_header, header_at))]
            with m.If(issue | issue_header):
                m.d.sync += tail.eq(tail + 1)
            with m.If(header_at[1]):
                m.d.sync += raw.eq(Cat(raw, memory.read_data)[row.size :])
        with m.FSM():
            with m.State("Idle"):
                with m.If(frames.any()):
                    m.d.comb += issue_header.eq(1)
                    with m.If(advance):
                        m.d.sync += issued.eq(issued + 1)
                        with m.If(issued == header_rows - 1):
                            m.d.sync += issued.eq(0)
                            m.next = "Header"
            with m.State("Header"):
                with m.If(advance & header_at[1]):
                    m.d.sync += got_rows.eq(got_rows + 1)
                    with m.If(got_rows == header_rows - 1):
                        m.d.sync += got_rows.eq(0)
                        m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += self.frame.valid.eq(1)
                m.d.sync += last_row.eq(got.next - 1)
                with m.If(self.frame.ready):
                    m.next = "Data"
                    with m.If(self.drop):
                        m.d.comb += taken.eq(1)
                        m.d.sync += tail.eq(got.next)
                        m.next = "Idle"
            with m.State("Data"):
                m.d.comb += issue.eq(1)
                with m.If(advance & (tail == last_row)):
                    m.d.comb += taken.eq(1)
                    m.next = "Idle"
        out = data.View(row, memory.read_data)
        m.d.comb += [
            memory.read_en.eq(moving),
            memory.read_addr.eq(tail),
            self.frame.payload.eq(got.frame),
            self.o.valid.eq(data_at[1]),
            self.o.payload.data.eq(out.data),
            self.o.payload.last.eq(out.last),
            self.o.payload.keep.eq(Cat(out.extra >= n for n in range(octets))),
            self.busy.eq(~first | valid | ended_ago.any() | is_kept | pending.any() | frames.any() | data_at.any()),
        ]
        with m.If(self.done & ~verdict):
            m.d.sync += is_kept.eq(0)
        return m

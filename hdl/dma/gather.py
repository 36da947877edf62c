"""Join chunks of any alignment into a packet stream without holes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..packet import check_width_bits, packet_layout, packet_signature
from ..short_fifo import ShortFifo
from .reorder import Chunk

__all__ = ["Gather"]


class Gather(wiring.Component):
    """Join chunks of octets into frames: each octet moves to the lane that comes next.

    An error in a chunk sets ``error`` on the frame's last beat. A chunk without octets ends its frame with a beat that
    has ``keep`` 0 and ``error``.

    Timing
    ------
    Domain ``sync``. Latency 4 cycles to the beat that a chunk fills; one beat a cycle, one cycle more at the end of a
    frame whose last chunk fills one beat and starts another. All outputs and ``i.ready`` come from registers.

    Parameters
    ----------
    chunk_octets : int
        Octets that come at a time; at most a beat.
    width_bits : int
        Width of the packet stream.

    Members
    -------
    i : In(stream.Signature(Chunk(chunk_octets)))
        Octets of frames.
    o : Out(packet_signature(width_bits))
        Frames.
    idle : Out(1)
        Nothing inside.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, chunk_octets: int = 8, width_bits: int = 64) -> None:
        check_width_bits(width_bits)
        if chunk_octets not in (4, 8, 16) or 8 * chunk_octets > width_bits:
            raise ValueError(f"chunk_octets must be 4, 8 or 16 and at most a beat, not {chunk_octets!r}")
        self._chunk_octets = chunk_octets
        self._width_bits = width_bits
        super().__init__(
            {
                "i": In(stream.Signature(Chunk(chunk_octets))),
                "o": Out(packet_signature(width_bits)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chunk_octets, lanes = self._chunk_octets, self._width_bits // 8
        lane_bits, chunk_bits = ceil_log2(lanes), ceil_log2(chunk_octets)
        i = self.i.payload

        # A queue with a margin lets registers say when all moves: it has room for what comes until they have heard.
        m.submodules.out = out = ShortFifo(shape=packet_layout(self._width_bits), depth=16, margin=4)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        step, go = Signal(init=1), Signal(init=1)
        m.d.comb += self.i.ready.eq(step)

        # Place: where the chunk goes. `filled` counts the octets of the beat that is being filled, never all of them.
        filled = Signal(lane_bits)
        total = Signal(range(2 * lanes + 1))
        placed = Signal(
            data.StructLayout(
                {
                    "data": 8 * chunk_octets,
                    "turn": chunk_bits,
                    "take": lanes,
                    "keep": lanes,
                    "keep_rest": lanes,
                    "full": 1,
                    "rest": 1,
                    "frame_end": 1,
                    "error": 1,
                    "valid": 1,
                }
            )
        )
        m.d.comb += total.eq(filled + i.count)
        with m.If(step):
            m.d.sync += [
                placed.valid.eq(self.i.valid),
                placed.data.eq(i.data),
                placed.turn.eq(filled - i.first),
                placed.take.eq(Cat(filled <= lane for lane in range(lanes))),
                placed.keep.eq(Cat((total > lane) & (i.count != 0) for lane in range(lanes))),
                placed.keep_rest.eq(Cat(total > lane + lanes for lane in range(lanes))),
                placed.full.eq(total >= lanes),
                placed.rest.eq((total > lanes) & i.frame_end),
                placed.frame_end.eq(i.frame_end),
                placed.error.eq(i.error | (i.count == 0)),
            ]
            with m.If(self.i.valid):
                m.d.sync += filled.eq(Mux(i.frame_end, 0, total[:lane_bits]))

        # Turn: each octet to its lane.
        turned = Signal.like(placed)
        octets = placed.data
        for level in range(chunk_bits):
            octets = Mux(placed.turn[level], octets.rotate_left(8 << level), octets)
        with m.If(step):
            m.d.sync += [turned.eq(placed), turned.data.eq(octets)]

        # Fill: the lanes from `filled` up take the chunk, those below keep what came before. A chunk that ends its
        # frame and does not fit gives a second beat, the rest.
        held = Signal(8 * lanes)
        in_rest, rest_follows, frame_error = Signal(), Signal(), Signal()
        next_rest_follows = Signal()
        m.d.comb += next_rest_follows.eq(Mux(step, placed.valid & placed.rest, rest_follows & ~go))
        m.d.sync += [
            rest_follows.eq(next_rest_follows),
            go.eq(out.i.ready),
            step.eq(out.i.ready & ~next_rest_follows),
        ]
        beat = out.i.payload
        m.d.comb += [
            out.i.valid.eq(go & turned.valid & (turned.full | turned.frame_end)),
            beat.last.eq(turned.frame_end & ~rest_follows),
            beat.keep.eq(Mux(in_rest, turned.keep_rest, turned.keep)),
            beat.error.eq(frame_error | turned.error),
        ]
        for lane in range(lanes):
            octet = turned.data.word_select(lane % chunk_octets, 8)
            lane_held = held.word_select(lane, 8)
            m.d.comb += beat.data.word_select(lane, 8).eq(Mux(turned.take[lane] | in_rest, octet, lane_held))
            with m.If(go & turned.valid & (turned.take[lane] | turned.full)):
                m.d.sync += lane_held.eq(octet)
        with m.If(go & turned.valid):
            m.d.sync += [in_rest.eq(rest_follows), frame_error.eq(beat.error & ~beat.last)]

        m.d.comb += self.idle.eq(~self.i.valid & ~placed.valid & ~turned.valid & ~out.busy)
        return m

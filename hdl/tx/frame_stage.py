"""Give each frame its destination address and decide whether it may be sent."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..packet import check_width_bits, packet_layout, packet_signature
from .command import ChecksumCommand, TxTag
from .plan import FramePlan

__all__ = ["FrameStage", "Verdict"]

_MAC_OCTETS = 6
_ETHERNET_HEADER_OCTETS = 14
_TAG_OCTETS = 4


class Verdict(data.Struct):
    """Why a frame does not go on to the MAC: the first of these that is set; if none is, it does."""

    aborted: 1
    bad_length: 1
    payload_error: 1
    bad_checksum_field: 1
    resolve_miss: 1


class FrameStage(wiring.Component):
    """Join frames with their plans: write the destination address, and mark the frames that must not be sent.

    Timing
    ------
    Domain ``sync``. Latency 2 cycles, one beat a cycle and one cycle more for each frame. ``o`` comes from registers,
    ``command`` and ``verdict`` from a few gates; ``o.ready`` passes a gate to ``i.ready``.

    Parameters
    ----------
    width_bits : int
        Width of the packet streams: 32, 64 or 128.
    max_frame_octets : int
        Longest frame, without FCS, its tag in.

    Members
    -------
    plan : In(stream.Signature(FramePlan))
        One for each frame; its frame waits for it.
    i : In(packet_signature(width_bits))
        Frames, of any length.
    o : Out(packet_signature(width_bits))
        The same frames, those that are too long cut. ``error``: not to be sent.
    command : Out(stream.Signature(ChecksumCommand))
        One for each frame, before its last beat.
    verdict : Out(stream.Signature(Verdict, always_ready=True))
        One for each frame, with its last beat.
    room : In(1)
        There is room for two verdicts more than came until three cycles ago. Without it no frame is begun.
    tag : Out(stream.Signature(TxTag, always_ready=True))
        One for each frame that goes on, with its verdict.
    abort : In(1)
        Mark the frames that end while it is high.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, width_bits: int = 64, max_frame_octets: int = 9018) -> None:
        check_width_bits(width_bits)
        if not 64 <= max_frame_octets <= 16383:
            raise ValueError(f"max_frame_octets must be in 64..16383, not {max_frame_octets!r}")
        self._width_bits = width_bits
        self._max_frame_octets = max_frame_octets
        super().__init__(
            {
                "plan": In(stream.Signature(FramePlan)),
                "i": In(packet_signature(width_bits)),
                "o": Out(packet_signature(width_bits)),
                "command": Out(stream.Signature(ChecksumCommand)),
                "verdict": Out(stream.Signature(Verdict, always_ready=True)),
                "room": In(1),
                "tag": Out(stream.Signature(TxTag, always_ready=True)),
                "abort": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self._width_bits // 8
        max_beats = -(-self._max_frame_octets // lanes)
        # The plan of the frame that comes. The checksum gets the command of the next one meanwhile, so that it is ready
        # for that frame's first beat. A plan is acknowledged a cycle after it was copied, to keep that path short.
        plan, planned, commanded = Signal(FramePlan), Signal(), Signal()
        ends = Signal()
        waiting, copied = Signal(), Signal()
        m.d.comb += [
            waiting.eq(self.plan.valid & ~self.plan.ready),
            self.command.valid.eq(waiting & ~commanded),
            self.command.payload.eq(self.plan.payload.checksum),
            copied.eq(waiting & commanded & ~planned & self.room),
        ]
        m.d.sync += self.plan.ready.eq(copied)
        with m.If(self.plan.ready):
            m.d.sync += commanded.eq(0)
        with m.Elif(self.command.valid & self.command.ready):
            m.d.sync += commanded.eq(1)
        with m.If(~planned):
            m.d.sync += [plan.eq(self.plan.payload), planned.eq(copied)]
        with m.Elif(ends):
            m.d.sync += planned.eq(0)

        # Count: the beat, and where in the frame its last octet is.
        beat = Signal(packet_layout(self._width_bits))
        beat_valid = Signal()
        index, next_index = Signal(range(max_beats + 1)), Signal(range(max_beats + 1))
        lane = Signal(ceil_log2(lanes))
        # All moves together, if there is a beat or not: this path is to be short.
        m.d.comb += self.i.ready.eq(planned & (~self.o.valid | self.o.ready))
        with m.If(self.i.ready):
            m.d.sync += [beat_valid.eq(self.i.valid), beat.eq(self.i.payload), index.eq(next_index)]
            for number in range(lanes):
                with m.If(self.i.payload.keep[number]):
                    m.d.sync += lane.eq(number)
            with m.If(self.i.valid):
                with m.If(self.i.payload.last):
                    m.d.sync += next_index.eq(0)
                with m.Elif(next_index != max_beats):
                    m.d.sync += next_index.eq(next_index + 1)

        # Judge.
        last_octet = Cat(lane, index)

        def is_at_least(octet: int) -> Value:
            """Compare `last_octet`, its beat a cycle ahead."""
            above, equal = Signal(), Signal()
            with m.If(self.i.ready):
                m.d.sync += [above.eq(next_index > octet // lanes), equal.eq(next_index == octet // lanes)]
            return above | equal & (lane >= octet % lanes)

        verdict, bad = self.verdict.payload, Signal()
        m.d.comb += [
            verdict.aborted.eq(self.abort),
            verdict.bad_length.eq(
                ~is_at_least(_ETHERNET_HEADER_OCTETS - 1)
                | is_at_least(self._max_frame_octets)
                | (plan.tag.present & is_at_least(self._max_frame_octets - _TAG_OCTETS))
                | ~beat.keep[0]
            ),
            verdict.payload_error.eq(beat.error),
            verdict.bad_checksum_field.eq(plan.misplaced | (last_octet <= plan.beyond)),
            verdict.resolve_miss.eq(plan.resolve & ~plan.hit),
            bad.eq(verdict.as_value().any()),
        ]

        # A frame ends together with its plan.
        m.d.comb += [
            ends.eq(beat_valid & self.i.ready & beat.last),
            self.verdict.valid.eq(ends),
            self.tag.valid.eq(ends & ~bad),
            self.tag.payload.eq(plan.tag),
        ]
        too_many = Signal()
        m.d.comb += too_many.eq((index == max_beats) & ~beat.last)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(beat_valid & planned & ~too_many),
                self.o.payload.eq(beat),
                self.o.payload.error.eq(beat.last & bad),
            ]
            for octet in range(_MAC_OCTETS):
                with m.If(plan.resolve & (index == octet // lanes)):
                    m.d.sync += self.o.payload.data.word_select(octet % lanes, 8).eq(
                        plan.mac.word_select(_MAC_OCTETS - 1 - octet, 8)
                    )
        return m

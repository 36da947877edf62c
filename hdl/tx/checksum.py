"""Fill in the checksums of frames to be sent."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..packet import check_width_bits, packet_signature
from .checksum_lanes import ChecksumLanes, ChecksumPlaces
from .checksum_sum import OnesComplementSum
from .command import ChecksumCommand
from .frame_ring import FrameRing

__all__ = ["TxChecksum"]

# Frames whose sums are known and that are not gone yet. Half of them are left for frames on their way.
_RESULTS = 16
_IPV4_HEADER_MAX_OCTETS = 60


class TxChecksum(wiring.Component):
    """Store each frame, add up its checksums, and send it on with them.

    ``ipv4`` fills in the IPv4 header checksum, RFC 791: the header is octets ``l3_start`` up to
    ``csum_start``, both even, at least 20 octets apart; what its checksum field holds does not matter.

    ``mode`` ``PARTIAL`` adds up all from ``csum_start`` to the end of the frame, the field included, which
    holds the sum of a pseudo header; ``L4`` adds an IPv4 pseudo header by itself (RFC 768, RFC 9293) and what
    the field holds does not matter; its ``csum_start`` is even. The complement goes to ``csum_start + csum_offset``,
    0xFFFF in place of 0. Other places may be odd. A field outside the frame is not filled in.

    A frame whose last beat has ``error`` vanishes, and so does one that is longer than ``max_frame_octets``
    by more than two beats, which could otherwise fill the ring for ever.

    Timing
    ------
    Domain ``sync``. One beat a cycle and no bubble between frames of two beats or more. First beat out 4 cycles
    after the last beat in; 7 if one of the frame's first three beats has a checksum field, which needs headers of
    less than 24 octets at 64 bits, or if the frame has only one beat. No combinational path between ports.

    Parameters
    ----------
    width_bits : int
        Width of the packet streams: 32, 64 or 128.
    max_frame_octets : int
        Longest frame, without FCS.

    Members
    -------
    i : In(packet_signature(width_bits))
        Frames.
    command : In(stream.Signature(ChecksumCommand))
        One for each frame, also for those with ``error``. A frame waits for its command.
    o : Out(packet_signature(width_bits))
        The frames, without those with ``error``.
    done : Out(1)
        High for one cycle for each frame when its checksums are known.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    def __init__(self, *, width_bits: int = 64, max_frame_octets: int = 9018) -> None:
        check_width_bits(width_bits)
        if not 64 <= max_frame_octets <= 16383:
            raise ValueError(f"max_frame_octets must be in 64..16383, not {max_frame_octets!r}")
        self._width_bits = width_bits
        self._max_frame_octets = max_frame_octets
        super().__init__(
            {
                "i": In(packet_signature(width_bits)),
                "command": In(stream.Signature(ChecksumCommand)),
                "o": Out(packet_signature(width_bits)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width_bits = self._width_bits
        octets = width_bits // 8
        max_beats = -(-self._max_frame_octets // octets)
        stored_beat = data.StructLayout(
            {"data": width_bits, "extra": ceil_log2(octets), "last": 1, "ipv4": 1, "l4_high": 1, "l4_low": 1}
        )
        result = data.StructLayout(
            {"ipv4_lane": ceil_log2(octets // 2), "ipv4": 16, "l4_lane": ceil_log2(octets), "l4": 16}
        )

        m.submodules.lanes = lanes = ChecksumLanes(width_bits=width_bits, max_beats=max_beats)
        m.submodules.ipv4 = ipv4 = OnesComplementSum(width_bits=width_bits, max_octets=_IPV4_HEADER_MAX_OCTETS)
        m.submodules.l4 = l4 = OnesComplementSum(width_bits=width_bits, max_octets=self._max_frame_octets)
        m.submodules.ring = ring = FrameRing(shape=stored_beat, max_beats=max_beats + 2)
        m.submodules.results = results = Memory(shape=result, depth=_RESULTS, init=[])
        write_result = results.write_port()
        read_result = results.read_port(domain="comb")

        # The command of the next frame.
        places = Signal(ChecksumPlaces)
        places_valid = Signal()
        m.d.comb += self.command.ready.eq(~places_valid)
        with m.If(~places_valid):
            m.d.sync += places_valid.eq(self.command.valid)
            m.d.sync += [getattr(places, k).eq(v) for k, v in ChecksumPlaces.of(self.command.payload).items()]

        # Input, cycle 0: take a beat.
        inside = Signal()
        accept = Signal()
        too_long = Signal()
        few_results = Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(ring.room & few_results & (inside | places_valid)),
            accept.eq(self.i.valid & self.i.ready),
            lanes.load.eq(accept & ~inside),
            lanes.places.eq(places),
            ring.push.eq(accept),
            ring.last.eq(self.i.payload.last),
            ring.lost.eq(too_long),
            ring.drop.eq(self.i.payload.error | too_long),
        ]
        with m.If(accept):
            m.d.sync += inside.eq(~self.i.payload.last)
        with m.If(lanes.load):
            m.d.sync += places_valid.eq(0)

        # Cycle 1: store it and add it up.
        beat = Signal.like(self.i.payload)
        valid = Signal()
        m.d.sync += [beat.eq(self.i.payload), valid.eq(accept)]
        with m.If(accept & self.i.payload.last):
            m.d.sync += too_long.eq(0)
        with m.Elif(valid & ~beat.last & lanes.full):
            m.d.sync += too_long.eq(1)
        m.d.comb += [
            lanes.step.eq(valid),
            lanes.keep.eq(beat.keep),
            ring.beat.data.eq(beat.data),
            ring.beat.last.eq(beat.last),
            ring.beat.ipv4.eq(lanes.ipv4_here),
            ring.beat.l4_high.eq(lanes.l4_high_here),
            ring.beat.l4_low.eq(lanes.l4_low_here),
            ipv4.keep.eq(lanes.ipv4_keep),
            l4.keep.eq(lanes.l4_keep),
            l4.counted.eq(lanes.l4_counted),
        ]
        for lane in range(1, octets):
            with m.If(beat.keep[lane]):
                m.d.comb += ring.beat.extra.eq(lane)
        for adder in (ipv4, l4):
            m.d.comb += [adder.data.eq(beat.data), adder.valid.eq(valid), adder.last.eq(beat.last)]

        # The sums come 4 cycles later.
        late = data.StructLayout(
            {"ipv4_lane": ceil_log2(octets // 2), "l4_lane": ceil_log2(octets), "swap": 1, "dropped": 1}
        )
        frame = Signal(late)
        dropped = Signal()
        m.d.sync += dropped.eq(ring.drop)
        m.d.comb += [
            frame.ipv4_lane.eq(lanes.ipv4_lane),
            frame.l4_lane.eq(lanes.l4_lane),
            frame.swap.eq(lanes.l4_swap),
            frame.dropped.eq(dropped),
        ]
        for stage in range(OnesComplementSum.LATENCY):
            frame, frame_before = Signal(late, name=f"frame{stage}"), frame
            m.d.sync += frame.eq(frame_before)

        # A frame has its result at its sums' end, and keeps it until its last beat has gone.
        level = Signal(range(_RESULTS + 1))
        has_result = Signal()
        pop = Signal()
        l4_field = Signal(16)
        m.d.comb += [
            self.done.eq(l4.done & ~frame.dropped),
            l4_field.eq(Mux(l4.sum == 0xFFFF, 0xFFFF, ~l4.sum)),
            write_result.en.eq(self.done),
            write_result.data.ipv4.eq(~ipv4.sum),
            write_result.data.ipv4_lane.eq(frame.ipv4_lane),
            write_result.data.l4.eq(Mux(frame.swap, l4_field.rotate_left(8), l4_field)),
            write_result.data.l4_lane.eq(frame.l4_lane),
        ]
        m.d.sync += [
            write_result.addr.eq(write_result.addr + self.done),
            read_result.addr.eq(read_result.addr + pop),
            few_results.eq(level < _RESULTS // 2),
        ]
        with m.If(self.done & ~pop):
            m.d.sync += [level.eq(level + 1), has_result.eq(1)]
        with m.Elif(pop & ~self.done):
            m.d.sync += [level.eq(level - 1), has_result.eq(level != 1)]

        # Output: a beat that has a field, or ends the frame, waits for the result.
        stored = ring.o.payload
        waits = Signal()
        free = Signal()
        m.d.comb += [
            waits.eq((stored.ipv4 | stored.l4_high | stored.l4_low | stored.last) & ~has_result),
            free.eq(self.o.ready | ~self.o.valid),
            ring.o.ready.eq(free & ~waits),
            pop.eq(ring.o.valid & ring.o.ready & stored.last),
        ]
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(ring.o.valid & ~waits),
                self.o.payload.last.eq(stored.last),
            ]
            for lane in range(octets):
                # The checksum of the IPv4 header is word 5 of it.
                ipv4_here = stored.ipv4 & (read_result.data.ipv4_lane == (lane // 2 - 5) % (octets // 2))
                l4_here = (stored.l4_high & (read_result.data.l4_lane == lane)) | (
                    stored.l4_low & (read_result.data.l4_lane == (lane - 1) % octets)
                )
                # First octet of a word: high half of its sum.
                half = 1 - lane % 2
                m.d.sync += [
                    self.o.payload.keep[lane].eq(stored.extra >= lane),
                    self.o.payload.data.word_select(lane, 8).eq(
                        Mux(
                            ipv4_here,
                            read_result.data.ipv4.word_select(half, 8),
                            Mux(l4_here, read_result.data.l4.word_select(half, 8), stored.data.word_select(lane, 8)),
                        )
                    ),
                ]
        return m

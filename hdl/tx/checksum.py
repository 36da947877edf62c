"""Fill in the checksums of frames to be sent."""

from amaranth.hdl import Cat, Module, Mux, Signal
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

# Sums that wait for their places. Half of the queue is left for frames on their way.
_SUMS = 16
# The first beats of a frame that goes out as soon as it is whole overtake its sums.
_IPV4_BEATS = 3
_L4_BEATS = 4
# A transport checksum is at least so far behind that of the IPv4 header.
_DISTANCE_OCTETS = 10
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
    Domain ``sync``. One beat a cycle and no bubble between frames of three beats or more. First beat out 4 cycles
    after the last beat in; 8 for a frame of one beat, for one with a checksum field in its first three (IPv4) or four
    (transport) beats, which no IP frame has at 64 bits, and for frames close behind such a one. A frame that has begun
    comes without a gap. No combinational path between ports; ``i.ready`` is a register.

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
            {"data": width_bits, "keep": octets, "last": 1, "field": octets, "ends": 1}
            # A beat that is wider than the distance of the two checksums may have both.
            | ({"ipv4": octets // 2, "two": 1} if octets > _DISTANCE_OCTETS else {})
        )

        m.submodules.lanes = lanes = ChecksumLanes(width_bits=width_bits, max_beats=max_beats)
        m.submodules.ipv4 = ipv4 = OnesComplementSum(
            width_bits=width_bits, max_octets=_IPV4_HEADER_MAX_OCTETS, length=False
        )
        m.submodules.l4 = l4 = OnesComplementSum(width_bits=width_bits, max_octets=self._max_frame_octets, length=True)
        m.submodules.ring = ring = FrameRing(shape=stored_beat, max_beats=max_beats + 2)
        # The command of the next frame. What depends on it is ready a cycle after it.
        places = Signal(ChecksumPlaces)
        places_valid = Signal()
        m.d.comb += self.command.ready.eq(~places_valid)
        with m.If(~places_valid):
            m.d.sync += places_valid.eq(self.command.valid)
            m.d.sync += [places[name].eq(value) for name, value in ChecksumPlaces.of(self.command.payload).items()]

        # A frame with a field in its first beats would come out before its sum is known.
        next_late = Signal()
        late = Signal()
        early_ipv4 = places.l3_word < _IPV4_BEATS * octets // 2 - 5
        early_l4 = places.field < _L4_BEATS * octets
        m.d.sync += next_late.eq((places.ipv4 & early_ipv4) | (places.fill & early_l4))
        with m.If(lanes.load):
            m.d.sync += [late.eq(next_late), places_valid.eq(0)]

        # Input, cycle 0: take a beat.
        inside, next_inside = Signal(), Signal()
        accept = Signal()
        too_long = Signal()
        few_sums = Signal(init=1)
        m.d.comb += [
            accept.eq(self.i.valid & self.i.ready),
            lanes.load.eq(accept & ~inside),
            lanes.places.eq(places),
            ring.push.eq(accept),
            ring.last.eq(self.i.payload.last),
            ring.lost.eq(too_long),
            ring.late.eq(late),
            ring.drop.eq(self.i.payload.error | too_long),
            next_inside.eq(Mux(accept, ~self.i.payload.last, inside)),
        ]
        may_open = places_valid & ~lanes.load
        m.d.sync += [inside.eq(next_inside), self.i.ready.eq(ring.room & few_sums & (next_inside | may_open))]
        # Cycle 1: store it and add it up.
        beat = Signal.like(self.i.payload)
        valid = Signal()
        ipv4_ends = Signal()
        m.d.sync += [beat.eq(self.i.payload), valid.eq(accept)]
        with m.If(accept & self.i.payload.last):
            m.d.sync += too_long.eq(0)
        with m.Elif(valid & ~beat.last & lanes.full):
            m.d.sync += too_long.eq(1)
        m.d.comb += [
            lanes.step.eq(valid),
            lanes.keep.eq(beat.keep),
            lanes.last.eq(beat.last),
            ipv4_ends.eq(lanes.ipv4_field.any()),
            ring.beat.data.eq(beat.data),
            ring.beat.keep.eq(beat.keep),
            ring.beat.last.eq(beat.last),
            ring.beat.field.eq(lanes.l4_field | Cat(field.replicate(2) for field in lanes.ipv4_field)),
            ring.beat.ends.eq(ipv4_ends | lanes.l4_end),
            ipv4.keep.eq(lanes.ipv4_keep),
            l4.keep.eq(lanes.l4_keep),
            l4.with_length.eq(lanes.l4_with_length),
            l4.length_start.eq(lanes.l4_start),
        ]
        for bit in range(ceil_log2(octets)):
            # Octets after the first one, in binary: `keep` is a run of ones.
            step = 1 << bit
            runs = [beat.keep[at] & ~Cat(beat.keep, 0)[at + step] for at in range(step, octets, 2 * step)]
            m.d.comb += l4.extra[bit].eq(Cat(runs).any())
        for adder in (ipv4, l4):
            m.d.comb += [adder.data.eq(beat.data), adder.valid.eq(valid), adder.last.eq(beat.last)]

        if octets > _DISTANCE_OCTETS:
            m.d.comb += [ring.beat.ipv4.eq(lanes.ipv4_field), ring.beat.two.eq(ipv4_ends & lanes.l4_end)]

        # Which sums the frame needs: those whose fields went into the ring, so that the two never lose step.
        wants = data.StructLayout({"frame": 1, "ipv4": 1, "l4": 1, "swap": 1})
        wanted = Signal(wants)
        ipv4_seen = Signal()
        l4_seen = Signal()
        kept = Signal()
        m.d.sync += kept.eq(~ring.drop)
        m.d.comb += [
            wanted.frame.eq(kept),
            wanted.ipv4.eq(kept & (ipv4_seen | ipv4_ends)),
            wanted.l4.eq(kept & (l4_seen | lanes.l4_end)),
            wanted.swap.eq(lanes.l4_swap),
        ]
        with m.If(valid):
            m.d.sync += [
                ipv4_seen.eq((ipv4_seen | ipv4_ends) & ~beat.last),
                l4_seen.eq((l4_seen | lanes.l4_end) & ~beat.last),
            ]

        # The sums come some cycles later, and queue up: one for each field, in order, the second a cycle later.
        for _ in range(OnesComplementSum.LATENCY):
            wanted, wanted_before = Signal(wants), wanted
            m.d.sync += wanted.eq(wanted_before)
        m.submodules.sums = sums = Memory(shape=16, depth=_SUMS, init=[])
        write = sums.write_port()
        put_l4 = Signal()
        l4_sum = Signal(16)
        m.d.sync += [put_l4.eq(l4.done & wanted.l4), l4_sum.eq(Mux(wanted.swap, l4.sum.rotate_left(8), l4.sum))]
        with m.If(l4.all_ones):
            m.d.sync += l4_sum.eq(0)  # So that 0xFFFF is sent: 0 would mean that there is no checksum.
        m.d.comb += [
            self.done.eq(l4.done & wanted.frame),
            write.en.eq(put_l4 | (l4.done & wanted.ipv4)),
            write.data.eq(Mux(put_l4, l4_sum, ipv4.sum)),
        ]
        take = Signal(2)
        taken = Signal.like(write.addr)
        level = Signal.like(taken)
        m.d.sync += [
            write.addr.eq(write.addr + write.en),
            taken.eq(taken + take),
            few_sums.eq(level < _SUMS // 2),
        ]
        m.d.comb += level.eq(write.addr - taken)  # Never as much as the whole queue.

        # Output: the fields' sums are there when they are wanted.
        stored = ring.o.payload
        free = Signal()
        m.d.comb += [free.eq(self.o.ready | ~self.o.valid), ring.o.ready.eq(free)]
        two = stored.two if octets > _DISTANCE_OCTETS else 0
        with m.If(ring.o.valid & free & stored.ends):
            m.d.comb += take.eq(1 + two)
        first = sums.read_port(domain="comb")
        m.d.comb += first.addr.eq(taken)
        values = [first.data] * octets
        if octets > _DISTANCE_OCTETS:
            second = sums.read_port(domain="comb")
            m.d.comb += second.addr.eq(taken + 1)
            values = [Mux(two & ~stored.ipv4[lane // 2], second.data, first.data) for lane in range(octets)]
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(ring.o.valid),
                self.o.payload.last.eq(stored.last),
                self.o.payload.keep.eq(stored.keep),
            ]
            for lane in range(octets):
                # The first octet of a word is the high half of a sum.
                octet = ~values[lane].word_select(1 - lane % 2, 8)
                m.d.sync += self.o.payload.data.word_select(lane, 8).eq(
                    Mux(stored.field[lane], octet, stored.data.word_select(lane, 8))
                )
        return m

"""Which octets of a beat belong to which checksum."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..packet import check_width_bits
from .command import ChecksumCommand, ChecksumMode

__all__ = ["ChecksumLanes", "ChecksumPlaces"]

# Words of an IPv4 header, RFC 791.
_PROTOCOL_WORD = 4
_CHECKSUM_WORD = 5
_ADDRESS_WORDS = (6, 7, 8, 9)


class ChecksumPlaces(data.Struct):
    """A command made ready: where its field is, instead of how far from ``csum_start``."""

    ipv4: 1
    fill: 1
    l4: 1
    l3_word: 7
    start: 16
    field: 17

    @staticmethod
    def of(command: ChecksumCommand) -> dict:
        """Return the members' values for a command."""
        return {
            "ipv4": command.ipv4,
            "fill": command.mode != ChecksumMode.NONE,
            "l4": command.mode == ChecksumMode.L4,
            "l3_word": command.l3_start[1:],
            "start": command.csum_start,
            "field": command.csum_start + command.csum_offset,
        }


class ChecksumLanes(wiring.Component):
    """Follow a frame beat by beat and tell which octets of the beat count in which sum.

    Timing
    ------
    Domain ``sync``. ``load`` comes in the cycle before the first beat of a frame, ``step`` with each beat.
    Combinational from ``keep`` to ``l4_keep`` and ``l4_counted``.

    Parameters
    ----------
    width_bits : int
        Width of a beat.
    max_beats : int
        Longest frame, in beats.

    Members
    -------
    load : In(1)
        Start of a frame: take ``places``.
    places : In(ChecksumPlaces)
        What to do with the frame that starts.
    step : In(1)
        There is a beat: go on to the next one.
    keep : In(width_bits // 8)
        Octets of the frame in this beat.
    ipv4_keep : Out(width_bits // 8)
        Octets of the IPv4 header, without its checksum.
    ipv4_here : Out(1)
        The IPv4 header's checksum is in this beat and is to be filled in.
    ipv4_lane : Out
        The word of the beat in which the IPv4 header starts, modulo the words of a beat.
    l4_keep, l4_counted : Out(width_bits // 8)
        Octets that the transport checksum adds up, and those that its length counts.
    l4_high_here, l4_low_here : Out(1)
        The first, the second octet of the transport checksum is in this beat and is to be filled in.
    l4_lane : Out
        The octet of a beat in which the transport checksum starts.
    l4_swap : Out(1)
        The transport checksum starts in the other half of a word than its sum.
    full : Out(1)
        With this beat the frame has ``max_beats`` beats.
    """

    def __init__(self, *, width_bits: int, max_beats: int) -> None:
        octets = check_width_bits(width_bits) // 8
        self._octets = octets
        self._max_beats = max_beats
        super().__init__(
            {
                "load": In(1),
                "places": In(ChecksumPlaces),
                "step": In(1),
                "keep": In(octets),
                "ipv4_keep": Out(octets),
                "ipv4_here": Out(1),
                "ipv4_lane": Out(ceil_log2(octets // 2)),
                "l4_keep": Out(octets),
                "l4_counted": Out(octets),
                "l4_high_here": Out(1),
                "l4_low_here": Out(1),
                "l4_lane": Out(ceil_log2(octets)),
                "l4_swap": Out(1),
                "full": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        octets = self._octets
        words = octets // 2
        octet_bits = ceil_log2(octets)
        word_bits = ceil_log2(words)

        places = Signal(ChecksumPlaces)
        next_beat = Signal(range(self._max_beats + 8))

        def beat_flag(name: str, place: str, lane_bits: int):
            """Return a flag: octet or word ``place`` of the frame is in this beat."""
            here = Signal(name=name)
            with m.If(self.load):
                m.d.sync += here.eq(getattr(self.places, place)[lane_bits:] == 0)
            with m.Elif(self.step):
                m.d.sync += here.eq(getattr(places, place)[lane_bits:] == next_beat)
            return here

        start_here = beat_flag("start_here", "start", octet_bits)
        field_here = beat_flag("field_here", "field", octet_bits)
        l3_here = beat_flag("l3_here", "l3_word", word_bits)

        start_past = Signal()
        field_past = Signal()  # The beat before this one has the start of the field.
        l3_past = Signal((max(_ADDRESS_WORDS) + words - 1) // words)  # Bit n: l3_here was n + 1 beats ago.
        l3_long_past = Signal()
        with m.If(self.load):
            m.d.sync += [
                places.eq(self.places),
                next_beat.eq(1),
                start_past.eq(0),
                field_past.eq(0),
                l3_past.eq(0),
                l3_long_past.eq(0),
            ]
        with m.Elif(self.step):
            m.d.sync += [
                next_beat.eq(next_beat + 1),
                start_past.eq(start_past | start_here),
                field_past.eq(field_here),
                l3_past.eq(Cat(l3_here, l3_past)),
                l3_long_past.eq(l3_long_past | l3_here),
            ]
        m.d.comb += self.full.eq(next_beat == self._max_beats)

        start_lane = places.start[:octet_bits]
        field_lane = places.field[:octet_bits]
        l3_lane = places.l3_word[:word_bits]
        l3_ago = Cat(l3_here, l3_past)

        def header_word(number: int, lane: int):
            """Tell whether word ``number`` of the IPv4 header is word ``lane`` of this beat."""
            wanted = (lane - number) % words
            return (l3_lane == wanted) & l3_ago[(wanted + number) // words]

        m.d.comb += [
            self.ipv4_lane.eq(l3_lane),
            self.ipv4_here.eq(places.ipv4 & Cat(header_word(_CHECKSUM_WORD, lane) for lane in range(words)).any()),
            self.l4_lane.eq(field_lane),
            self.l4_swap.eq(places.field[0] ^ places.start[0]),
            self.l4_high_here.eq(places.fill & field_here),
            self.l4_low_here.eq(places.fill & Mux(field_lane == octets - 1, field_past, field_here)),
        ]

        for lane in range(octets):
            word = lane // 2
            in_range = Signal(name=f"in_range{lane}")
            m.d.comb += in_range.eq(start_past | (start_here & (start_lane <= lane)))

            if lane % 2 == 0:
                in_header = l3_long_past | (l3_here & (l3_lane <= word))
                ipv4_word = in_header & ~in_range & ~header_word(_CHECKSUM_WORD, word)
                m.d.comb += self.ipv4_keep[lane : lane + 2].eq(ipv4_word.replicate(2))

            pseudo = Cat(header_word(number, word) for number in _ADDRESS_WORDS).any()
            if lane % 2 == 1:
                pseudo |= header_word(_PROTOCOL_WORD, word)
            field = (field_here & (field_lane == lane)) | (
                (field_past if lane == 0 else field_here) & (field_lane == (lane - 1) % octets)
            )
            m.d.comb += [
                self.l4_keep[lane].eq(self.keep[lane] & Mux(places.l4, (in_range & ~field) | pseudo, in_range)),
                self.l4_counted[lane].eq(self.keep[lane] & in_range & places.l4),
            ]
        return m

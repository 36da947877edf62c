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
    Combinational from ``keep`` to ``l4_keep``, from ``last`` to ``l4_end``.

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
        What to do with the frame that starts; at least one cycle before ``load``.
    step : In(1)
        There is a beat: go on to the next one.
    keep : In(width_bits // 8)
        Octets of the frame in this beat.
    last : In(1)
        The beat ends the frame.
    ipv4_keep, l4_keep : Out(width_bits // 8)
        Octets that the checksum of the IPv4 header, the transport checksum adds up.
    ipv4_field : Out(width_bits // 16)
        The word that is the checksum of the IPv4 header and is to be filled in.
    l4_field : Out(width_bits // 8)
        The octets that are the transport checksum and are to be filled in.
    l4_end : Out(1)
        ``l4_field`` is in this beat and not in the next one.
    l4_swap : Out(1)
        The transport checksum starts in the other half of a word than its sum.
    l4_with_length : Out(1)
        The transport checksum has a pseudo header to be added here.
    l4_start : Out(16)
        Octets before the transport header.
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
                "last": In(1),
                "ipv4_keep": Out(octets),
                "ipv4_field": Out(octets // 2),
                "l4_keep": Out(octets),
                "l4_field": Out(octets),
                "l4_end": Out(1),
                "l4_swap": Out(1),
                "l4_with_length": Out(1),
                "l4_start": Out(16),
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

        # Whether an octet or word of the frame is in this beat.
        start_here = Signal()
        field_here = Signal()  # Only if it is to be filled in.
        l3_here = Signal()
        for here, name, lane_bits in (
            (start_here, "start", octet_bits),
            (field_here, "field", octet_bits),
            (l3_here, "l3_word", word_bits),
        ):
            next_wanted, wanted = (self.places.fill, places.fill) if name == "field" else (1, 1)
            in_first = Signal(name=f"{name}_in_first")
            m.d.sync += in_first.eq((self.places[name][lane_bits:] == 0) & next_wanted)
            with m.If(self.load):
                m.d.sync += here.eq(in_first)
            with m.Elif(self.step):
                m.d.sync += here.eq((places[name][lane_bits:] == next_beat) & wanted)

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

        # Where in its beat each is, one bit for each place: what is looked at in each beat needs no comparison.
        start_lane = self.places.start[:octet_bits]
        field_lane = self.places.field[:octet_bits]
        l3_lane = self.places.l3_word[:word_bits]
        started, in_field = Signal(octets), Signal(octets)  # Octets from the start on; the first one of the field.
        l3_started, l3_first, l3_of_pseudo = Signal(words), Signal(words), Signal(words)
        l3_is = Cat(l3_lane == word for word in range(words))
        with m.If(self.load):
            m.d.sync += [
                started.eq(Cat(start_lane <= lane for lane in range(octets))),
                in_field.eq(Cat(field_lane == lane for lane in range(octets))),
                l3_started.eq(Cat(l3_lane <= word for word in range(words))),
                l3_first.eq(l3_is),
                l3_of_pseudo.eq(l3_is & self.places.l4.replicate(words)),
            ]
        l3_ago = Cat(l3_here, l3_past)

        def header_word(number: int, lane: int, first):
            """Tell whether word ``number`` of the IPv4 header is word ``lane`` of this beat."""
            wanted = (lane - number) % words
            return first[wanted] & l3_ago[(wanted + number) // words]

        m.d.comb += [
            self.l4_swap.eq(places.field[0] ^ places.start[0]),
            self.l4_end.eq(Mux(in_field[-1], field_past, field_here) | (field_here & self.last)),
            self.l4_with_length.eq(places.l4),
            self.l4_start.eq(places.start),
        ]
        for lane in range(octets):
            word = lane // 2
            in_range = Signal(name=f"in_range{lane}")
            m.d.comb += in_range.eq(start_past | (start_here & started[lane]))

            if lane % 2 == 0:
                in_header = l3_long_past | (l3_here & l3_started[word])
                field = Signal(name=f"ipv4_field{word}")
                m.d.comb += [
                    field.eq(header_word(_CHECKSUM_WORD, word, l3_first)),
                    self.ipv4_keep[lane : lane + 2].eq((in_header & ~in_range & ~field).replicate(2)),
                    self.ipv4_field[word].eq(field & places.ipv4),
                ]

            pseudo = Cat(header_word(number, word, l3_of_pseudo) for number in _ADDRESS_WORDS).any()
            if lane % 2 == 1:
                pseudo |= header_word(_PROTOCOL_WORD, word, l3_of_pseudo)
            field = Signal(name=f"l4_field{lane}")
            low_here = field_past if lane == 0 else field_here
            m.d.comb += [
                field.eq((field_here & in_field[lane]) | (low_here & in_field[(lane - 1) % octets])),
                self.l4_keep[lane].eq(self.keep[lane] & ((in_range & ~(field & places.l4)) | pseudo)),
                self.l4_field[lane].eq(field),
            ]
        return m

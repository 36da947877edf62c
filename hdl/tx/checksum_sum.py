"""Sum of a frame's 16-bit words in ones' complement."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..packet import check_width_bits

__all__ = ["OnesComplementSum"]


def _add(a, b, carry):
    """Return ``a + b + carry`` by one adder: one more bit below turns ``carry`` into its carry in."""
    if not len(carry):
        return a + b
    return (Cat(1, a) + Cat(carry, b))[1:]


def _tree(words):
    """Return the sum of words, 17 bits, and the carries that it lacks, each of weight 1."""
    terms, lacks = list(words), []
    while len(terms) > 1:
        # An adder takes in the carry of its left operand.
        lacks += [right[16] for right in terms[1::2] if len(right) > 16]
        pairs = len(terms) // 2
        terms[: 2 * pairs] = [_add(a[:16], b[:16], a[16:]) for a, b in zip(terms[::2], terms[1::2], strict=False)]
    return terms[0], lacks


class OnesComplementSum(wiring.Component):
    """Add the chosen octets of each frame as 16-bit words, first octet high, with end-around carry.

    RFC 1071. Words are aligned to the start of the frame. The sum of a frame is never 0 unless all that
    was added is 0. ``counted`` adds 1 for each of its bits: the length that a pseudo header needs.

    No adder is longer than 18 bits: the carry out of the accumulator goes in again with the next beat,
    and what does not fit into 16 bits is counted apart until the end of the frame.

    A frame can have a head: so many units of 32 bits from its start, at most 60 octets, whose sum must be all ones.

    Timing
    ------
    Domain ``sync``. One beat a cycle; ``sum`` and ``done`` follow 4 cycles after the last beat, ``sum``
    through an adder.

    Parameters
    ----------
    width_bits : int
        Width of a beat.
    max_octets : int
        Most octets of a frame to add.
    length : bool
        Whether ``with_length`` works.
    head : bool
        Whether ``head`` works.

    Members
    -------
    data : In(width_bits)
        A beat, first octet in bits 0 to 7.
    keep : In(width_bits // 8)
        Octets to add.
    extra : In(range(width_bits // 8))
        Octets of the frame in this beat, less 1.
    with_length : In(1)
        Add the length of the frame less ``length_start`` as a word, too. The same in all beats of a frame.
    length_start : In(16)
        Octets that the length leaves out.
    valid, last : In(1)
        There is a beat; it ends its frame.
    head : In(range(width_bits // 32 + 1))
        The head ends with so many units of the beat that came 2 cycles ago; 0: not in it.
    added : Out(width_bits)
        The octets of the beat that came 1 cycle ago, 0 where they are not added.
    units : Out(data.ArrayLayout(17, width_bits // 32))
        The sum of each 32 bits of the beat that came 2 cycles ago.
    head_right : Out(1)
        The sum of the head that ended last is all ones, from 2 cycles after ``head``.
    folded : Out(17)
        Sum of a frame, while ``done``; its highest bit is still to be added.
    sum : Out(16)
        The same, added.
    all_ones : Out(1)
        ``sum`` is 0xFFFF; sooner than a comparison could tell.
    done : Out(1)
        High for one cycle for each frame.
    """

    LATENCY = 4

    def __init__(self, *, width_bits: int, max_octets: int, length: bool, head: bool = False) -> None:
        self._width_bits = check_width_bits(width_bits)
        self._max_octets = max_octets
        self._length = length
        self._head = head
        super().__init__(
            {
                "data": In(width_bits),
                "keep": In(width_bits // 8),
                "extra": In(range(width_bits // 8)),
                "with_length": In(1),
                "length_start": In(16),
                "valid": In(1),
                "last": In(1),
                "head": In(range(width_bits // 32 + 1)),
                "added": Out(width_bits),
                "units": Out(data.ArrayLayout(17, width_bits // 32)),
                "head_right": Out(1),
                "folded": Out(17),
                "sum": Out(16),
                "all_ones": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        octets = self._width_bits // 8
        words = octets // 2

        # Stage 1: what is not to be added becomes 0. (An If rather than a Mux: it becomes the flip-flops' reset.)
        chosen = Signal(data.ArrayLayout(8, octets))
        extra = Signal.like(self.extra)
        with_length_1 = Signal()
        length_start_1 = Signal(16)
        m.d.sync += [
            extra.eq(self.extra),
            with_length_1.eq(self.with_length if self._length else 0),
            length_start_1.eq(self.length_start),
        ]
        for lane in range(octets):
            with m.If(self.keep[lane]):
                m.d.sync += chosen[lane].eq(self.data.word_select(lane, 8))
            with m.Else():
                m.d.sync += chosen[lane].eq(0)

        # Stage 2: the words of a beat.
        numbers = [Cat(chosen[2 * word + 1], chosen[2 * word]) for word in range(words)]
        total, carries = _tree(numbers)
        beat = Signal(17)
        count = Signal(range(octets + words))
        with_length_2 = Signal()
        length_start_2 = Signal(16)
        m.d.sync += [
            beat.eq(total),
            count.eq(sum(carries, Mux(with_length_1, extra + 1, 0))),
            with_length_2.eq(with_length_1),
            length_start_2.eq(length_start_1),
        ]

        # Stage 3: the words of the frame so far: low + carry + high, each of weight 1 in ones' complement.
        low = Signal(16)
        carry = Signal()
        # (At most one carry a word, and one for each octet of the length.)
        high = Signal(range(self._max_octets * (3 if self._length else 1) // 2 + 1))
        first = Signal(init=1)
        old_low = Signal.like(low)
        old_carry = Signal()
        old_high = Signal.like(high)
        valid, last = self.valid, self.last
        for _ in range(2):
            (valid, valid_before), (last, last_before) = (Signal(), valid), (Signal(), last)
            m.d.sync += [valid.eq(valid_before), last.eq(last_before)]
        with m.If(first):
            # In ones' complement, to take away is to add the complement.
            m.d.comb += old_low.eq(Mux(with_length_2, ~length_start_2, 0))
        with m.Else():
            m.d.comb += [old_low.eq(low), old_carry.eq(carry), old_high.eq(high)]
        with m.If(valid):
            m.d.sync += [
                Cat(low, carry).eq(_add(old_low, beat[:16], old_carry)),
                high.eq(_add(old_high, count, beat[16])),
                first.eq(last),
            ]

        # Stage 4: the three parts together; then the last carry.
        complete = Signal()
        m.d.sync += [
            complete.eq(valid & last),
            self.done.eq(complete),
            self.folded.eq(_add(low, high, carry)),
        ]
        # (If there is a last carry then the rest is small: the sum is not 0xFFFF.)
        m.d.comb += [self.sum.eq(self.folded[:16] + self.folded[16]), self.all_ones.eq(self.folded[:16].all())]
        if self._head:
            m.d.comb += self.added.eq(chosen)
            self._add_head(m, numbers, beat, count, (old_low, old_carry, old_high))
        return m

    def _add_head(self, m: Module, numbers, beat, count, before) -> None:
        """Tell whether the frame up to the end of the head is right: in time for its last beat."""
        low, carry, high = before
        # The first units of a beat, without and with all that follow.
        choices = []
        for unit in range(1, len(numbers) // 2):
            some, lacks = _tree(numbers[: 2 * unit])
            part, part_count = Signal(17), Signal(range(len(lacks) + 1))
            m.d.sync += [part.eq(some), part_count.eq(sum(lacks))]
            choices.append((part, part_count))
        choices.append((beat, count))
        for unit in range(len(numbers) // 2):
            m.d.sync += self.units[unit].eq(_tree(numbers[2 * unit : 2 * unit + 2])[0])
        chosen, chosen_count = Signal(17), Signal.like(count)
        with m.Switch(self.head):
            for units, (part, part_count) in enumerate(choices[:-1], 1):
                with m.Case(units):
                    m.d.comb += [chosen.eq(part), chosen_count.eq(part_count)]
            with m.Default():
                m.d.comb += [chosen.eq(beat), chosen_count.eq(count)]
        # A head has no more than 30 words, so fewer carries; the sum is all ones if the rest is their complement.
        rest, carries = Signal(17), Signal(5)
        with m.If(self.head.any()):
            m.d.sync += [
                rest.eq(_add(low, chosen[:16], carry)),
                carries.eq(high[:5] + chosen_count + chosen[16]),
            ]
        m.d.sync += self.head_right.eq(rest[:16] == Cat(~(carries + rest[16])[:5], Const(0x7FF, 11)))

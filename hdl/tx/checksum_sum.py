"""Sum of a frame's 16-bit words in ones' complement."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..packet import check_width_bits

__all__ = ["OnesComplementSum"]


class OnesComplementSum(wiring.Component):
    """Add the chosen octets of each frame as 16-bit words, first octet high, with end-around carry.

    RFC 1071. Words are aligned to the start of the frame. The sum of a frame is never 0 unless all that
    was added is 0. ``counted`` adds 1 for each of its bits: the length that a pseudo header needs.

    No adder is longer than 18 bits: the carry out of the accumulator goes in again with the next beat,
    and what does not fit into 16 bits is counted apart until the end of the frame.

    Timing
    ------
    Domain ``sync``. One beat a cycle; ``sum`` and ``done`` follow 4 cycles after the last beat, ``sum``
    through an adder.

    Parameters
    ----------
    width_bits : int
        Width of a beat.
    max_octets : int
        Longest frame that is added up right.

    Members
    -------
    data : In(width_bits)
        A beat, first octet in bits 0 to 7.
    keep : In(width_bits // 8)
        Octets to add.
    counted : In(width_bits // 8)
        Octets to count.
    valid, last : In(1)
        There is a beat; it ends its frame.
    sum : Out(16)
        Sum of a frame, while ``done``.
    done : Out(1)
        High for one cycle for each frame.
    """

    LATENCY = 4

    def __init__(self, *, width_bits: int, max_octets: int) -> None:
        self._width_bits = check_width_bits(width_bits)
        self._max_octets = max_octets
        super().__init__(
            {
                "data": In(width_bits),
                "keep": In(width_bits // 8),
                "counted": In(width_bits // 8),
                "valid": In(1),
                "last": In(1),
                "sum": Out(16),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        octets = self._width_bits // 8
        words = octets // 2

        # Stage 1: what is not to be added becomes 0. (An If rather than a Mux: it becomes the flip-flops' reset.)
        chosen = Signal(data.ArrayLayout(8, octets))
        counted = Signal(octets)
        m.d.sync += counted.eq(self.counted)
        for lane in range(octets):
            with m.If(self.keep[lane]):
                m.d.sync += chosen[lane].eq(self.data.word_select(lane, 8))
            with m.Else():
                m.d.sync += chosen[lane].eq(0)

        # Stage 2: the words of a beat.
        terms = [Cat(chosen[2 * word + 1], chosen[2 * word]) for word in range(words)]
        while len(terms) > 1:
            terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
        beat = Signal(16 + ceil_log2(words))
        count = Signal(range(octets + 1))
        m.d.sync += [beat.eq(terms[0]), count.eq(sum(counted))]

        # Stage 3: the words of the frame so far: low + carry + high, each of weight 1 in ones' complement.
        low = Signal(16)
        carry = Signal()
        high = Signal(range(self._max_octets * 3 // 2 + words))
        first = Signal(init=1)
        old_low = Signal.like(low)
        old_carry = Signal()
        old_high = Signal.like(high)
        valid, last = self.valid, self.last
        for _ in range(2):
            (valid, valid_before), (last, last_before) = (Signal(), valid), (Signal(), last)
            m.d.sync += [valid.eq(valid_before), last.eq(last_before)]
        with m.If(~first):
            m.d.comb += [old_low.eq(low), old_carry.eq(carry), old_high.eq(high)]
        with m.If(valid):
            m.d.sync += [
                # Both operands have one bit more below, which turns old_carry into a carry in.
                Cat(Signal(), low, carry).eq(Cat(1, old_low) + Cat(old_carry, beat[:16])),
                high.eq(old_high + (beat[16:] + count)),
                first.eq(last),
            ]

        # Stage 4: the three parts together; then the last carry.
        folded = Signal(17)
        complete = Signal()
        m.d.sync += [
            complete.eq(valid & last),
            self.done.eq(complete),
            Cat(Signal(), folded).eq(Cat(1, low) + Cat(carry, high)),
        ]
        m.d.comb += self.sum.eq(folded[:16] + folded[16])
        return m

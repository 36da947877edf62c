"""Cut what a frame has of aligned buffers into AXI bursts."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..axi import check_axi_width_bits
from ..step import one_less, one_more
from .split import AddressCommand

__all__ = ["BufferPart", "WindowSplitter", "check_window_octets"]

_UNIT_BITS = 6  # Buffers are made of units of 64 octets.
_PAGE_BITS = 12  # A burst must not cross a multiple of 4 KiB (A3.4.1).
_LIMB_BITS = 13  # Of the page number, a quarter: the longest carry of a cycle.


class BufferPart(data.Struct):
    """Octets of a frame in an aligned buffer.

    Either a whole number of units of 64 octets, ``length`` octets; or, with ``last``, the end of the frame, which has
    one octet more than ``length``. With ``empty``, only together with ``last``, it has no octets at all.
    """

    addr: 64
    length: 16
    last: 1
    empty: 1


def check_window_octets(burst_octets: int, axi_width_bits: int) -> int:
    """Return ``burst_octets`` if a burst on a bus of that width can be as long.

    Raises
    ------
    ValueError
        If it is not 64, 128 or 256, or less than two beats.
    """
    if burst_octets not in (64, 128, 256) or 8 * burst_octets < 2 * axi_width_bits:
        raise ValueError(f"burst_octets must be 64, 128 or 256 and at least two beats, not {burst_octets!r}")
    return burst_octets


class WindowSplitter(wiring.Component):
    """Cut the parts of frames into bursts that stay inside aligned windows of ``burst_octets`` octets.

    It is the `BurstSplitter` of writes: smaller, because all parts start at a multiple of 64 octets.

    Timing
    ------
    Domain ``sync``. Latency 1 cycle from part to burst, then one burst a cycle; one more cycle for each part, four for
    each carry into the next 4 KiB. Combinational from ``address.ready`` and ``run.ready`` to each other's ``valid``.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus.
    burst_octets : int
        Longest burst: 64, 128 or 256 octets, at least two beats.

    Members
    -------
    part : In(stream.Signature(BufferPart))
        Parts of frames.
    address : Out(stream.Signature(AddressCommand))
        Bursts, for all but empty runs.
    run : Out(stream.Signature({"frame_end": 1, "empty": 1}))
        What each is for: the frame ends in it; it has no octets, and no burst. Moves in the same cycle as ``address``.
    idle : Out(1)
        Nothing inside.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, axi_width_bits: int = 64, burst_octets: int = 256) -> None:
        self._axi_octets = check_axi_width_bits(axi_width_bits) // 8
        self._burst_octets = check_window_octets(burst_octets, axi_width_bits)
        super().__init__(
            {
                "part": In(stream.Signature(BufferPart)),
                "address": Out(stream.Signature(AddressCommand)),
                "run": Out(stream.Signature(data.StructLayout({"frame_end": 1, "empty": 1}))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bits, window_bits = exact_log2(self._axi_octets), exact_log2(self._burst_octets)
        place_bits = window_bits - _UNIT_BITS
        part, run = self.part.payload, self.run.payload

        active, frame_end, sent = Signal(), Signal(), Signal()
        unit = Signal(place_bits)  # Where in its window the burst starts.
        window = Signal(_PAGE_BITS - window_bits)
        page = Signal(64 - _PAGE_BITS)
        last = Signal(17 - _UNIT_BITS)  # The part's last unit, counted from the start of this window,
        tail = Signal(_UNIT_BITS)  # and the last octet in it.
        part_end = Signal()
        m.d.comb += [
            self.part.ready.eq(~active),
            self.idle.eq(~active),
            part_end.eq(~last[place_bits:].any() | run.empty),
            sent.eq(self.run.valid & self.run.ready),
        ]

        # One adder finds the last unit and counts the windows.
        start = part.addr[_UNIT_BITS:window_bits]
        above = len(last) - place_bits
        first_add = Cat(Mux(part.last, start, one_less(start)), (~part.last & ~start.any()).replicate(above))
        next_add = Cat(C(0, place_bits), C(-1, above))
        with m.If(~active | sent):
            m.d.sync += last.eq(Mux(active, last, part.length[_UNIT_BITS:]) + Mux(active, next_add, first_add))

        turns, carry = Signal(4), Signal()  # The page number turns once around while 1 is added to it.
        limb = Signal(_LIMB_BITS + 1)
        m.d.comb += limb.eq(page[:_LIMB_BITS] + carry)
        with m.If(turns[0]):
            m.d.sync += [turns.eq(turns >> 1), page.eq(Cat(page[_LIMB_BITS:], limb[:-1])), carry.eq(limb[-1])]
        with m.If(~active):
            m.d.sync += [
                active.eq(self.part.valid),
                Cat(unit, window, page).eq(part.addr[_UNIT_BITS:]),
                tail.eq(part.length[:_UNIT_BITS] | (~part.last).replicate(_UNIT_BITS)),
                frame_end.eq(part.last),
                run.empty.eq(part.empty),
            ]
        with m.If(sent):
            m.d.sync += [unit.eq(0), window.eq(one_more(window)), active.eq(~part_end)]
            with m.If(window.all() & ~part_end):
                m.d.sync += [turns.eq(-1), carry.eq(1)]

        to_unit = (last[:place_bits] | (~part_end).replicate(place_bits)) ^ unit  # Of the burst, from `unit` on.
        if place_bits == 2:
            to_unit ^= Cat(0, unit[0] & ~(last[0] | ~part_end))
        may_send = Signal()
        m.d.comb += [
            run.frame_end.eq(frame_end & part_end),
            self.address.payload.araddr.eq(Cat(C(0, _UNIT_BITS), unit, window, page)),
            self.address.payload.arlen.eq(Cat((tail | (~part_end).replicate(_UNIT_BITS))[beat_bits:], to_unit)),
            may_send.eq(active & ~turns[0]),
            self.run.valid.eq(may_send & (self.address.ready | run.empty)),
            self.address.valid.eq(may_send & self.run.ready & ~run.empty),
        ]
        return m

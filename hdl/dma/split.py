"""Cut the parts of a frame into AXI bursts."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..axi import check_axi_width_bits

__all__ = ["AddressCommand", "BurstSplitter", "Part", "Run", "check_burst_octets"]

_PAGE_BITS = 12  # A burst must not cross a multiple of 4 KiB (A3.4.1).
_LIMB_BITS = 13  # Of the page counter's bits, those that are counted in one cycle.


class Part(data.Struct):
    """Octets of a frame in host memory; ``last`` in the frame's last part."""

    addr: 64
    length: 16
    last: 1


def check_burst_octets(burst_octets: int, axi_width_bits: int) -> int:
    """Return ``burst_octets`` if a burst on a bus of that width can be as long.

    Raises
    ------
    ValueError
        If it is no power of two, less than two beats, over 256 beats or over 4 KiB.
    """
    axi_octets = axi_width_bits // 8
    if burst_octets not in (axi_octets << n for n in range(1, 9)) or burst_octets > 1 << _PAGE_BITS:
        raise ValueError(
            f"burst_octets must be a power of two from 2 to 256 beats of {axi_octets} octets and at most 4096, "
            f"not {burst_octets!r}"
        )
    return burst_octets


class Run(data.StructLayout):
    """Which octets of a window of host memory belong to the frame.

    A window is an aligned run of ``burst_octets`` octets; the frame has its octets ``first`` to ``last``, both in.
    ``frame_end``: the frame ends here; ``empty``: there are no octets at all.
    """

    def __init__(self, burst_octets: int) -> None:
        bits = ceil_log2(burst_octets)
        super().__init__({"first": bits, "last": bits, "frame_end": 1, "empty": 1})


class AddressCommand(data.Struct):
    """What the address channel of a burst says, but the ID."""

    araddr: 64
    arlen: 8


class BurstSplitter(wiring.Component):
    """Cut the parts of frames into bursts that stay inside aligned windows of ``burst_octets`` octets.

    So no burst crosses 4 KiB. A part of length 0 is skipped; if it is the last of its frame it becomes a run that is
    ``empty``, without a burst.

    Timing
    ------
    Domain ``sync``. Latency 1 cycle from part to burst, then one burst a cycle; one more cycle for each part, four
    for each carry into the next 4 KiB. Combinational from ``address.ready`` and ``run.ready`` to each other's
    ``valid``: each of the two, once high, must stay so until something comes, else ``valid`` of the other one falls.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus.
    burst_octets : int
        Longest burst, in octets.

    Members
    -------
    part : In(stream.Signature(Part))
        Parts of frames.
    address : Out(stream.Signature(AddressCommand))
        Bursts to read, for all but empty runs.
    run : Out(stream.Signature(Run))
        What the bursts are for; moves in the same cycle as ``address``.
    idle : Out(1)
        Nothing inside.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, axi_width_bits: int = 64, burst_octets: int = 256) -> None:
        self._axi_octets = check_axi_width_bits(axi_width_bits) // 8
        self._burst_octets = check_burst_octets(burst_octets, axi_width_bits)
        super().__init__(
            {
                "part": In(stream.Signature(Part)),
                "address": Out(stream.Signature(AddressCommand)),
                "run": Out(stream.Signature(Run(burst_octets))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bits = ceil_log2(self._axi_octets)
        window_bits = ceil_log2(self._burst_octets)
        part, run = self.part.payload, self.run.payload

        active = Signal()
        first = Signal(window_bits)
        window = Signal(_PAGE_BITS - window_bits)
        page = Signal(64 - _PAGE_BITS)
        # To the next page: the limbs take turns at the lowest place, where there is an adder.
        carry, turns = Signal(), Signal(len(page) // _LIMB_BITS)
        ends_at = Signal(16 + 1)  # Last octet of the part, counted from the start of its first window.
        frame_end = Signal()
        empty = Signal()

        m.d.comb += [self.part.ready.eq(~active), self.idle.eq(~active)]
        with m.If(self.part.ready):
            m.d.sync += [
                active.eq(self.part.valid & ((part.length != 0) | part.last)),
                Cat(first, window, page).eq(part.addr),
                ends_at.eq(part.addr[:window_bits] + part.length - 1),
                frame_end.eq(part.last),
                empty.eq(part.length == 0),
            ]

        windows_left = ends_at[window_bits:]
        part_end = Signal()
        m.d.comb += part_end.eq((windows_left == 0) | empty)

        m.d.comb += [
            run.first.eq(first),
            run.last.eq(Mux(part_end, ends_at[:window_bits], self._burst_octets - 1)),
            run.frame_end.eq(frame_end & part_end),
            run.empty.eq(empty),
            self.address.payload.araddr.eq(Cat(first, window, page) & ~(self._axi_octets - 1)),
            self.address.payload.arlen.eq(run.last[beat_bits:] - first[beat_bits:]),
        ]
        may_send = Signal()
        m.d.comb += [
            may_send.eq(active & ~turns[0]),
            self.run.valid.eq(may_send & (self.address.ready | empty)),
            self.address.valid.eq(may_send & self.run.ready & ~empty),
        ]

        with m.If(self.run.valid & self.run.ready):
            m.d.sync += [first.eq(0), windows_left.eq(windows_left - 1), window.eq(window + 1)]
            with m.If(part_end):
                m.d.sync += active.eq(0)
            with m.Elif(window.all()):
                m.d.sync += [carry.eq(1), turns.eq(-1)]
        with m.If(turns[0]):
            limb = page[:_LIMB_BITS] + carry
            m.d.sync += [
                page.eq(Cat(page[_LIMB_BITS:], limb[:_LIMB_BITS])),
                carry.eq(limb[_LIMB_BITS]),
                turns.eq(turns >> 1),
            ]
        return m

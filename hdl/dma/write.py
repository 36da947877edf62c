"""Write the octets of frames to host memory."""

from amaranth.hdl import C, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..axi import Axi4WriteSignature, Burst, check_axi_width_bits
from ..packet import check_width_bits, packet_signature
from ..short_fifo import ShortFifo
from .resize import Resize
from .windows import BufferPart, WindowSplitter, check_window_octets

__all__ = ["DmaWrite"]

_ENTRY = data.StructLayout({"empty": 1, "frame_end": 1})


class DmaWrite(wiring.Component):
    """Write frames to where their parts say, and tell of each when it is in memory.

    The parts of a frame take its octets in turn. Each starts at a multiple of 64 octets. Together they are not longer
    than the frame; what is left of the frame after its last part is swallowed. Bursts never cross 4 KiB. All have ID 0,
    so that their responses come in order.

    Timing
    ------
    Domain ``sync``. ``request`` to ``awvalid`` 2 cycles, to the first ``wvalid`` 3; one beat of the narrower of bus and
    stream a cycle, besides two cycles a burst; a part each 4 cycles. B to ``done`` 1 cycle. Outputs come from registers
    but ``i.ready``, some gates from ``axi.wready``, and ``axi.bready``, a few gates.

    Parameters
    ----------
    stream_width_bits : int
        Width of the packet stream: 32, 64 or 128.
    axi_width_bits : int
        Width of the host bus: 32 to 512.
    id_width_bits : int
        Bits of a transaction ID.
    outstanding : int
        Bursts under way, a power of two from 2 up.
    burst_octets : int
        Longest burst: 64, 128 or 256 octets, at least two beats.
    pad_octets : int
        Octets at the start of each frame that are not written, less than a beat of either side.

    Members
    -------
    request : In(stream.Signature(BufferPart))
        Parts of frames.
    i : In(packet_signature(stream_width_bits))
        Frames; ``error`` means nothing.
    axi : Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits))
        Host bus.
    done : Out(stream.Signature({"error": 1}))
        A frame is in memory, in order; ``error``: the bus refused a write of it. Responses wait while it does.
    idle : Out(1)
        Nothing inside and nothing under way.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self,
        *,
        stream_width_bits: int = 64,
        axi_width_bits: int = 64,
        id_width_bits: int = 1,
        outstanding: int = 16,
        burst_octets: int = 256,
        pad_octets: int = 0,
    ) -> None:
        check_width_bits(stream_width_bits)
        check_axi_width_bits(axi_width_bits)
        check_window_octets(burst_octets, axi_width_bits)
        if not 0 <= pad_octets < min(stream_width_bits, axi_width_bits) // 8:
            raise ValueError(f"pad_octets must be less than a beat, not {pad_octets!r}")
        if outstanding < 2 or outstanding & (outstanding - 1):
            raise ValueError(f"outstanding must be a power of two from 2 up, not {outstanding!r}")
        self._widths = {"stream_width_bits": stream_width_bits, "axi_width_bits": axi_width_bits}
        self._burst_octets = burst_octets
        self._outstanding = outstanding
        self._pad_octets = pad_octets
        super().__init__(
            {
                "request": In(stream.Signature(BufferPart)),
                "i": In(packet_signature(stream_width_bits)),
                "axi": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "done": Out(stream.Signature(data.StructLayout({"error": 1}))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        m.submodules.split = split = WindowSplitter(
            axi_width_bits=self._widths["axi_width_bits"], burst_octets=self._burst_octets
        )
        m.submodules.resize = resize = Resize(**self._widths)
        m.submodules.entries = entries = ShortFifo(shape=_ENTRY, depth=self._outstanding)
        wiring.connect(m, wiring.flipped(self.request), split.part)
        wiring.connect(m, wiring.flipped(self.i), resize.i)

        run = split.run.payload
        active, swallow = Signal(), Signal()
        started, may_start = Signal(), Signal()
        m.d.sync += may_start.eq(~started & ~axi.awvalid & ~active & ~swallow & entries.i.ready)
        m.d.comb += [
            split.address.ready.eq(may_start),
            split.run.ready.eq(may_start),
            started.eq(split.run.valid & split.run.ready),
            entries.i.valid.eq(started),
            entries.i.payload.empty.eq(run.empty),
            entries.i.payload.frame_end.eq(run.frame_end),
            axi.awsize.eq(exact_log2(len(axi.wstrb))),
            axi.awburst.eq(Burst.INCR),
        ]
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(split.address.valid & split.address.ready):
            m.d.sync += [
                axi.awvalid.eq(1),
                axi.awaddr.eq(split.address.payload.araddr),
                axi.awlen.eq(split.address.payload.arlen),
            ]
        self._beats(m, split, resize.o, started, active, swallow)
        self._responses(m, entries.o)
        m.d.comb += self.idle.eq(
            split.idle
            & ~resize.busy
            & ~(active | swallow | axi.awvalid | axi.wvalid)
            & ~entries.busy
            & ~self.done.valid
        )
        return m

    def _beats(self, m: Module, split, word, started: Signal, active: Signal, swallow: Signal) -> None:
        """Move words to the bus, as many as the burst has, or to nowhere."""
        axi, run = self.axi, split.run.payload
        left, frame_end, first = Signal(range(256)), Signal(), Signal(init=1)
        free, moved = Signal(), Signal()
        pad = C((1 << self._pad_octets) - 1, len(axi.wstrb))
        m.d.comb += [
            free.eq(~axi.wvalid | axi.wready),
            word.ready.eq(swallow | (active & free)),
            moved.eq(active & free & word.valid),
        ]
        with m.If(free):
            m.d.sync += [
                axi.wvalid.eq(active & word.valid),
                axi.wdata.eq(word.payload.data),
                axi.wstrb.eq(word.payload.keep & ~Mux(first, pad, 0)),
                axi.wlast.eq(left == 0),
            ]
        with m.If(started):
            m.d.sync += [
                active.eq(~run.empty),
                swallow.eq(run.empty),
                frame_end.eq(run.frame_end),
                left.eq(split.address.payload.arlen),
            ]
        with m.If(moved):
            m.d.sync += [left.eq(left - 1), first.eq(0)]
            with m.If(left == 0):
                m.d.sync += [active.eq(0), swallow.eq(frame_end & ~word.payload.last), first.eq(frame_end)]
        with m.If(swallow & word.valid & word.payload.last):
            m.d.sync += [swallow.eq(0), first.eq(1)]

    def _responses(self, m: Module, entry) -> None:
        """Collect the responses of each frame."""
        axi, done = self.axi, self.done
        free, taken, failed = Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~done.valid | done.ready),
            axi.bready.eq(entry.valid & ~entry.payload.empty & free),
            entry.ready.eq(free & (entry.payload.empty | axi.bvalid)),
            taken.eq(entry.valid & entry.ready),
        ]
        with m.If(done.ready):
            m.d.sync += done.valid.eq(0)
        with m.If(taken):
            # An empty run has no response of its own.
            error = failed | (axi.bresp[1] & ~entry.payload.empty)
            m.d.sync += [
                done.valid.eq(entry.payload.frame_end),
                failed.eq(error & ~entry.payload.frame_end),
            ]
            with m.If(entry.payload.frame_end):
                m.d.sync += done.payload.error.eq(error)

"""The RX queue: frames into the buffers that descriptors in host memory name, completions back."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...stack.abi.desc import RX_CPL, RX_DESC, RX_PAD_OCTETS, RxStatus
from ...stack.abi.regs import RXQ
from ..axi import Axi4ReadSignature, Axi4WriteSignature, check_axi_width_bits
from ..csr import block_signature
from ..dma.windows import check_window_octets
from ..dma.write import DmaWrite
from ..packet import check_width_bits, packet_signature
from ..ram_fifo import RamFifo
from ..ring.completion import CompletionWrite
from ..ring.control import add_mask, join_completions, join_fetch, join_interrupt, join_reset, registers_written
from ..ring.fetch import DescriptorFetch
from ..ring.irq_moderation import IrqModeration
from ..short_fifo import ShortFifo
from .buffers import BufferPlan, BufferRecord, RxCompletion
from .frame import RX_FLAGS_BITS, RxFrame

__all__ = ["RxRing"]


class RxRing(wiring.Component):
    """The queue of ``RXQ``: fetches descriptors, writes frames to their buffers, writes completions, interrupts.

    What each descriptor, status and register means is said in ``stack.abi``. A frame that comes while the queue is not
    enabled, or while no descriptor is posted, is dropped at once; if descriptors are posted and not here yet, it waits
    for them, never for software. Each frame is written to buffers as far as they are long, and completed when all its
    octets are in host memory. If buffers run out or one is no good, the rest of the frame is swallowed.

    A descriptor that is no good is completed by itself as soon as it is here, unless a frame is under way, which it
    ends then. A stop or a reset lets the frame under way come to its end; it fetches no more than that needs. A stop
    keeps what was fetched for the next start. A completion that the bus refuses 16 times in a row is given up during a
    reset. At the end of a reset CTRL.enable, TAIL, CPL_TAIL and all indices are cleared; IRQ stays as it is.

    Of the frames taken at ``frame`` each gives one of ``delivered``, ``no_buffer``, ``disabled``, ``bus_error`` and
    ``refused``.

    Timing
    ------
    Domain ``sync``. Outputs come from registers, but ``i.ready`` (some gates from ``axi_write.wready``),
    ``axi_write.bready``, ``irq``, ``idle`` and ``wake_in``. ``frame`` to its ``ready`` 1 cycle, to ``awvalid`` 4
    cycles; last B of a frame's octets to ``awvalid`` of its completion 7 cycles; that one's B to ``irq`` 5 cycles.

    Parameters
    ----------
    stream_width_bits : int
        Width of the packet stream: 32, 64 or 128.
    axi_width_bits : int
        Width of the host bus: 32, 64, 128, 256 or 512.
    ring_log2_max : int
        Largest ring, as log2 of its descriptors, 1 to 15.
    id_width_bits : int
        Bits of a transaction ID; all transactions of a port have ID 0, so that they are answered in order.
    prefetch : int
        Descriptors fetched ahead, a power of two from 8 up.
    outstanding : int
        Bursts of octets under way, and frames that wait for their octets to be in memory: a power of two from 4 up.
    burst_octets : int
        Longest burst: a power of two, 64 to 256 octets, at least two beats.

    Members
    -------
    csr : In(block_signature(RXQ))
        The queue's registers, from ``CsrBank``.
    axi_read : Out(Axi4ReadSignature)
        Host memory: descriptors.
    axi_write, axi_write_completion : Out(Axi4WriteSignature)
        Host memory: octets of frames, completions.
    frame : In(stream.Signature(RxFrame))
        A good frame waits inside.
    drop : Out(1)
        In the cycle in which ``frame`` is taken: it is not wanted, and its octets do not come.
    i : In(packet_signature(stream_width_bits))
        Octets of the frames that are wanted, RX_PAD_OCTETS of anything ahead of each.
    irq : Out(1)
        The interrupt line: IRQ.pending and IRQ.enable.
    idle : Out(1)
        Nothing inside, nothing to fetch, no reset; only a frame, a register or the moderation timer can change this.
    wake_in : Out(32)
        Cycles until the moderation timer fires; all ones: it does not run.
    advance_stb, advance_cycles : In(1), In(32)
        Let the moderation timer jump ahead by so many cycles, less than ``wake_in``, besides the one of this clock
        edge.
    cpl_stb, cpl_status, cpl_index : Out(1), Out(8), Out(16)
        A completion is in host memory: its status, and the index in it.
    cpl_retried : Out(1)
        High for one cycle for each completion write that is repeated.
    delivered, delivered_flags : Out(1), Out(RX_FLAGS_BITS)
        A frame is completed as OK: its ``RxFlags``.
    no_buffer, disabled, bus_error, refused : Out(1)
        A frame is lost: too few buffers, queue not enabled, bus error, bad descriptor.

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
        ring_log2_max: int = 15,
        id_width_bits: int = 1,
        prefetch: int = 16,
        outstanding: int = 16,
        burst_octets: int = 256,
    ) -> None:
        check_width_bits(stream_width_bits)
        check_axi_width_bits(axi_width_bits)
        if not 1 <= ring_log2_max <= 15:
            raise ValueError(f"ring_log2_max must be in 1..15, not {ring_log2_max!r}")
        if id_width_bits < 1:
            raise ValueError(f"id_width_bits must be at least 1, not {id_width_bits!r}")
        if prefetch < 8 or prefetch & (prefetch - 1):
            raise ValueError(f"prefetch must be a power of two from 8 up, not {prefetch!r}")
        if outstanding < 4 or outstanding & (outstanding - 1):
            raise ValueError(f"outstanding must be a power of two from 4 up, not {outstanding!r}")
        check_window_octets(burst_octets, axi_width_bits)
        self._stream_width_bits = stream_width_bits
        self._bus = {"axi_width_bits": axi_width_bits, "id_width_bits": id_width_bits}
        self._ring_log2_max = ring_log2_max
        self._prefetch = prefetch
        self._outstanding = outstanding
        self._burst_octets = burst_octets
        super().__init__(
            {
                "csr": In(block_signature(RXQ)),
                "axi_read": Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "axi_write": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "axi_write_completion": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "frame": In(stream.Signature(RxFrame)),
                "drop": Out(1),
                "i": In(packet_signature(stream_width_bits)),
                "irq": Out(1),
                "idle": Out(1),
                "wake_in": Out(32),
                "advance_stb": In(1),
                "advance_cycles": In(32),
                "cpl_stb": Out(1),
                "cpl_status": Out(8),
                "cpl_index": Out(16),
                "cpl_retried": Out(1),
                "delivered": Out(1),
                "delivered_flags": Out(RX_FLAGS_BITS),
                "no_buffer": Out(1),
                "disabled": Out(1),
                "bus_error": Out(1),
                "refused": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        csr, log2_max = self.csr, self._ring_log2_max
        m.submodules.fetch = fetch = DescriptorFetch(
            axi_width_bits=self._bus["axi_width_bits"],
            id_width_bits=self._bus["id_width_bits"],
            ring_log2_max=log2_max,
            prefetch=self._prefetch,
            record=RX_DESC,
        )
        m.submodules.plan = plan = BufferPlan()
        m.submodules.dma = dma = DmaWrite(
            **self._bus,
            stream_width_bits=self._stream_width_bits,
            outstanding=self._outstanding,
            burst_octets=self._burst_octets,
            pad_octets=RX_PAD_OCTETS,
        )
        m.submodules.records = records = RamFifo(shape=BufferRecord, depth=self._outstanding)
        # As many as records, so that results never wait: completions wait for the same channel's responses.
        m.submodules.results = results = ShortFifo(shape=1, depth=self._outstanding, always_room=True)
        m.submodules.write = write = CompletionWrite(
            **self._bus, ring_log2_max=log2_max, record=RX_CPL, completion=RxCompletion
        )
        m.submodules.moderation = moderation = IrqModeration(index_width_bits=log2_max)

        connect(m, fetch.axi, flipped(self.axi_read))
        connect(m, fetch.o, plan.descriptor)
        connect(m, flipped(self.frame), plan.frame)
        connect(m, plan.part, dma.request)
        connect(m, plan.record, records.i)
        connect(m, flipped(self.i), dma.i)
        connect(m, dma.axi, flipped(self.axi_write))
        connect(m, write.axi, flipped(self.axi_write_completion))
        m.d.comb += [
            self.drop.eq(plan.drop),
            self.no_buffer.eq(plan.no_buffer),
            self.disabled.eq(plan.disabled),
            results.i.valid.eq(dma.done.valid),
            results.i.payload.eq(dma.done.payload.error),
            dma.done.ready.eq(1),
        ]
        held = Signal(range(self._outstanding + 1))  # Records.
        m.d.sync += [
            held.eq(held + (plan.record.valid & plan.record.ready) - (records.o.valid & records.o.ready)),
            plan.room.eq(held < self._outstanding - 2),
        ]
        self._join(m, records.o, results.o, write.i)

        mask = add_mask(m, csr, log2_max)
        resetting, clear = Signal(), Signal()
        join_fetch(m, csr, fetch, mask, clear)
        join_completions(m, self, write, mask, resetting=resetting, clear=clear)
        join_interrupt(m, self, moderation, mask, write.index)
        busy = Cat(plan.busy, records.busy, results.busy, ~dma.idle, write.busy)
        self._control(m, fetch, plan, busy, resetting, clear)
        return m

    def _join(self, m: Module, record, result, completion) -> None:
        """Complete what is in memory, and count it."""
        joined, ok, failed = Signal(), Signal(), Signal()
        planned, frame = record.payload.completion, record.payload.frame
        m.d.comb += [
            completion.valid.eq(record.valid & (~frame | result.valid)),
            joined.eq(completion.valid & completion.ready),
            record.ready.eq(joined),
            result.ready.eq(joined & frame),
            ok.eq((planned.status == RxStatus.OK) & ~result.payload),
            failed.eq((planned.status == RxStatus.OK) & result.payload),
            completion.payload.eq(planned),
        ]
        with m.If(failed):
            m.d.comb += completion.payload.status.eq(RxStatus.PAYLOAD_ERROR)
        with m.If(frame & result.payload):
            m.d.comb += completion.payload.length.eq(0)
        with m.If(joined):
            m.d.sync += self.delivered_flags.eq(planned.flags)
        m.d.sync += [
            self.delivered.eq(joined & ok),
            self.bus_error.eq(joined & frame & (failed | (planned.status == RxStatus.DESC_ERROR))),
            self.refused.eq(joined & frame & (planned.status == RxStatus.BAD_DESCRIPTOR)),
        ]

    def _control(self, m: Module, fetch, plan, busy, resetting: Signal, clear: Signal) -> None:
        """Start, stop, reset."""
        csr, axi = self.csr, self.axi_read
        # Frames are taken when `fetch` has had the time to see what is posted.
        up = Signal(3)
        reads, asked, answered = Signal(range(self._prefetch + 1)), Signal(), Signal()  # Bursts that are not answered.
        working, reading, may_read = Signal(), Signal(), Signal()
        m.d.comb += [
            working.eq(busy.any()),
            reading.eq((reads != 0) | axi.arvalid | asked),
            may_read.eq(plan.open | plan.placing),
            fetch.halt.eq(~may_read),
            plan.flush.eq(resetting),
        ]
        m.d.sync += [
            up.eq(Cat(csr.ctrl.enable, up[:-1])),
            asked.eq(axi.arvalid & axi.arready),
            answered.eq(axi.rvalid & axi.rready & axi.rlast),
            reads.eq(reads + asked - answered),
            plan.open.eq(csr.ctrl.enable & up.all() & ~resetting & ~csr.ctrl.reset),
            plan.none.eq(fetch.caught_up & fetch.empty),
        ]
        join_reset(m, csr, resetting=resetting, clear=clear, at_rest=~working & ~reading & fetch.empty)

        # Something happened: it takes some cycles until all that follows from it is seen. The longest of these is a
        # descriptor that comes in 4 beats, is no good and gets a completion.
        settling = Signal(11)
        inside = Signal()
        m.d.sync += [
            inside.eq(working | reading | resetting),
            settling.eq(Cat(inside | registers_written(csr) | self.frame.valid, settling[:-1])),
        ]
        # (Nothing begins inside without a cause that is seen here a cycle before.)
        m.d.comb += self.idle.eq(~settling.any())

        m.d.sync += [
            csr.status.idle.eq(~working),
            csr.status.running.eq(csr.ctrl.enable | plan.open | inside),
        ]

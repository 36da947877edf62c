"""The TX queue: descriptors out of host memory, parts of frames to the datapath, completions back."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...stack.abi.desc import TX_CPL, TX_DESC
from ...stack.abi.regs import TXQ
from ..axi import Axi4ReadSignature, Axi4WriteSignature, check_axi_width_bits
from ..csr import block_signature
from ..ring.completion import CompletionWrite
from ..ring.control import add_mask, join_completions, join_fetch, join_interrupt, join_reset, registers_written
from ..ring.fetch import DescriptorFetch
from ..ring.irq_moderation import IrqModeration
from .command import FrameCommand, FramePart
from .decode import DescriptorDecode
from .result_join import ResultJoin, TxCompletion

__all__ = ["TxRing"]


class TxRing(wiring.Component):
    """The queue of ``TXQ``: fetches descriptors, hands out frames part by part, writes completions, interrupts.

    What each descriptor, status and register means is said in ``stack.abi``. For each frame that the ring does not
    refuse itself, ``frame`` carries one command, ``part`` its parts, the last one marked, and ``result`` takes one
    status back, in the order of the frames. If the ring has to give up a frame whose parts are on their way, it ends it
    with a part that has ``last`` and ``drop`` set and length 0: the datapath must then send nothing of this frame and
    still give a result (any; the ring knows better what to report).

    A completion covers at least one descriptor that none covered before, and comes in the order of the ring:

    * a descriptor whose read failed is completed at its own index;
    * those after it that do not have FIRST are swallowed and completed together, at the one with LAST;
    * the same for a frame that is refused, with BAD_SEQUENCE or UNSUPPORTED;
    * a frame without LAST is completed as BAD_SEQUENCE when the next one starts, or at the end of an orderly stop.

    An orderly stop (CTRL.enable falls) goes as far as TAIL was at that time. A reset fetches nothing more and completes
    what was fetched and not yet handed over as ABORTED; a completion that the bus refuses 16 times in a row is given up
    then. At the end CTRL.enable, TAIL, CPL_TAIL and all indices are cleared; IRQ stays as it is.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``irq``, ``idle`` and ``wake_in`` (a few gates). TAIL's strobe
    to ``arvalid`` 3 cycles, last beat of a descriptor to ``part.valid`` 5 cycles, ``result`` to ``awvalid`` 5 cycles,
    last B to ``irq`` 5 cycles.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus: 32, 64, 128, 256 or 512.
    ring_log2_max : int
        Largest ring, as log2 of its descriptors, 1 to 15.
    id_width_bits : int
        Bits of a transaction ID; all reads, and all writes, have ID 0, so that each kind is answered in order.
    prefetch : int
        Descriptors fetched ahead, a power of two from 8 up.

    Members
    -------
    csr : In(block_signature(TXQ))
        The queue's registers, from ``CsrBank``.
    axi_read, axi_write : Out(Axi4ReadSignature), Out(Axi4WriteSignature)
        Host memory: descriptors, completions.
    frame : Out(stream.Signature(FrameCommand))
        A frame starts.
    part : Out(stream.Signature(FramePart))
        Octets of it to read.
    result : In(stream.Signature({"status": 8}))
        What became of it: a ``TxStatus``.
    abort : Out(1)
        A reset is under way: frames that the MAC has not got yet end as ABORTED.
    irq : Out(1)
        The interrupt line: IRQ.pending and IRQ.enable.
    idle : Out(1)
        Nothing inside, nothing to fetch, no reset; only a register or the moderation timer can change this.
    wake_in : Out(32)
        Cycles until the moderation timer fires; all ones: it does not run.
    advance_stb, advance_cycles : In(1), In(32)
        Let the moderation timer jump ahead by so many cycles, less than ``wake_in``, besides the one of this clock
        edge.
    desc_stb, desc_index : Out(1), Out(16)
        A descriptor was decoded: its index.
    cpl_stb, cpl_status, cpl_index : Out(1), Out(8), Out(16)
        A completion is in host memory: its status, and the index in it.
    cpl_retried : Out(1)
        High for one cycle for each completion write that is repeated.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self, *, axi_width_bits: int = 64, ring_log2_max: int = 15, id_width_bits: int = 1, prefetch: int = 16
    ) -> None:
        check_axi_width_bits(axi_width_bits)
        if not 1 <= ring_log2_max <= 15:
            raise ValueError(f"ring_log2_max must be in 1..15, not {ring_log2_max!r}")
        if id_width_bits < 1:
            raise ValueError(f"id_width_bits must be at least 1, not {id_width_bits!r}")
        if prefetch < 8 or prefetch & (prefetch - 1):
            raise ValueError(f"prefetch must be a power of two from 8 up, not {prefetch!r}")
        self._axi_width_bits = axi_width_bits
        self._ring_log2_max = ring_log2_max
        self._id_width_bits = id_width_bits
        self._prefetch = prefetch
        super().__init__(
            {
                "csr": In(block_signature(TXQ)),
                "axi_read": Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "axi_write": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "frame": Out(stream.Signature(FrameCommand)),
                "part": Out(stream.Signature(FramePart)),
                "result": In(stream.Signature(data.StructLayout({"status": 8}))),
                "abort": Out(1),
                "irq": Out(1),
                "idle": Out(1),
                "wake_in": Out(32),
                "advance_stb": In(1),
                "advance_cycles": In(32),
                "desc_stb": Out(1),
                "desc_index": Out(16),
                "cpl_stb": Out(1),
                "cpl_status": Out(8),
                "cpl_index": Out(16),
                "cpl_retried": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        csr, log2_max = self.csr, self._ring_log2_max
        bus = {"axi_width_bits": self._axi_width_bits, "id_width_bits": self._id_width_bits, "ring_log2_max": log2_max}
        m.submodules.fetch = fetch = DescriptorFetch(**bus, prefetch=self._prefetch, record=TX_DESC)
        m.submodules.decode = decode = DescriptorDecode()
        m.submodules.join = join = ResultJoin()
        m.submodules.write = write = CompletionWrite(**bus, record=TX_CPL, completion=TxCompletion)
        m.submodules.moderation = moderation = IrqModeration(index_width_bits=log2_max)

        connect(m, fetch.o, decode.i)
        connect(m, decode.record, join.record)
        connect(m, join.o, write.i)
        connect(m, fetch.axi, flipped(self.axi_read))
        connect(m, write.axi, flipped(self.axi_write))
        connect(m, decode.frame, flipped(self.frame))
        connect(m, decode.part, flipped(self.part))
        connect(m, flipped(self.result), join.result)

        mask = add_mask(m, csr, log2_max)
        resetting, clear = Signal(), Signal()
        join_fetch(m, csr, fetch, mask, clear)
        join_completions(m, self, write, mask, resetting=resetting, clear=clear)
        join_interrupt(m, self, moderation, mask, write.index)
        self._control(m, fetch, decode, [decode.busy, join.busy, write.busy], resetting, clear)
        m.d.comb += [
            decode.clear.eq(clear),
            self.abort.eq(resetting),
            self.desc_stb.eq(decode.decoded),
            self.desc_index.eq(decode.index),
        ]
        return m

    def _control(self, m: Module, fetch, decode, busy, resetting: Signal, clear: Signal) -> None:
        """Start, stop in order, reset."""
        csr = self.csr
        drained, quiet = Signal(), Signal()
        up = Signal(3)  # CTRL.enable, until `fetch` knows the last limit.
        m.d.sync += up.eq(Cat(csr.ctrl.enable, up[:-1]))
        m.d.comb += [
            drained.eq(fetch.empty & (resetting | (~csr.ctrl.enable & ~up.any() & fetch.caught_up))),
            quiet.eq(fetch.empty & ~Cat(busy).any()),
            fetch.halt.eq(resetting),
        ]
        m.d.comb += decode.abort.eq(resetting)
        m.d.sync += decode.close.eq(drained)

        join_reset(m, csr, resetting=resetting, clear=clear, at_rest=quiet)

        # A register was written: it takes some cycles until all that follows from it is seen. After a completion the
        # interrupt's timer knows of it as soon as nothing is inside.
        settling = Signal(5)
        parts, inside = Signal(6), Signal()
        m.d.sync += [
            settling.eq(Cat(registers_written(csr), settling[:-1])),
            parts.eq(Cat(~fetch.empty, *busy, resetting, ~fetch.caught_up)),
            inside.eq(parts.any()),
        ]
        m.d.comb += self.idle.eq(~Cat(parts, inside, settling).any())

        m.d.sync += [
            csr.status.idle.eq(quiet),
            csr.status.running.eq(csr.ctrl.enable | up.any() | ~quiet | ~fetch.caught_up),
        ]

"""The rules of streams at the boundary of every component: ``valid`` holds and the payload is stable until ``ready``.

AXI channels count: they have the same rules (A3.2.1). Where the state is large it has reduced parameters, named here.
"""

from collections.abc import Callable

from amaranth.hdl import Assume, Module, Signal, Value
from amaranth.lib import wiring

from ..stack.abi.desc import TX_CPL, TX_DESC
from .arp_cache import ArpCache
from .arp_operator import ArpOperator
from .arp_port import ArpPort
from .axi_mux import AxiReadMux, AxiWriteMux
from .dma.gather import Gather
from .dma.read import DmaRead
from .dma.reorder import ReorderBuffer
from .dma.resize import Resize
from .dma.split import BurstSplitter
from .dma.windows import WindowSplitter
from .dma.write import DmaWrite
from .formal import Harness, Mutation, Property, channels, cover, obey
from .register_slice import RegisterSlice
from .ring.completion import CompletionWrite
from .ring.completion_send import CompletionSend
from .ring.fetch import DescriptorFetch
from .rx.buffer import RxBuffer
from .rx.ring import RxRing
from .short_fifo import ShortFifo
from .tx.checksum import TxChecksum
from .tx.decode import DescriptorDecode
from .tx.frame_ring import FrameRing
from .tx.frame_stage import FrameStage
from .tx.path import TxPath
from .tx.plan import FramePlanner
from .tx.result_join import ResultJoin, TxCompletion
from .tx.result_order import ResultOrder
from .tx.ring import TxRing

__all__ = ["PROPERTIES", "stream_rules"]

Contract = Callable[[Module, wiring.Component], None]


def stream_rules(
    name: str,
    build: Callable[[], wiring.Component],
    *mutations: Mutation,
    contract: Contract | None = None,
    depth: int = 3,
    induction: bool = True,
    cover_depth: int = 20,
    covers: tuple[str, ...] | None = None,
) -> Property:
    """Return the property that a component obeys the rules on all that it sends, if its senders do.

    ``contract`` adds what else its docstring demands of its user. The covers: each channel, or each of ``covers``,
    stalls and moves on.
    """

    def claims(m: Module, component: wiring.Component) -> None:
        if contract is not None:
            contract(m, component)
        for channel in channels(component):
            if channel.out:
                stalled = obey(m, channel, check=True)
                # A channel that its receiver cannot stall has no such cover.
                if isinstance(channel.ready, Signal) and (covers is None or channel.name in covers):
                    cover(m, stalled & channel.moves, f"{channel.name}: moves on after a stall")

    return Property(
        name=f"{name}.stream",
        build=lambda: Harness(build(), claims),
        depth=depth,
        induction=induction,
        cover_depth=cover_depth,
        mutations=mutations,
    )


def _ready_holds(m: Module, *streams: wiring.PureInterface) -> None:
    """Assume that a receiver that is ready stays so until something comes."""
    for number, one in enumerate(streams):
        waiting = Signal(name=f"ready_{number}_waits")
        m.d.sync += waiting.eq(one.ready & ~one.valid)
        with m.If(waiting):
            m.d.comb += Assume(Value.cast(one.ready), "a receiver that is ready stays so")


def _cleared_empty(m: Module, dut: wiring.Component) -> None:
    # Only while `empty`; descriptor_fetch.order proves that nothing is at the output then.
    m.d.comb += Assume(~(dut.clear & dut.o.valid), "no reset with descriptors inside")


def _answers_what_was_asked(m: Module, dut: wiring.Component) -> None:
    asked = Signal()
    with m.If(dut.op.valid & dut.op.ready):
        m.d.sync += asked.eq(1)
    with m.Elif(dut.op_result.valid):
        m.d.sync += asked.eq(0)
    m.d.comb += Assume(~dut.op_result.valid | asked, "ArpCache: an answer to each operation")


PROPERTIES = [
    stream_rules(
        "register_slice",
        lambda: RegisterSlice(8),
        Mutation("register_slice.py", "with m.If(self.o.ready | ~self.o.valid):", "with m.If(1):"),
    ),
    stream_rules(
        "short_fifo",
        lambda: ShortFifo(shape=8, depth=2),
        Mutation("short_fifo.py", "with m.If(~self.o.valid | self.o.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "burst_splitter",
        lambda: BurstSplitter(axi_width_bits=64, burst_octets=256),
        Mutation("dma/split.py", "with m.If(self.run.valid & self.run.ready):", "with m.If(self.run.valid):"),
        contract=lambda m, dut: _ready_holds(m, dut.address, dut.run),
        depth=8,
    ),
    stream_rules(
        "reorder_buffer",
        lambda: ReorderBuffer(chunk_octets=4, axi_width_bits=32, outstanding=2, burst_octets=8),
        Mutation("dma/reorder.py", "may_send.eq(~axi.arvalid)", "may_send.eq(1)"),
    ),
    stream_rules(
        "gather",
        lambda: Gather(chunk_octets=4, width_bits=32),
        Mutation("short_fifo.py", "with m.If(~self.o.valid | self.o.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "dma_read",
        lambda: DmaRead(stream_width_bits=32, axi_width_bits=32, outstanding=2, burst_octets=8),
        Mutation("dma/reorder.py", "may_send.eq(~axi.arvalid)", "may_send.eq(1)"),
    ),
    stream_rules(
        "axi_read_mux",
        lambda: AxiReadMux(managers=2, axi_width_bits=32, id_width_bits=1),
        Mutation("axi_mux.py", "with m.If(self.o.arready):", "with m.If(1):"),
    ),
    stream_rules(
        "axi_write_mux",
        lambda: AxiWriteMux(managers=2, axi_width_bits=32, id_width_bits=1),
        Mutation("axi_mux.py", "~accept & ~o.awvalid & ~grant.any()", "~accept & ~grant.any()"),
    ),
    stream_rules(
        "dma_write",
        lambda: DmaWrite(stream_width_bits=32, axi_width_bits=32, outstanding=2, burst_octets=64, pad_octets=2),
        Mutation("dma/write.py", "with m.If(axi.awready):", "with m.If(1):"),
    ),
    stream_rules(
        "rx_buffer",
        lambda: RxBuffer(width_bits=32, buffer_octets=64),
        Mutation("rx/buffer.py", "advance = ~data_at[1] | self.o.ready", "advance = self.o.ready | 1"),
        cover_depth=26,
    ),
    stream_rules(
        "rx_ring",
        lambda: RxRing(ring_log2_max=3, prefetch=8, outstanding=4),
        Mutation("dma/write.py", "with m.If(axi.awready):", "with m.If(1):"),
        covers=("axi_read_ar",),
    ),
    stream_rules(
        "arp_cache",
        lambda: ArpCache(sets=2, ways=1),
        Mutation("short_fifo.py", "with m.If(~self.o.valid | self.o.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "arp_operator",
        lambda: ArpOperator(sets=2, ways=1),
        Mutation("arp_operator.py", "with m.If(self.op_result.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "arp_port",
        ArpPort,
        Mutation("arp_port.py", "with m.If(self.op.ready):", "with m.If(1):"),
        contract=_answers_what_was_asked,
        depth=24,
        induction=False,
    ),
    stream_rules(
        "window_splitter",
        lambda: WindowSplitter(axi_width_bits=64, burst_octets=256),
        Mutation("dma/windows.py", "may_send.eq(active & ~turns[0])", "may_send.eq(active)"),
        contract=lambda m, dut: _ready_holds(m, dut.address, dut.run),
        depth=8,
    ),
    stream_rules(
        "resize_wider",
        lambda: Resize(stream_width_bits=32, axi_width_bits=64),
        Mutation("dma/resize.py", "with m.If(self.o.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "resize_narrower",
        lambda: Resize(stream_width_bits=64, axi_width_bits=32),
        Mutation("dma/resize.py", "with m.If(self.o.valid & self.o.ready):", "with m.If(self.o.valid):"),
    ),
    stream_rules(
        "descriptor_fetch",
        lambda: DescriptorFetch(axi_width_bits=64, ring_log2_max=3, id_width_bits=1, prefetch=8, record=TX_DESC),
        Mutation("ring/fetch.py", "with m.If(axi.arready):", "with m.If(1):"),
        contract=_cleared_empty,
    ),
    stream_rules(
        "descriptor_decode",
        DescriptorDecode,
        Mutation("tx/decode.py", "with m.If(output.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "result_join",
        lambda: ResultJoin(depth=2),
        Mutation("tx/result_join.py", "with m.If(o.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "result_order",
        lambda: ResultOrder(depth=8),
        Mutation("tx/result_order.py", "may_leave & ~self.result.valid", "may_leave"),
    ),
    stream_rules(
        "completion_send",
        lambda: CompletionSend(axi_width_bits=64, id_width_bits=1, record=TX_CPL, completion=TxCompletion),
        Mutation("ring/completion_send.py", "with m.If(axi.awready):", "with m.If(1):"),
    ),
    stream_rules(
        "completion_write",
        lambda: CompletionWrite(
            axi_width_bits=64, ring_log2_max=3, id_width_bits=1, outstanding=4, record=TX_CPL, completion=TxCompletion
        ),
        Mutation("ring/completion_send.py", "with m.If(axi.awready):", "with m.If(1):"),
    ),
    stream_rules(
        "tx_ring",
        lambda: TxRing(ring_log2_max=3, prefetch=8),
        Mutation("tx/decode.py", "with m.If(output.ready):", "with m.If(1):"),
        covers=("axi_read_ar",),
    ),
    stream_rules(
        "frame_planner",
        lambda: FramePlanner(depth=2),
        Mutation("tx/plan.py", "with m.Elif(self.lookup.ready):", "with m.Else():"),
    ),
    stream_rules(
        "frame_stage",
        lambda: FrameStage(width_bits=32, max_frame_octets=64),
        Mutation("tx/frame_stage.py", "with m.If(~self.o.valid | self.o.ready):", "with m.If(1):"),
    ),
    stream_rules(
        "frame_ring",
        lambda: FrameRing(shape=8, max_beats=16),
        Mutation("tx/frame_ring.py", "step.eq(self.o.ready | ~self.o.valid)", "step.eq(1)"),
    ),
    stream_rules(
        "checksum",
        lambda: TxChecksum(width_bits=32, max_frame_octets=64),
        Mutation("tx/checksum.py", "free.eq(self.o.ready | ~self.o.valid)", "free.eq(1)"),
    ),
    stream_rules(
        "tx_path",
        lambda: TxPath(width_bits=32, max_frame_octets=64),
        Mutation("tx/plan.py", "with m.Elif(self.lookup.ready):", "with m.Else():"),
        covers=("lookup",),
    ),
]

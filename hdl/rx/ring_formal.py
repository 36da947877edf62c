"""The receive ring's own blocks: no descriptor is lost, doubled or reordered, and each frame has one fate."""

from amaranth.hdl import Assert, Assume, Module, Signal, Value

from ...stack.abi.desc import RX_CPL, RX_DESC
from ..axi_formal import burst_is_legal, completion_rules, write_rules
from ..dma.windows import WindowSplitter
from ..dma.write import DmaWrite
from ..formal import Harness, Mutation, Property, cover
from ..ring.completion import CompletionWrite
from ..ring.fetch import DescriptorFetch
from ..tx.ring_formal import fetched_in_order, written_in_order
from .buffers import BufferPlan, RxCompletion

__all__ = ["PROPERTIES"]


def _plan(m: Module, dut: BufferPlan) -> None:
    """Claim that each descriptor is covered by one record, in order, and each frame has one end."""
    record, frame = dut.record, dut.frame
    came, covered, open_frames = Signal(16), Signal(16), Signal(4)
    taken = dut.descriptor.valid & dut.descriptor.ready
    starts = frame.valid & frame.ready & ~dut.drop
    ends = record.valid & record.payload.frame
    index = Value.cast(record.payload.completion.index)
    m.d.sync += [came.eq(came + taken), open_frames.eq(open_frames + starts - ends)]
    with m.If(record.valid):
        m.d.sync += covered.eq(index + 1)
    m.d.comb += [
        Assume(~dut.descriptor.valid | (dut.descriptor.payload.index == came), "DescriptorFetch: in order"),
        Assume(~dut.flush, "no reset"),
        Assume(dut.room, "RxRing: records have room"),
        Assert(~(frame.valid & frame.ready & dut.drop) | dut.no_buffer | dut.disabled, "a dropped frame is counted"),
        Assert(~(dut.disabled & dut.no_buffer), "a frame is counted once"),
        Assert(open_frames <= 1, "a frame is ended before the next one begins"),
    ]
    with m.If(record.valid & (open_frames == 0)):
        m.d.comb += Assert(~record.payload.frame, "only a frame that was begun is ended")
    with m.If(record.valid & ((came != covered) | ~record.payload.frame)):
        m.d.comb += [
            Assert(index >= covered, "a record covers a descriptor that none covered before"),
            Assert(index < came, "a record covers only descriptors that were taken"),
        ]
    with m.If(record.valid & (came == covered)):
        m.d.comb += Assert(
            index + 1 == covered, "a record without a descriptor of its own repeats the last one's index"
        )
    with m.If(~dut.busy):
        m.d.comb += [
            Assert(covered == came, "when nothing is inside every descriptor is covered"),
            Assert(open_frames == 0, "when nothing is inside every frame has ended"),
        ]
    cover(m, ends & (came == 3), "a frame ends in the third descriptor")


def _parts(m: Module, dut: BufferPlan) -> None:
    """Claim the rules of a stream for parts that have a buffer; that there is none may be taken back."""
    part = dut.part
    waits, was = Signal(), Signal.like(part.payload)
    m.d.sync += [waits.eq(part.valid & ~part.ready & ~dut.none), was.eq(part.payload)]
    m.d.comb += [
        Assume(~dut.flush, "no reset"),
        Assume(~dut.none | ~dut.descriptor.valid, "RxRing: none is posted that was not handed out"),
    ]
    with m.If(waits):
        m.d.comb += [
            Assert(part.valid, "part: valid holds until ready"),
            Assert(part.payload.as_value() == was.as_value(), "part: payload is stable until ready"),
        ]
    cover(m, waits & part.valid & part.ready, "part: moves on after a stall")


def _windows(m: Module, dut: WindowSplitter) -> None:
    a, part = dut.address, dut.part.payload
    _buffer_part(m, part)
    legal = burst_is_legal(a.payload.araddr, a.payload.arlen, Value.cast(3), Value.cast(1), data_octets=8, max_beats=32)
    with m.If(a.valid):
        m.d.comb += Assert(legal, "axi: write burst is legal")
    cover(m, a.valid & a.ready & (a.payload.arlen == 31), "the longest burst")


def _buffer_part(m: Module, part) -> None:
    """Assume of a part what BufferPart says."""
    m.d.comb += [
        Assume(part.addr[:6] == 0, "BufferPart: aligned"),
        Assume(part.last | ((part.length[:6] == 0) & (part.length != 0)), "BufferPart: whole units"),
        Assume(part.last | ~part.empty, "BufferPart: only the last one is empty"),
    ]


def _write(m: Module, dut: DmaWrite) -> None:
    _buffer_part(m, dut.request.payload)
    write_rules(m, dut.axi, max_beats=16, max_under_way=3, at_once=False)


def _completions(axi_width_bits: int) -> CompletionWrite:
    return CompletionWrite(
        axi_width_bits=axi_width_bits,
        ring_log2_max=3,
        id_width_bits=1,
        outstanding=4,
        record=RX_CPL,
        completion=RxCompletion,
    )


PROPERTIES = [
    Property(
        name="buffer_plan.order",
        build=lambda: Harness(BufferPlan(), _plan),
        depth=36,
        induction=False,
        mutations=(
            Mutation("rx/buffers.py", "self.descriptor.ready.eq(checked)", "self.descriptor.ready.eq(checked & ~bad)"),
        ),
    ),
    Property(
        name="buffer_plan.stream",
        build=lambda: Harness(BufferPlan(), _parts),
        depth=36,
        induction=False,
        mutations=(
            Mutation("rx/buffers.py", "with m.If(self.part.ready & self.part.valid):", "with m.If(self.part.valid):"),
        ),
    ),
    Property(
        name="window_splitter.axi",
        build=lambda: Harness(WindowSplitter(axi_width_bits=64, burst_octets=256), _windows),
        depth=28,
        induction=False,
        mutations=(Mutation("dma/windows.py", "replicate(place_bits)) ^ unit", "replicate(place_bits))"),),
    ),
    Property(
        name="dma_write.axi",
        build=lambda: Harness(
            DmaWrite(stream_width_bits=32, axi_width_bits=32, outstanding=2, burst_octets=64, pad_octets=2), _write
        ),
        depth=16,
        induction=False,
        cover_depth=14,
        mutations=(Mutation("dma/write.py", "axi.wlast.eq(left == 0)", "axi.wlast.eq(left == 1)"),),
    ),
    Property(
        name="rx_completion_write.order",
        build=lambda: Harness(_completions(128), lambda m, dut: written_in_order(m, dut, octets=RX_CPL.size_octets)),
        depth=28,
        induction=False,
        cover_depth=26,
        mutations=(Mutation("ring/completion.py", "put.eq(self.i.valid & self.i.ready)", "put.eq(self.i.valid)"),),
    ),
    Property(
        name="rx_completion_write.axi",
        build=lambda: Harness(_completions(64), lambda m, dut: completion_rules(m, dut, octets=RX_CPL.size_octets)),
        depth=36,
        induction=False,
        mutations=(Mutation("ring/completion_send.py", "axi.wlast.eq(number == self._beats - 1)", "axi.wlast.eq(1)"),),
    ),
    Property(
        name="rx_descriptor_fetch.order",
        build=lambda: Harness(
            DescriptorFetch(axi_width_bits=128, ring_log2_max=3, id_width_bits=1, prefetch=8, record=RX_DESC),
            lambda m, dut: fetched_in_order(m, dut, desc_octets=RX_DESC.size_octets),
        ),
        depth=20,
        induction=False,
        mutations=(Mutation("ring/fetch.py", "limit[:low] + ~index[:low]", "limit[:low] - index[:low]"),),
    ),
]

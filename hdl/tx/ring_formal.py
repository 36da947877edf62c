"""Nothing is lost, doubled or reordered on the way from the descriptors to the completions.

A symbolic index or value, any but fixed, is followed through a block: what holds for it holds for all. The claims are
about a component's streams, so they fit the receive ring's blocks too.
"""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring

from ...stack.abi.desc import TX_CPL, TX_DESC
from ..axi_formal import steady_ring
from ..formal import Harness, Mutation, Property, cover
from ..ring.completion import CompletionWrite
from ..ring.fetch import DescriptorFetch
from ..short_fifo import ShortFifo
from .decode import DescriptorDecode
from .result_join import ResultJoin, TxCompletion

__all__ = ["PROPERTIES", "fetched_in_order", "passed_in_order", "written_in_order"]

_COUNT_BITS = 4


def numbered(m: Module, moves: Value, name: str) -> Signal:
    """Return the number of the payload that is next to move."""
    number = Signal(_COUNT_BITS, name=f"{name}_number")
    m.d.sync += number.eq(number + moves)
    return number


def passed_in_order(m: Module, put: Value, taken: Value, sent: Value, got: Value) -> None:
    """Claim that the n-th payload out (``got`` when ``taken``) is the n-th in (``sent`` when ``put``), for any n.

    They are numbered modulo ``2 ** 4``: never as many are inside.
    """
    which = Signal(_COUNT_BITS)
    m.d.comb += which.eq(AnyConst(_COUNT_BITS))
    came, went = numbered(m, put, "in"), numbered(m, taken, "out")
    kept, seen = Signal(len(sent)), Signal()
    with m.If(put & (came == which)):
        m.d.sync += [kept.eq(sent), seen.eq(1)]
    with m.If(taken & (went == which)):
        m.d.comb += [
            Assert(seen, "nothing comes out that did not go in"),
            Assert(got == kept, "what comes out is what went in, in order"),
        ]
    cover(m, taken & (went == which) & (which == 1), "the second payload comes out")


def fetched_in_order(m: Module, dut: wiring.Component, *, desc_octets: int) -> None:
    """Claim that each descriptor before TAIL, and none from it on, is fetched once and handed out in order.

    ``dut`` is a descriptor fetcher: ``base``, ``mask``, ``limit``, ``clear``, ``axi``, ``o`` with ``index``. Memory
    answers in order. Addresses and indices are judged; that the fields come through is for the benches.
    """
    steady_ring(m, dut.base, dut.mask, octets=desc_octets)
    axi, mask = dut.axi, dut.mask
    beats = 8 * desc_octets // len(axi.rdata)
    octets = len(axi.rdata) // 8
    m.d.comb += [Assume(~dut.clear, "no reset"), Assume(dut.limit <= mask, "TAIL is in the ring")]

    # TAIL only goes forward, never past what was handed out: software owns those.
    tail, freed, fetched, got = (Signal(_COUNT_BITS + 1, name=n) for n in ("tail", "freed", "fetched", "got"))
    add = Signal.like(mask)
    m.d.comb += [
        add.eq(dut.limit - tail),
        Assume((((tail + (add & mask)) - freed)[:5] <= mask), "TAIL does not overtake"),
    ]
    taken = dut.o.valid & dut.o.ready
    asks, answers = axi.arvalid & axi.arready, axi.rvalid & axi.rready
    descs = Signal(3)
    m.d.comb += descs.eq((axi.arlen + 1) >> (beats - 1).bit_length())
    m.d.sync += [
        tail.eq(tail + (add & mask)),
        freed.eq(freed + taken),
        fetched.eq(fetched + Mux(asks, descs, 0)),
        got.eq(got + (answers & (numbered_beat(m, answers, beats) == beats - 1))),
    ]
    with m.If(axi.rvalid):
        m.d.comb += Assume(got != fetched, "memory answers only what was asked")
    with m.If(axi.arvalid):
        m.d.comb += [
            Assert(axi.araddr == dut.base + ((fetched & mask) * desc_octets), "the next descriptors are fetched"),
            Assert((axi.arlen + 1) * octets == descs * desc_octets, "whole descriptors are fetched"),
            Assert((tail - fetched)[:5] >= descs, "no descriptor at or beyond TAIL is fetched"),
        ]
    with m.If(dut.o.valid):
        m.d.comb += [
            Assert(freed != got, "a descriptor is handed out only after it came"),
            Assert(dut.o.payload.index == (freed & mask), "each descriptor is handed out once, in order"),
        ]
    m.d.comb += Assert(~(dut.empty & dut.o.valid), "empty: nothing is at the output")
    cover(m, taken & (freed == 2), "the third descriptor is handed out")


def numbered_beat(m: Module, moves: Value, beats: int) -> Signal:
    """Return the number of the beat of its descriptor that is next to come."""
    number = Signal(range(max(beats, 2)))
    with m.If(moves):
        m.d.sync += number.eq(Mux(number == beats - 1, 0, number + 1))
    return number


def _fifo(m: Module, dut: ShortFifo) -> None:
    passed_in_order(m, dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready, dut.i.payload, dut.o.payload)


def _fifo_with_margin(m: Module, dut: ShortFifo) -> None:
    """The same if the sender hears of ``i.ready`` two cycles late and does not look at it otherwise."""
    heard = Signal(2, init=-1)
    m.d.sync += heard.eq(Cat(dut.i.ready, heard[0]))
    m.d.comb += Assume(~dut.i.valid | heard[1], "the sender stops two cycles after ready fell")
    passed_in_order(m, dut.i.valid, dut.o.valid & dut.o.ready, dut.i.payload, dut.o.payload)


def _join(m: Module, dut: ResultJoin) -> None:
    record, o = dut.record.payload, dut.o.payload
    passed_in_order(
        m,
        dut.record.valid & dut.record.ready,
        dut.o.valid & dut.o.ready,
        Value.cast(record.cookie) ^ (record.index << 16),
        Value.cast(o.cookie) ^ (o.index << 16),
    )


def _decode(m: Module, dut: DescriptorDecode) -> None:
    """Every descriptor that is taken is covered by exactly one record: their indices rise, none is passed twice."""
    taken, recorded = dut.i.valid & dut.i.ready, dut.record.valid & dut.record.ready
    came = Signal(16)
    covered = Signal(16)  # First index that no record covers.
    index = Value.cast(dut.record.payload.index)
    m.d.sync += came.eq(came + taken)
    with m.If(recorded):
        m.d.sync += covered.eq(index + 1)
    m.d.comb += [
        Assume(~dut.i.valid | (dut.i.payload.index == came), "DescriptorFetch: in order"),
        Assume(~dut.clear | ~dut.busy, "TxRing: only while not busy"),
    ]
    with m.If(dut.record.valid):
        m.d.comb += [
            Assert(index >= covered, "a record covers a descriptor that none covered before"),
            Assert(index < came, "a record covers only descriptors that were taken"),
        ]
    with m.If(~dut.busy):
        m.d.comb += Assert(covered == came, "when nothing is inside every descriptor is covered")
    cover(m, recorded & (covered == 2), "a record after others")


def written_in_order(m: Module, dut: CompletionWrite, *, octets: int) -> None:
    """Claim that each completion goes to the next place of the ring and is reported once, in order."""
    steady_ring(m, dut.base, dut.mask, octets=octets)
    axi = dut.axi
    put = dut.i.valid & dut.i.ready
    m.d.comb += [
        Assume(~dut.clear, "no reset"),
        Assume(~(axi.bvalid & axi.bresp[1]), "memory takes every write: retries are for the benches"),
    ]
    waiting = Signal(4)
    ends = axi.wvalid & axi.wready & axi.wlast
    asked = Signal(4)
    m.d.sync += [waiting.eq(waiting + ends - axi.bvalid), asked.eq(asked + (axi.awvalid & axi.awready) - axi.bvalid)]
    m.d.comb += Assume(~axi.bvalid | ((waiting != 0) & (asked != 0)), "memory answers only what it was sent")
    written = Signal(5)
    m.d.sync += written.eq(written + (axi.awvalid & axi.awready))
    with m.If(axi.awvalid):
        m.d.comb += Assert(axi.awaddr == dut.base + (written & dut.mask) * octets, "completions fill the ring in order")
    payload = dut.i.payload
    passed_in_order(m, put, dut.written, Value.cast(payload.index), Value.cast(dut.place.index))


PROPERTIES = [
    Property(
        name="short_fifo.order",
        build=lambda: Harness(ShortFifo(shape=4, depth=2), _fifo),
        depth=24,
        induction=False,
        mutations=(Mutation("short_fifo.py", "(written ^ fetched) != self._depth", "1"),),
    ),
    Property(
        name="short_fifo_margin.order",
        # The sender does not keep the rules of streams.
        build=lambda: Harness(ShortFifo(shape=4, depth=8, margin=4), _fifo_with_margin, streams=False),
        depth=22,
        induction=False,
        mutations=(Mutation("short_fifo.py", "level < self._depth - self._margin", "level < self._depth"),),
    ),
    Property(
        name="descriptor_fetch.order",
        build=lambda: Harness(
            DescriptorFetch(axi_width_bits=256, ring_log2_max=3, id_width_bits=1, prefetch=8, record=TX_DESC),
            lambda m, dut: fetched_in_order(m, dut, desc_octets=32),
        ),
        depth=20,
        induction=False,
        mutations=(Mutation("ring/fetch.py", "limit[:low] + ~index[:low]", "limit[:low] - index[:low]"),),
    ),
    Property(
        name="descriptor_decode.order",
        build=lambda: Harness(DescriptorDecode(), _decode),
        depth=36,
        induction=False,
        mutations=(
            Mutation("tx/decode.py", "m.d.sync += record.valid.eq(error | last)", "m.d.sync += record.valid.eq(last)"),
        ),
    ),
    Property(
        name="result_join.order",
        build=lambda: Harness(ResultJoin(depth=2), _join),
        depth=13,
        induction=False,
        mutations=(Mutation("tx/result_join.py", "fifo.o.ready.eq(joined)", "fifo.o.ready.eq(joined | must_wait)"),),
    ),
    Property(
        name="completion_write.order",
        build=lambda: Harness(
            CompletionWrite(
                axi_width_bits=128,
                ring_log2_max=3,
                id_width_bits=1,
                outstanding=4,
                record=TX_CPL,
                completion=TxCompletion,
            ),
            lambda m, dut: written_in_order(m, dut, octets=16),
        ),
        depth=28,
        induction=False,
        cover_depth=24,
        mutations=(Mutation("ring/completion.py", "put.eq(self.i.valid & self.i.ready)", "put.eq(self.i.valid)"),),
    ),
]

"""The rings as a whole: from TAIL and the descriptors in host memory to the completions there, resets included.

Both are judged at their own ports, by the same model of software and host memory. Software posts as far as completions
allow, and stops and resets the queue at any time; memory answers in order, at any time. All counts start anew with a
reset. One descriptor, any but fixed, is followed: what holds for it holds for all.
"""

from typing import NamedTuple

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring

from ...stack.abi.desc import RX_CPL, RX_DESC, RX_PAD_OCTETS, TX_CPL, TX_DESC, RxStatus, TxFlags, TxStatus
from ...stack.abi.model import Record
from ..axi_formal import read_rules, write_rules
from ..formal import Harness, Mutation, Property, cover
from ..rx.ring import RxRing
from ..tx.ring import TxRing

__all__ = ["PROPERTIES"]

_BUS_BITS = 128
_LOG2 = 2  # Of the descriptors of a ring.
_MASK = (1 << _LOG2) - 1
_BASE, _CPL_BASE = 0x5A5A_5A5A_F000, 0xA5A5_A5A5_0000  # Of the rings.
_COUNT_BITS = 5  # More does not happen in the depth of these proofs.
_MOST = 15  # Of a difference: what is more is below zero.


def _count(name: str) -> Signal:
    return Signal(_COUNT_BITS, name=name)


def _less(a: Value, b: Value) -> Value:
    """Return ``a - b``, of counters."""
    return (a - b)[:_COUNT_BITS]


class _Beats:
    """A record that passes in beats of the bus, one at each ``moves``.

    ``ends``: the last one moves now; each member's value, as ``record[name]``, is whole while it is there.
    """

    def __init__(self, m: Module, record: Record, moves: Value, data: Value) -> None:
        self._record = record
        self.count = 8 * record.size_octets // _BUS_BITS
        number, self._octets = Signal(range(max(self.count, 2))), Signal(8 * record.size_octets)
        self.ends = moves & (number == self.count - 1)
        before = Signal((self.count - 1) * _BUS_BITS)
        m.d.comb += self._octets.eq(Cat(before, data))
        with m.If(moves):
            m.d.sync += [number.eq(Mux(self.ends, 0, number + 1)), before.eq(Cat(before, data)[_BUS_BITS:])]

    @property
    def names(self) -> list[str]:
        return [member.name for member in self._record.members]

    def __getitem__(self, name: str) -> Value:
        member = self._record[name]
        return self._octets[member.lsb : member.lsb + member.width]


def _software(m: Module, dut: wiring.Component, covered: Signal) -> tuple[Signal, Signal]:
    """Assume what software keeps to; return how many descriptors it posted, and if the queue was on a cycle ago."""
    csr = dut.csr
    posted, sized = _count("posted"), Signal()
    was_clear, was_tail, was_enabled = Signal(init=1), Signal.like(csr.tail.index), Signal()
    add = Signal(_LOG2)
    m.d.comb += [
        add.eq(csr.tail.index - posted),
        Assume(csr.size.log2 == _LOG2, "the size is written"),
        Assume(~csr.ctrl.enable | sized, "before the queue is enabled"),
        Assume(csr.tail.index <= _MASK, "TAIL is in the ring"),
        Assume(_less(posted + add, covered) <= _MASK, "TAIL does not overtake"),
        Assume(~was_clear | ((csr.tail.index == 0) & ~csr.ctrl.enable), "CsrBank: cleared"),
        Assume(csr.tail.stb | was_clear | (csr.tail.index == was_tail), "CsrBank: TAIL's strobe"),
        Assume(csr.ctrl.stb | was_clear | (csr.ctrl.enable == was_enabled), "CsrBank: CTRL's strobe"),
        Assume(csr.ctrl.stb | ~csr.ctrl.reset, "CsrBank: CTRL's strobe"),
    ]
    # That they may lie anywhere is proved of DescriptorFetch and CompletionWrite.
    m.d.comb += [
        Assume(csr.base.value == _BASE, "the ring"),
        Assume(csr.cpl_base.value == _CPL_BASE, "its completions"),
    ]
    m.d.sync += [
        sized.eq(1),
        was_clear.eq(csr.ctrl.enable_clear),
        was_tail.eq(csr.tail.index),
        was_enabled.eq(csr.ctrl.enable),
        posted.eq(Mux(csr.ctrl.enable_clear, 0, posted + add)),
    ]
    return posted, was_enabled


class _Followed:
    """One descriptor, the one of this ``number``: if it is ``here``, having come without an error, and its fields."""

    def __init__(self, m: Module, dut: wiring.Component, came: Signal, desc: _Beats) -> None:
        axi, failed = dut.axi_read, Signal()
        self.number, self.here = _count("number"), Signal()
        self.fields = {name: Signal.like(desc[name], name=name) for name in desc.names}
        m.d.comb += self.number.eq(AnyConst(_COUNT_BITS))
        with m.If(axi.rvalid & axi.rready):
            m.d.sync += failed.eq(~desc.ends & (failed | axi.rresp[1]))
        with m.If(desc.ends & (came == self.number)):
            m.d.sync += [
                self.here.eq(~(failed | axi.rresp[1])),
                *(field.eq(desc[name]) for name, field in self.fields.items()),
            ]
        with m.If(dut.csr.ctrl.enable_clear):
            m.d.sync += self.here.eq(0)


class _Seen(NamedTuple):
    came: Signal  # Descriptors.
    covered: Signal  # Those of completions.
    oks: Signal  # Completions that say OK.
    followed: _Followed


def _ring(m: Module, dut: wiring.Component, writes: wiring.PureInterface, desc: Record, cpl: Record) -> _Seen:
    """Claim what both rings do.

    Descriptors: each before TAIL, and none from it on, is read once, in order, in legal bursts. Completions: they fill
    their ring; each covers descriptors that came and that none covered before, with the right one's cookie: RX, the
    last that it covers; TX, the first, if a frame starts there. Only one that says NO_BUFFER may cover nothing.
    """
    csr, axi = dut.csr, dut.axi_read
    asked, came, written, sent, covered, oks = map(_count, ("asked", "came", "written", "sent", "covered", "oks"))
    posted, was_enabled = _software(m, dut, covered)
    fetched = _Beats(m, desc, axi.rvalid & axi.rready, axi.rdata)
    followed = _Followed(m, dut, came, fetched)
    asks = axi.arvalid & axi.arready
    descs = (axi.arlen + 1) >> (fetched.count - 1).bit_length()
    m.d.sync += [asked.eq(asked + Mux(asks, descs, 0)), came.eq(came + fetched.ends)]
    with m.If(axi.arvalid):
        m.d.comb += [
            Assert(axi.araddr == csr.base.value + (asked & _MASK) * desc.size_octets, "the next descriptors are read"),
            Assert((axi.arlen + 1) * (_BUS_BITS // 8) == descs * desc.size_octets, "whole descriptors are read"),
            Assert(descs <= _less(posted, asked), "no descriptor at or beyond TAIL is read"),
        ]
    read_rules(m, axi, max_beats=4 * fetched.count, max_owed=8 * fetched.count)

    done = _Beats(m, cpl, writes.wvalid & writes.wready, writes.wdata)
    more, repeats, subject = Signal(_LOG2), Signal(), Signal()  # Descriptors that it covers, less one.
    m.d.comb += more.eq(done["index"] - covered)
    if cpl is RX_CPL:
        m.d.comb += [
            repeats.eq((more == _MASK) & (done["status"] == RxStatus.NO_BUFFER)),
            subject.eq((covered + more)[:_COUNT_BITS] == followed.number),
        ]
    else:
        starts = (followed.fields["flags"] & TxFlags.FIRST).any()
        m.d.comb += subject.eq((covered == followed.number) & starts)
    with m.If(writes.awvalid):
        place = csr.cpl_base.value + (written & _MASK) * cpl.size_octets
        m.d.comb += Assert(writes.awaddr == place, "completions fill their ring")
    with m.If(done.ends):
        m.d.comb += [
            Assert(done["index"] <= _MASK, "a completion names a descriptor of the ring"),
            Assert(repeats | (more < _less(came, covered)), "it covers descriptors that came and none covered before"),
            Assert(done["phase"] == ~sent[_LOG2], "its phase is that of its lap"),
        ]
        with m.If(followed.here & subject & ~repeats):
            m.d.comb += Assert(done["cookie"] == followed.fields["cookie"], "it has the cookie of its descriptor")
        m.d.sync += [
            oks.eq(oks + (done["status"] == 0)),
            sent.eq(sent + 1),
            covered.eq(Mux(repeats, covered, covered + more + 1)),
        ]
    m.d.sync += written.eq(written + (writes.awvalid & writes.awready))
    m.d.comb += Assume(~(writes.bvalid & writes.bresp[1]), "memory takes every completion: retries are for the benches")
    write_rules(m, writes, max_beats=done.count, max_under_way=8)

    with m.If(csr.ctrl.enable_clear):
        m.d.comb += [
            Assert((asked == came) & ~axi.arvalid, "a reset ends when all that was asked for came"),
            Assert((written == sent) & ~writes.awvalid, "a reset ends when all completions are written"),
        ]
        m.d.sync += [one.eq(0) for one in (covered, asked, came, written, sent)]
    with m.If(dut.idle & was_enabled & csr.ctrl.enable):
        m.d.comb += Assert(asked == posted, "idle: all that is posted was read")
    cover(m, done.ends & (sent == 1), "a second completion")
    cover(m, csr.ctrl.enable_clear & (sent != 0), "a reset after a completion")
    return _Seen(came, covered, oks, followed)


def _tx(m: Module, dut: TxRing) -> None:
    seen = _ring(m, dut, dut.axi_write, TX_DESC, TX_CPL)
    frames, ended, results, sent = map(_count, ("frames", "ended", "results", "sent"))
    result = dut.result.valid & dut.result.ready
    m.d.sync += [
        frames.eq(frames + (dut.frame.valid & dut.frame.ready)),
        ended.eq(ended + (dut.part.valid & dut.part.ready & dut.part.payload.last)),
        results.eq(results + result),
        sent.eq(sent + (result & (dut.result.payload.status == TxStatus.OK))),
    ]
    m.d.comb += [
        Assume(~dut.result.valid | (frames != results), "a result for each frame"),
        Assume(dut.result.payload.status <= max(TxStatus), "a TxStatus"),
        Assert(_less(frames + dut.frame.valid, ended) <= 1, "a frame ends before the next one begins"),
        Assert(_less(sent, seen.oks) <= _MOST, "a completion says OK only of a frame whose result is OK"),
    ]
    for at_rest in (dut.csr.status.idle, dut.csr.ctrl.enable_clear):
        with m.If(at_rest):
            m.d.comb += [
                Assert(seen.came == seen.covered, "at rest every descriptor that came is completed"),
                Assert((frames == ended) & (frames == results), "at rest every frame has its end and its result"),
            ]


def _rx(m: Module, dut: RxRing) -> None:
    """The same for frames of a beat, each in one buffer; that frames may span several is proved of BufferPlan."""
    came, covered, oks, followed = _ring(m, dut, dut.axi_write_completion, RX_DESC, RX_CPL)
    frames, wanted, passed, fates, stored = map(_count, ("frames", "wanted", "passed", "fates", "stored"))
    writes = dut.axi_write
    fate = Cat(dut.delivered, dut.no_buffer, dut.disabled, dut.bus_error, dut.refused)
    taken = dut.frame.valid & dut.frame.ready
    m.d.sync += [
        frames.eq(frames + taken),
        wanted.eq(wanted + (taken & ~dut.drop)),
        passed.eq(passed + (dut.i.valid & dut.i.ready)),
        fates.eq(fates + sum(fate)),
        stored.eq(stored + (writes.bvalid & writes.bready & ~writes.bresp[1])),
    ]
    m.d.comb += [
        Assume((dut.frame.payload.length != 0) & (dut.frame.payload.length <= _BUS_BITS // 8 - RX_PAD_OCTETS), "short"),
        Assume(~dut.i.valid | (dut.i.payload.last & (wanted != passed)), "a packet of a beat for each wanted frame"),
        Assert(_less(frames + taken, fates) <= _MOST, "a frame has no more than one fate"),
        Assert(_less(stored, oks) <= _MOST, "a completion says OK only of a frame that is in memory"),
    ]
    with m.If(writes.awvalid & followed.here & (covered == followed.number) & (came == followed.number + 1)):
        m.d.comb += Assert(writes.awaddr == followed.fields["addr"], "octets go where their descriptor says")
    with m.If(writes.awvalid):
        m.d.comb += Assert(came != covered, "octets go only to buffers that are posted and not completed")
    write_rules(m, writes, max_beats=1, max_under_way=4, at_once=False)
    for at_rest in (dut.csr.status.idle, dut.csr.ctrl.enable_clear):
        with m.If(at_rest):
            m.d.comb += Assert((frames == fates) & (wanted == passed), "at rest every frame has its fate")
    cover(m, dut.delivered & (fates == 1), "a second frame is delivered")


PROPERTIES = [
    Property(
        name="tx_ring.whole",
        build=lambda: Harness(TxRing(axi_width_bits=_BUS_BITS, ring_log2_max=_LOG2, prefetch=8), _tx),
        depth=25,
        induction=False,
        cover_depth=28,
        long=True,
        mutations=(
            Mutation("ring/control.py", "limit.eq(csr.tail.index & mask)", "limit.eq(csr.tail.index + 1 & mask)"),
            Mutation("tx/ring.py", "quiet.eq(fetch.empty & ~Cat(busy).any())", "quiet.eq(fetch.empty)"),
            Mutation("tx/result_join.py", "held.wait & ~self.result.valid", "0"),
        ),
    ),
    Property(
        name="rx_ring.whole",
        build=lambda: Harness(
            RxRing(
                stream_width_bits=_BUS_BITS,
                axi_width_bits=_BUS_BITS,
                ring_log2_max=_LOG2,
                prefetch=8,
                outstanding=4,
                burst_octets=64,
            ),
            _rx,
        ),
        depth=25,
        induction=False,
        cover_depth=30,
        long=True,
        mutations=(
            Mutation("rx/ring.py", "record.valid & (~frame | result.valid)", "record.valid"),
            Mutation("rx/ring.py", "results.i.payload.eq(dma.done.payload.error)", "results.i.payload.eq(0)"),
            Mutation("rx/ring.py", "self.no_buffer.eq(plan.no_buffer)", "self.no_buffer.eq(0)"),
        ),
    ),
]

"""The rules of AXI4 for a manager, and that it takes every response; for any component with an AXI4 port."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring

from ..stack.abi.desc import TX_CPL, TX_DESC
from .axi import Burst
from .axi_mux import AxiReadMux, AxiWriteMux
from .dma.reorder import ReorderBuffer
from .dma.split import BurstSplitter
from .formal import Harness, Mutation, Property, cover
from .ring.completion import CompletionWrite
from .ring.fetch import DescriptorFetch
from .tx.result_join import TxCompletion

__all__ = ["PROPERTIES", "burst_is_legal", "completion_rules", "read_rules", "write_rules"]

_PAGE_BITS = 12


def burst_is_legal(addr: Value, length: Value, size: Value, burst: Value, *, data_octets: int, max_beats: int) -> Value:
    """Tell if a burst is INCR, no wider than the bus, no longer than ``max_beats`` and within 4 KiB (A3.4.1)."""
    aligned = (addr[:_PAGE_BITS] >> size) << size
    end = aligned + ((length + 1) << size)
    return (
        (Value.cast(burst) == Burst.INCR.value)
        & ((1 << size) <= data_octets)
        & (length < max_beats)
        & (end <= 1 << _PAGE_BITS)
    )


def read_rules(
    m: Module, axi: wiring.PureInterface, *, max_beats: int, max_owed: int, always_ready: bool = True
) -> None:
    """Claim the rules of a read manager; assume that memory answers what was asked for, and no more.

    ``max_owed`` is how many beats it may have asked for and not got. With ``always_ready`` it may never make a
    response wait, so that none is lost.
    """
    octets = len(axi.rdata) // 8
    owed = Signal(range(max_owed + max_beats + 2))
    asks, gets = axi.arvalid & axi.arready, axi.rvalid & axi.rready
    m.d.sync += owed.eq(owed + Mux(asks, axi.arlen + 1, 0) - gets)
    owed_by_id = Array(Signal.like(owed, name=f"owed_{number}") for number in range(1 << len(axi.arid)))
    for number, one in enumerate(owed_by_id):
        asked = Mux(asks & (axi.arid == number), axi.arlen + 1, 0)
        m.d.sync += one.eq(one + asked - (gets & (axi.rid == number)))
    with m.If(axi.rvalid):
        m.d.comb += Assume(owed_by_id[axi.rid] != 0, "memory answers only what was asked")
        if always_ready:
            m.d.comb += Assert(axi.rready, "axi: a response is taken at once")
    with m.If(axi.arvalid):
        legal = burst_is_legal(axi.araddr, axi.arlen, axi.arsize, axi.arburst, data_octets=octets, max_beats=max_beats)
        m.d.comb += Assert(legal, "axi: read burst is legal")
    m.d.comb += Assert(owed <= max_owed, "axi: no more beats are asked for than have room")
    answered = Signal()
    with m.If(gets):
        m.d.sync += answered.eq(1)
    cover(m, answered & asks, "axi: a read burst after a response")


def write_rules(
    m: Module, axi: wiring.PureInterface, *, max_beats: int, max_under_way: int, at_once: bool = True
) -> None:
    """Claim the rules of a write manager whose data comes no earlier than its address and a burst at a time.

    WLAST is on the right beat, no more than ``max_under_way`` bursts wait for their response, and with ``at_once`` no
    response is made to wait.
    """
    octets = len(axi.wdata) // 8
    asks, sends, gets = axi.awvalid & axi.awready, axi.wvalid & axi.wready, axi.bvalid & axi.bready
    ends = sends & axi.wlast
    asked = Signal(range(max_under_way + 3))
    ended = Signal.like(asked)
    # `asked`: addresses without response; `ended`: data without response.
    m.d.sync += [asked.eq(asked + asks - gets), ended.eq(ended + ends - gets)]
    with m.If(axi.bvalid):
        m.d.comb += Assume((asked != 0) & (ended != 0), "memory answers only what it was sent")
        if at_once:
            m.d.comb += Assert(axi.bready, "axi: a response is taken at once")
    with m.If(axi.awvalid):
        legal = burst_is_legal(axi.awaddr, axi.awlen, axi.awsize, axi.awburst, data_octets=octets, max_beats=max_beats)
        m.d.comb += Assert(legal, "axi: write burst is legal")
    # Lengths of the bursts whose data is not all sent: up to two, as the next one's address may come before it is.
    beat, count = Signal(8), Signal(2)
    lengths = [Signal(8, name=f"length_{number}") for number in range(2)]
    waits, comes, length = Signal(), Signal(), Signal(8)
    m.d.sync += waits.eq(axi.awvalid & ~axi.awready)
    m.d.comb += [comes.eq(axi.awvalid & ~waits), length.eq(Mux(count == 0, axi.awlen, lengths[0]))]
    m.d.sync += count.eq(count + comes - ends)
    with m.If(ends):
        m.d.sync += lengths[0].eq(lengths[1])
    with m.If(comes):
        for number, one in enumerate(lengths):
            with m.If(count == number + ends):
                m.d.sync += one.eq(axi.awlen)
    with m.If(sends):
        m.d.sync += beat.eq(Mux(axi.wlast, 0, beat + 1))
    with m.If(axi.wvalid):
        m.d.comb += [
            Assert((count != 0) | comes, "axi: data comes no earlier than its address"),
            Assert(axi.wlast == (beat == length), "axi: WLAST is on the last beat"),
        ]
    m.d.comb += Assert((count != 2) | ~comes | ends, "axi: no third burst begins before the first one's data is sent")
    m.d.comb += [
        Assert((asked <= max_under_way) & (ended <= max_under_way), "axi: no more bursts are under way than have room"),
    ]
    answered = Signal()
    with m.If(gets):
        m.d.sync += answered.eq(1)
    cover(m, answered & ends, "axi: a write burst after a response")


def steady_ring(m: Module, base: Value, mask: Value, *, octets: int) -> None:
    """Assume a ring that stays where it is, aligned to its size, with a power of two of entries from 2 up."""
    same = Signal(init=0)
    base_was, mask_was = Signal(len(base)), Signal(len(mask))
    m.d.sync += [same.eq(1), base_was.eq(base), mask_was.eq(mask)]
    m.d.comb += [
        Assume((base & (mask * octets | (octets - 1))) == 0, "the ring is aligned"),
        Assume(Cat((mask & (mask + 1)) == 0, mask != 0).all(), "the ring has a power of two of entries"),
        Assume(~same | (base == base_was) & (mask == mask_was), "the ring stays"),
    ]


def _fetch(m: Module, dut: DescriptorFetch) -> None:
    steady_ring(m, dut.base, dut.mask, octets=TX_DESC.size_octets)
    m.d.comb += [Assume(dut.limit <= dut.mask, "TAIL is in the ring"), Assume(~dut.clear, "no reset")]
    beats = 8 * 32 // len(dut.axi.rdata)
    read_rules(m, dut.axi, max_beats=4 * beats, max_owed=8 * beats)


def completion_rules(m: Module, dut: CompletionWrite, *, octets: int) -> None:
    """Claim the rules of a write manager for the completions of a ring."""
    steady_ring(m, dut.base, dut.mask, octets=octets)
    m.d.comb += Assume(~dut.clear, "no reset")
    write_rules(m, dut.axi, max_beats=4, max_under_way=4)


def _reorder(m: Module, dut) -> None:
    octets = len(dut.axi.rdata) // 8
    read_rules(m, dut.axi, max_beats=2, max_owed=4)
    command = dut.address.payload
    m.d.comb += [
        Assume((command.araddr[:3] >> 2) + command.arlen < 2, "BurstSplitter: a burst stays in its window"),
        Assume(command.araddr % octets == 0, "BurstSplitter: a burst is aligned"),
        Assume(dut.address.valid == (dut.run.valid & ~dut.run.payload.empty), "BurstSplitter: address with run"),
        Assume(command.arlen == (dut.run.payload.last >> 2) - (dut.run.payload.first >> 2), "BurstSplitter: its run"),
        Assume(dut.run.payload.first <= dut.run.payload.last, "BurstSplitter: a run is not reversed"),
    ]


def _split(m: Module, dut) -> None:
    a = dut.address
    legal = burst_is_legal(
        a.payload.araddr, a.payload.arlen, Value.cast(3), Value.cast(Burst.INCR.value), data_octets=8, max_beats=32
    )
    with m.If(a.valid):
        m.d.comb += Assert(legal, "axi: read burst is legal")
    cover(m, a.valid & a.ready & (a.payload.arlen == 31), "the longest burst")


def _mux(m: Module, dut) -> None:
    # The managers' own bursts are legal: proved of each. The mux must not change that, nor lose a response.
    for number, one in enumerate(dut.i):
        legal = burst_is_legal(one.araddr, one.arlen, one.arsize, one.arburst, data_octets=4, max_beats=16)
        m.d.comb += [Assume(~one.arvalid | legal, f"manager {number} is legal"), Assume(one.rready == 1, "as ours are")]
    m.d.comb += Assume(~dut.o.rvalid | (dut.o.rid < 4), "memory answers IDs that exist")
    legal = burst_is_legal(dut.o.araddr, dut.o.arlen, dut.o.arsize, dut.o.arburst, data_octets=4, max_beats=16)
    m.d.comb += [
        Assert(~dut.o.arvalid | legal, "axi: read burst is legal"),
        Assert(~dut.o.rvalid | dut.o.rready, "axi: a response is taken at once"),
        Assert(dut.i[0].rvalid + dut.i[1].rvalid == dut.o.rvalid, "axi: a response reaches one manager"),
    ]
    cover(m, dut.o.arvalid & dut.o.arid[-1] & dut.o.arready, "an address of the second manager")


def _write_mux(m: Module, dut: AxiWriteMux) -> None:
    """Claim that bursts pass whole, in the order of their addresses, and that each response reaches its manager.

    The lowest bit of data names the manager, so that it is seen whose it is.
    """
    o, which = dut.o, Signal(2)
    m.d.comb += which.eq(AnyConst(2))  # Any of the first four bursts.
    for number, one in enumerate(dut.i):
        left, waits = Signal(5, name=f"left_{number}"), Signal(name=f"waits_{number}")  # Beats to come; an address.
        sends = one.wvalid & one.wready
        m.d.sync += waits.eq(one.awvalid & ~one.awready)
        with m.If(one.awvalid & ~waits):
            m.d.sync += left.eq(one.awlen + 1 - sends)
        with m.Elif(sends):
            m.d.sync += left.eq(left - 1)
        due = Mux(one.awvalid & ~waits, one.awlen + 1, left)
        m.d.comb += [
            Assume(one.awlen < 4, f"manager {number}: short bursts"),
            Assume(~(one.awvalid & ~waits) | (left == 0), f"manager {number}: a burst at a time"),
            Assume(~one.wvalid | (due != 0), f"manager {number}: data comes no earlier than its address"),
            Assume(~one.wvalid | (one.wlast == (due == 1)), f"manager {number}: WLAST is right"),
            Assume(~one.wvalid | (one.wdata[0] == number), f"manager {number}: its data"),
            Assert(one.bvalid == (o.bvalid & (o.bid[-1] == number)), "axi: a response reaches its manager"),
            Assert(one.bid == o.bid[:-1], "axi: with the ID that was sent"),
        ]
        with m.If(o.bvalid & (o.bid[-1] == number)):
            m.d.comb += Assert(o.bready == one.bready, "axi: a response is taken when its manager takes it")
    asks, sends = o.awvalid & o.awready, o.wvalid & o.wready
    asked, ended, beat = Signal(3), Signal(3), Signal(3)
    owner, length, known = Signal(), Signal(3), Signal()
    now_known = known | (o.awvalid & (asked == which))
    now_owner, now_length = Mux(known, owner, o.awid[-1]), Mux(known, length, o.awlen)
    m.d.sync += [asked.eq(asked + asks), ended.eq(ended + (sends & o.wlast))]
    with m.If(sends):
        m.d.sync += beat.eq(Mux(o.wlast, 0, beat + 1))
    with m.If(asks & (asked == which)):
        m.d.sync += [known.eq(1), owner.eq(o.awid[-1]), length.eq(o.awlen)]
    with m.If(o.wvalid & (ended == which)):
        m.d.comb += [
            Assert(now_known, "axi: data comes no earlier than its address"),
            Assert(o.wdata[0] == now_owner, "axi: data comes in the order of the addresses, unmixed"),
            Assert(o.wlast == (beat == now_length), "axi: WLAST is on the last beat"),
        ]
    cover(m, sends & o.wlast & (ended == 1) & (which == 1) & (o.awid[-1] != 0), "a second burst ends")


PROPERTIES = [
    Property(
        name="descriptor_fetch.axi",
        build=lambda: Harness(
            DescriptorFetch(axi_width_bits=64, ring_log2_max=3, id_width_bits=1, prefetch=8, record=TX_DESC), _fetch
        ),
        depth=22,
        induction=False,
        mutations=(Mutation("ring/fetch.py", "room[low:].any()", "1"),),
    ),
    Property(
        name="completion_write.axi",
        build=lambda: Harness(
            CompletionWrite(
                axi_width_bits=64,
                ring_log2_max=3,
                id_width_bits=1,
                outstanding=4,
                record=TX_CPL,
                completion=TxCompletion,
            ),
            lambda m, dut: completion_rules(m, dut, octets=TX_CPL.size_octets),
        ),
        depth=36,
        induction=False,
        cover_depth=20,
        mutations=(Mutation("ring/completion_send.py", "axi.wlast.eq(number == self._beats - 1)", "axi.wlast.eq(1)"),),
    ),
    Property(
        name="reorder_buffer.axi",
        build=lambda: Harness(
            ReorderBuffer(chunk_octets=4, axi_width_bits=32, outstanding=2, burst_octets=8), _reorder
        ),
        depth=18,
        induction=False,
        mutations=(Mutation("dma/reorder.py", "full.eq(~freeing & (full | (taking & one_left)))", "full.eq(0)"),),
    ),
    Property(
        name="burst_splitter.axi",
        build=lambda: Harness(BurstSplitter(axi_width_bits=64, burst_octets=256), _split),
        depth=28,
        induction=False,
        mutations=(
            Mutation(
                "dma/split.py",
                "Mux(part_end, ends_at[:window_bits], self._burst_octets - 1)",
                "ends_at[:window_bits] | 0x80",
            ),
        ),
    ),
    Property(
        name="axi_read_mux.axi",
        build=lambda: Harness(AxiReadMux(managers=2, axi_width_bits=32, id_width_bits=1), _mux),
        depth=32,
        induction=False,
        mutations=(Mutation("axi_mux.py", "self.o.rvalid & mine", "self.o.rvalid"),),
    ),
    Property(
        name="axi_write_mux.axi",
        build=lambda: Harness(AxiWriteMux(managers=2, axi_width_bits=32, id_width_bits=1), _write_mux),
        depth=14,
        induction=False,
        mutations=(
            Mutation("axi_mux.py", "~accept & ~o.awvalid & ~grant.any()", "~accept & ~o.awvalid"),
            Mutation("axi_mux.py", "o.bvalid & mine", "o.bvalid"),
        ),
    ),
]

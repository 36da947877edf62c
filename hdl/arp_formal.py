"""The ARP cache answers with what was last written for a key, and never with what was deleted."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Module, Signal

from ..stack.abi.regs import ArpOp
from .arp_cache import ArpCache
from .formal import Harness, Mutation, Property, cover

__all__ = ["PROPERTIES"]


def _coherent(m: Module, dut: ArpCache) -> None:
    """Follow one symbolic key: the last MAC address that an INSERT wrote for it, or none.

    A lookup that overlaps an operation may see the state before or after it; those are not judged. To keep
    the search small, keys and addresses differ in their lowest three bits only.
    """
    key, mac, known = Signal(32), Signal(48), Signal()
    m.d.comb += key.eq(AnyConst(32))
    busy, changed = Signal(), Signal()  # An operation is under way; one was since the lookup that waits.
    op = Signal.like(dut.op.payload)
    starts, ends = dut.op.valid & dut.op.ready, dut.op_result.valid & dut.op_result.ready
    with m.If(starts):
        m.d.sync += [busy.eq(1), op.eq(dut.op.payload)]
    with m.If(ends):
        m.d.sync += busy.eq(0)
        with m.If(op.op == ArpOp.FLUSH):
            m.d.sync += known.eq(0)
        with m.Elif((op.key == key) & (op.op == ArpOp.INSERT)):
            m.d.sync += [known.eq(1), mac.eq(op.mac)]
        with m.Elif((op.key == key) & (op.op == ArpOp.DELETE)):
            m.d.sync += known.eq(0)

    asks, gets = dut.lookup.valid & dut.lookup.ready, dut.result.valid & dut.result.ready
    waits = Signal()
    m.d.comb += [
        Assume(~dut.lookup.valid | (dut.lookup.payload == key), "only lookups of the key matter"),
        Assume(~(asks & waits), "one lookup at a time"),
        Assume(dut.result.ready & dut.op_result.ready, "answers are taken at once"),
        Assume(
            (key[3:] == 0) & (dut.op.payload.key[3:] == 0) & (dut.op.payload.mac[3:] == 0), "few keys and addresses"
        ),
    ]
    with m.If(asks):
        m.d.sync += [waits.eq(1), changed.eq(busy | starts)]
    with m.Elif(gets):
        m.d.sync += waits.eq(0)
    with m.If(waits & (busy | starts)):
        m.d.sync += changed.eq(1)
    with m.If(dut.result.valid & ~changed & ~busy & dut.result.payload.hit):
        m.d.comb += [
            Assert(known, "a hit is of a key that was inserted and not deleted since"),
            Assert(dut.result.payload.mac == mac, "a hit returns what was written last"),
        ]
    cover(m, gets & ~changed & ~busy & dut.result.payload.hit, "a hit")


PROPERTIES = [
    Property(
        name="arp_cache.coherent",
        build=lambda: Harness(ArpCache(sets=2, ways=1), _coherent),
        depth=34,
        induction=False,
        cover_depth=26,
        mutations=(
            Mutation(
                "arp_cache.py",
                "entry.valid & low_equal & high_equal & ~flushing",
                "entry.valid & high_equal & ~flushing",
            ),
        ),
    ),
]

"""ARP cache: from the next hop's IPv4 address to its MAC address."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arp_operator import ArpEntry, ArpOperation, ArpOperationResult, ArpOperator, arp_set
from .block_ram import BlockRam
from .short_fifo import ShortFifo

__all__ = ["ArpCache", "ArpFound", "ArpOperation", "ArpOperationResult"]

_RESULTS = 16  # A power of two.


class ArpFound(data.Struct):
    """What a lookup found; ``mac`` is a number, its first octet on the wire in the top bits."""

    hit: 1
    mac: 48


class ArpCache(wiring.Component):
    """Set-associative cache, keyed by IPv4 address, that only the driver writes.

    INSERT changes the entry of its key; where there is none it takes a free way of the set, else it evicts an
    entry that nobody looked up since its activity bit was cleared, else the next in turn, and reports which.
    A hit sets the entry's activity bit; INSERT and READ_CLEAR clear it. After reset all entries are removed, which
    takes ``sets * ways`` cycles; lookups miss meanwhile.

    Timing
    ------
    Domain ``sync``. A lookup is accepted every ``ways`` cycles, with less than 4 ways on average every 4, while
    ``result`` is taken, and its result follows ``ways + 4`` cycles later. Operations use the cycles that lookups leave:
    about ``5 * ways + 10`` of them, FLUSH ``sets * ways``. Sixteen results have room. No combinational path from input
    to output.

    Parameters
    ----------
    sets : int
        Number of sets, a power of two from 2 to 4,096.
    ways : int
        Entries in each set, a power of two from 1 to 16.

    Members
    -------
    lookup : In(stream.Signature(32))
        Keys to look up.
    result : Out(stream.Signature(ArpFound))
        One for each lookup, in order.
    op : In(stream.Signature(ArpOperation))
        Operations; of ``READ`` and ``READ_CLEAR`` the index is ``set * ways + way``.
    op_result : Out(stream.Signature(ArpOperationResult))
        One for each operation.

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    def __init__(self, *, sets: int = 64, ways: int = 4) -> None:
        for name, value, low, high in (("sets", sets, 2, 4096), ("ways", ways, 1, 16)):
            if not low <= value <= high or value & (value - 1):
                raise ValueError(f"{name} must be a power of two from {low} to {high}, not {value!r}")
        self._sets = sets
        self._ways = ways
        super().__init__(
            {
                "lookup": In(stream.Signature(32)),
                "result": Out(stream.Signature(ArpFound)),
                "op": In(stream.Signature(ArpOperation)),
                "op_result": Out(stream.Signature(ArpOperationResult)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ways, way_bits = self._ways, ceil_log2(self._ways)
        row_bits = ceil_log2(self._sets * ways)
        m.submodules.entries = ram = BlockRam(shape=ArpEntry, depth=self._sets * ways)
        m.submodules.activity = activity = BlockRam(shape=1, depth=self._sets * ways)
        m.submodules.results = results = ShortFifo(shape=ArpFound, depth=_RESULTS, always_room=True)
        wiring.connect(m, results.o, wiring.flipped(self.result))

        # One row is read in a cycle: of a lookup if there is one, else of an operation.
        tag = data.StructLayout({"lookup": 1, "op": 1, "last": 1, "row": row_bits})
        issued, tag1, tag2, tag3 = (Signal(tag, name=name) for name in ("issued", "tag1", "tag2", "tag3"))
        key, row, left = Signal(32), Signal(row_bits), Signal(range(max(ways, 2)))
        in_flight = Signal(range(_RESULTS + 1))  # Lookups that have a place in ``results``.
        ready, start, quiet = Signal(), Signal(), Signal()
        op_reads, op_row, op_key = Signal(), Signal(row_bits), Signal(32)
        first_row = arp_set(self.lookup.payload, sets=self._sets) << way_bits
        m.d.comb += [
            self.lookup.ready.eq(ready),
            start.eq(self.lookup.valid & ready),
            quiet.eq(~start & (left == 0)),
            issued.lookup.eq(~quiet),
            issued.op.eq(op_reads),
            issued.last.eq((left == 1) if ways > 1 else 1),
            issued.row.eq(Mux(start, first_row, Mux(left != 0, row, op_row))),
            ram.read_en.eq(1),
            ram.read_addr.eq(issued.row),
            activity.read_en.eq(1),
            activity.read_addr.eq(issued.row),
        ]
        taken = Signal()
        m.d.sync += [
            taken.eq(self.result.valid & self.result.ready),
            in_flight.eq(in_flight + start - taken),
            # Decided a cycle ahead, when one more lookup may be starting.
            ready.eq(((left == 1) | ((left == 0) & ~(start & (ways > 1)))) & (in_flight <= _RESULTS - 2)),
        ]
        with m.If(start):
            m.d.sync += [key.eq(self.lookup.payload), row.eq(first_row + 1), left.eq(ways - 1)]
        with m.Elif(left != 0):
            m.d.sync += [row.eq(row + 1), left.eq(left - 1)]

        # The row is there with tag2, and compared with tag3.
        wanted, active, entry = Signal(32), Signal(), Signal(ArpEntry)
        low_equal, high_equal = Signal(), Signal()
        m.d.sync += [
            tag1.eq(issued),
            tag2.eq(tag1),
            tag3.eq(tag2),
            wanted.eq(Mux(tag1.op, op_key, key)),
            active.eq(activity.read_data),
            entry.eq(ram.read_data),
            low_equal.eq(ram.read_data.key[:16] == wanted[:16]),
            high_equal.eq(ram.read_data.key[16:] == wanted[16:]),
        ]
        flushing = Signal()
        match = Signal()
        m.d.comb += match.eq(entry.valid & low_equal & high_equal & ~flushing)

        # At most one way matches, so that the ways of a set are joined by "or".
        found, sum_ = Signal(ArpFound), Signal(ArpFound)
        m.d.comb += [
            sum_.hit.eq(found.hit | match),
            sum_.mac.eq(found.mac | Mux(match, entry.mac, 0)),
            results.i.valid.eq(tag3.lookup & tag3.last),
            results.i.payload.eq(sum_),
        ]
        with m.If(tag3.lookup):
            m.d.sync += found.eq(Mux(tag3.last, 0, sum_.as_value()))

        m.submodules.operator = operator = ArpOperator(sets=self._sets, ways=ways)
        wiring.connect(m, wiring.flipped(self.op), operator.op)
        wiring.connect(m, operator.op_result, wiring.flipped(self.op_result))
        marks, marked_row = Signal(), Signal(row_bits)
        m.d.sync += [
            marks.eq(tag3.lookup & match),
            marked_row.eq(tag3.row),
            operator.seen.eq(tag3.op),
            operator.seen_row.eq(tag3.row),
            operator.seen_entry.eq(entry),
            operator.seen_match.eq(match),
            operator.seen_active.eq(active),
        ]
        m.d.comb += [
            operator.quiet.eq(quiet & ~marks),
            op_reads.eq(operator.read & operator.quiet),
            op_row.eq(operator.row),
            op_key.eq(operator.key),
            flushing.eq(operator.flushing),
            ram.write_en.eq(operator.write),
            ram.write_addr.eq(operator.row),
            ram.write_data.eq(operator.entry),
            activity.write_en.eq(marks | operator.clear),
            activity.write_addr.eq(Mux(marks, marked_row, operator.row)),
            activity.write_data.eq(marks),
        ]
        return m

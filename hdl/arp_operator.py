"""What the driver does to the ARP cache: insert, delete, flush and read back."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..stack.abi.regs import ArpOp

__all__ = ["ArpEntry", "ArpOperation", "ArpOperationResult", "ArpOperator", "arp_set"]


class ArpEntry(data.Struct):
    """One entry of the cache."""

    valid: 1
    key: 32
    mac: 48


class ArpOperation(data.Struct):
    """Something to do with the cache: an ``ArpOp`` and what it needs."""

    op: 3
    key: 32
    mac: 48
    index: 16


class ArpOperationResult(data.Struct):
    """What came of it, as in ``ARP.STATUS`` and ``ARP.RESULT_*``."""

    found: 1
    evicted: 1
    active: 1
    key: 32
    mac: 48


def arp_set(key: int, *, sets: int) -> int:
    """Return the set that an IPv4 address belongs to: its bits folded by exclusive or.

    Takes a number or an Amaranth value.
    """
    bits = ceil_log2(sets)
    folded = key & (sets - 1)
    for shift in range(bits, 32, bits):
        folded = folded ^ ((key >> shift) & (sets - 1))
    return folded


class ArpOperator(wiring.Component):
    """Carry out operations on the entries, in the cycles that lookups leave.

    Timing
    ------
    Domain ``sync``. It reads and writes only while ``quiet``; a row that it read comes back 4 cycles later. A write
    changes a whole entry at once, so that a lookup sees the old entry or the new one.

    Parameters
    ----------
    sets, ways : int
        Shape of the cache.

    Members
    -------
    op, op_result : streams
        As in ``ArpCache``.
    quiet : In(1)
        No lookup uses the memories in this cycle.
    read, row, key : Out
        Read a row, while ``quiet``, and compare it with the key.
    seen, seen_row, seen_entry, seen_match, seen_active : In
        A row that was read.
    write, entry : Out
        Write the row.
    clear : Out(1)
        Clear the row's activity bit.
    flushing : Out(1)
        The entries are being removed: none is valid.
    """

    def __init__(self, *, sets: int, ways: int) -> None:
        self._sets = sets
        self._ways = ways
        row = ceil_log2(sets * ways)
        super().__init__(
            {
                "op": In(stream.Signature(ArpOperation)),
                "op_result": Out(stream.Signature(ArpOperationResult)),
                "quiet": In(1),
                "read": Out(1),
                "row": Out(row),
                "key": Out(32),
                "seen": In(1),
                "seen_row": In(row),
                "seen_entry": In(ArpEntry),
                "seen_match": In(1),
                "seen_active": In(1),
                "write": Out(1),
                "entry": Out(ArpEntry),
                "clear": Out(1),
                "flushing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ways, way_bits = self._ways, ceil_log2(self._ways)
        rows = self._sets * ways
        op, answer = Signal(ArpOperation), self.op_result.payload
        row = Signal(range(rows + 1))
        left = Signal(range(ways + 1))  # Ways of the set still to come back.
        # The best way to write to: 3 holds the key, 2 is free, 1 was not looked up, 0 is the next in turn.
        rank, best, best_row = Signal(2), Signal(2), Signal(range(rows))
        turn = Signal(way_bits)
        old = self.seen_entry
        m.d.comb += [
            self.row.eq(row),
            self.key.eq(op.key),
            rank.eq(Mux(self.seen_match, 3, Mux(~old.valid, 2, ~self.seen_active))),
            self.entry.valid.eq(op.op == ArpOp.INSERT),
            self.entry.key.eq(op.key),
            self.entry.mac.eq(op.mac),
        ]

        with m.FSM(init="Flush"):
            with m.State("Idle"):
                m.d.comb += self.op.ready.eq(1)
                m.d.sync += [op.eq(self.op.payload), answer.eq(0)]
                with m.If(self.op.valid):
                    m.next = "Start"
            with m.State("Start"):
                m.d.sync += [left.eq(ways), row.eq(op.index), best.eq(0)]
                with m.Switch(op.op):
                    with m.Case(ArpOp.INSERT, ArpOp.DELETE):
                        m.d.sync += row.eq(arp_set(op.key, sets=self._sets) << way_bits)
                        m.next = "Scan"
                    with m.Case(ArpOp.FLUSH):
                        m.d.sync += row.eq(0)
                        m.next = "Flush"
                    with m.Default():
                        m.next = "Fetch"
            with m.State("Scan"):
                # A row at a time: an operation is rare and may take its time.
                m.d.comb += self.read.eq(1)
                m.d.sync += best_row.eq(Mux((best == 0) & (left == turn + 1), row, best_row))
                with m.If(self.quiet):
                    m.next = "Compare"
            with m.State("Compare"):
                with m.If(self.seen):
                    m.d.sync += [row.eq(row + 1), left.eq(left - 1)]
                    with m.If(rank > best):
                        m.d.sync += [best.eq(rank), best_row.eq(self.seen_row)]
                    m.next = "Scan"
                    with m.If(left == 1):
                        m.next = "Choose"
            with m.State("Choose"):
                m.d.sync += [row.eq(best_row), turn.eq(turn + (best == 0))]
                m.next = "Fetch"
            with m.State("Fetch"):
                m.d.comb += self.read.eq(1)
                with m.If(self.quiet):
                    m.next = "Finish"
            with m.State("Finish"):
                with m.If(self.seen):
                    m.d.sync += [answer.key.eq(old.key), answer.mac.eq(old.mac), answer.active.eq(self.seen_active)]
                    m.next = "Answer"
                    with m.Switch(op.op):
                        with m.Case(ArpOp.INSERT):
                            m.d.sync += [
                                answer.found.eq(self.seen_match),
                                answer.evicted.eq(old.valid & ~self.seen_match),
                            ]
                            m.next = "Write"
                        with m.Case(ArpOp.DELETE):
                            m.d.sync += answer.found.eq(self.seen_match)
                            with m.If(self.seen_match):
                                m.next = "Write"
                        with m.Case(ArpOp.READ_CLEAR):
                            m.d.sync += answer.found.eq(old.valid)
                            m.next = "Clear"
                        with m.Default():
                            m.d.sync += answer.found.eq(old.valid)
            with m.State("Write"):
                m.d.comb += [self.write.eq(self.quiet), self.clear.eq(self.quiet)]
                with m.If(self.quiet):
                    m.next = "Answer"
            with m.State("Clear"):
                m.d.comb += self.clear.eq(self.quiet)
                with m.If(self.quiet):
                    m.next = "Answer"
            with m.State("Flush"):
                m.d.comb += [
                    self.flushing.eq(1),
                    self.entry.valid.eq(0),
                    self.write.eq(self.quiet & ~row[-1]),
                    self.clear.eq(self.write),
                ]
                with m.If(self.quiet):
                    m.d.sync += row.eq(row + 1)
                with m.If(row[-1]):
                    m.next = "Answer"
                    with m.If(op.op == 0):  # After reset nobody waits for an answer.
                        m.next = "Idle"
            with m.State("Answer"):
                m.d.comb += self.op_result.valid.eq(1)
                with m.If(self.op_result.ready):
                    m.next = "Idle"
        return m

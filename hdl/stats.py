"""Event counters of 64 bits, as many as the contract names, with their sums in block RAM."""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..stack.abi.model import Block
from ..stack.abi.regs import STATS
from .block_ram import BlockRam
from .counter_sums import MIN_DISTANCE, CounterSums
from .csr import window_signature

__all__ = ["CounterBank"]

TALLY_BITS = 6
OCTETS_BITS = 16
AMOUNT_BITS = OCTETS_BITS + TALLY_BITS
ROUND_AT = 8  # Cycles with an event after which there is a round.
# Between two turns of a counter, in every cycle with an event: those that call for a round, four cycles until it
# starts, and the cycles of the round. No more than a tally can tell from none.
MAX_COUNTERS = (1 << TALLY_BITS) - 2 - ROUND_AT - 4


def _next_state(state: Value) -> Value:
    """Return the state after a state of a tally: a shift register of 63 states, all but all ones."""
    return Cat(~(state[-1] ^ state[-2]), state[:-1])


def _tally_states() -> list[int]:
    """Return the states of a tally, by the number of events since 0."""
    states = [0]
    while len(states) < (1 << TALLY_BITS) - 1:
        state = states[-1]
        new = ~(state >> TALLY_BITS - 1 ^ state >> TALLY_BITS - 2) & 1
        states.append(state << 1 & (1 << TALLY_BITS) - 1 | new)
    return states


class CounterBank(wiring.Component):
    """Count everything that a block of counters in the contract names.

    Nothing is lost: all counters may be added to in every cycle. Each counter has a small tally of its own, of one LUT:
    a shift register with feedback. In a round, each tally is visited for one cycle, and what it has counted since its
    last visit is added to the sum, in block RAM. There is a round after some cycles with events, and whenever a counter
    is read; in between nothing moves.

    After reset, a first round clears the sums; what comes in before its end is not counted.

    Timing
    ------
    Domain ``sync``. A read of a low half is answered after at most one cycle for each counter and 16 more, one of a
    high half in the next cycle. ``window.data`` and ``busy`` come through gates.

    Parameters
    ----------
    block : Block
        Counters, each a pair of registers ``X_LO`` and ``X_HI``, without gaps.

    Members
    -------
    add : In(data.StructLayout)
        One member ``x`` for each counter: the number to add in this cycle. One bit wide, or 16 if the counter is one of
        octets.
    window : In(window_signature(block))
        Reads, from the register bank. A low half has all that was on ``add`` until the cycle before ``read``, perhaps
        more. Reading it latches the high half of the same sum, for the next read of any high half.
    busy : Out(1)
        A round is under way, or about to start, or there was an event in the cycle before. Events that wait in the
        tallies for the next round do not count.

    Raises
    ------
    ValueError
        If the block has too few or too many counters.
    """

    def __init__(self, *, block: Block = STATS) -> None:
        names = [r.name.removesuffix("_LO").lower() for r in block.registers if r.name.endswith("_LO")]
        if not MIN_DISTANCE <= len(names) <= MAX_COUNTERS:
            raise ValueError(f"there must be {MIN_DISTANCE}..{MAX_COUNTERS} counters, not {len(names)}")
        layout = data.StructLayout({name: OCTETS_BITS if name.endswith("_octets") else 1 for name in names})
        super().__init__({"add": In(layout), "window": In(window_signature(block)), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        adds = [self.add[name] for name in self.add.shape().members]
        event, running, wanted, clearing = Signal(), Signal(), Signal(init=1), Signal(init=1)

        # Whose turn it is: one bit for each, and its row. By cycles since then, up to three.
        turn, row, moving = [Signal(len(adds), name="turn")], [Signal(range(len(adds)), name="row")], [running]
        for age in range(1, 4):
            turn.append(Signal.like(turn[0], name=f"turn_{age}"))
            row.append(Signal.like(row[0], name=f"row_{age}"))
            moving.append(Signal(name=f"moving_{age}"))
            m.d.sync += [turn[age].eq(turn[age - 1]), row[age].eq(row[age - 1]), moving[age].eq(moving[age - 1])]
        start = Signal()
        m.d.comb += start.eq(wanted & (~running | turn[0][-1]))
        m.d.sync += [turn[0].eq(Cat(start, turn[0])), running.eq(start | running & ~turn[0][-1])]
        with m.If(running):
            m.d.sync += row[0].eq(Mux(turn[0][-1], 0, row[0] + 1))
        with m.If(turn[3][-1]):
            m.d.sync += clearing.eq(0)

        # The same the other way round, as the flip-flops' own reset has it: it is the turn of another.
        others = Signal(len(adds), init=-1)
        m.d.sync += others.eq(Cat(~start, others))

        # When to start.
        events = Signal(range(ROUND_AT))
        m.d.sync += event.eq(Cat(adds).any())
        with m.If(start):
            m.d.sync += wanted.eq(0)
        with m.If(event):
            m.d.sync += events.eq(events + 1)
        with m.If(event & events.all() | self.window.read):
            m.d.sync += wanted.eq(1)

        # The state of the tally whose turn it is; the number that it stands for; that less the number of its last turn,
        # modulo 63; the amount, to which octets come by a way of their own.
        tallies, octets = [], []
        for number, add in enumerate(adds):
            if len(add) == 1:
                tallies.append(_tally(m, add, others[number], clearing))
            else:
                octets.append(_octets(m, add, turn[3][number], clearing))
        state, count, difference = Signal(TALLY_BITS), Signal(TALLY_BITS), Signal(TALLY_BITS + 1)
        amount = Signal(AMOUNT_BITS)
        m.submodules.last = last = BlockRam(shape=TALLY_BITS, depth=len(adds))
        m.d.comb += [
            last.read_en.eq(1),
            last.read_addr.eq(row[1]),
            last.write_en.eq(moving[3]),
            last.write_addr.eq(row[3]),
            last.write_data.eq(count),
        ]
        with m.Switch(state):
            for number, value in enumerate(_tally_states()):
                with m.Case(value):
                    m.d.sync += count.eq(number)
        borrow = difference[-1]
        m.d.sync += [
            state.eq(reduce(or_, tallies)),
            difference.eq(count - last.read_data),
            amount.eq(reduce(or_, octets, (difference - borrow)[:TALLY_BITS])),
        ]

        m.submodules.sums = sums = CounterSums(rows=len(adds), amount_bits=AMOUNT_BITS)
        asked, asked_age = Signal(), Signal(3)
        m.d.comb += [
            sums.row.eq(row[3]),
            sums.en.eq(moving[3]),
            sums.clear.eq(clearing),
            sums.keep.eq(asked_age[-1]),
            sums.amount.eq(amount),
        ]

        # Reads: the sum is kept when its turn comes.
        is_high = self.window.addr[0]
        found = asked & running & (self.window.addr[1:] == row[0])
        with m.If(found):
            m.d.sync += asked.eq(0)
        with m.If(self.window.read & ~is_high):
            m.d.sync += asked.eq(1)
        m.d.sync += [
            asked_age.eq(Cat(found, asked_age)),
            self.window.valid.eq(sums.done | self.window.read & is_high),
        ]
        m.d.comb += [
            self.window.data.eq(Mux(is_high, sums.kept[32:], sums.kept[:32])),
            self.busy.eq(event | wanted | Cat(moving).any() | sums.busy | self.window.valid),
        ]
        return m


def _tally(m: Module, add: Value, others: Value, clearing: Value) -> Value:
    """Make the tally of one counter; return its state if it was its turn, otherwise 0."""
    state, shown = Signal(TALLY_BITS), Signal(TALLY_BITS, reset_less=True)
    with m.If(add):
        m.d.sync += state.eq(_next_state(state))
    with m.If(clearing):
        m.d.sync += state.eq(0)
    m.d.sync += shown.eq(state)
    with m.If(others):
        m.d.sync += shown.eq(0)
    return shown


def _octets(m: Module, add: Value, turn: Value, clearing: Value) -> Value:
    """Make the sum of octets since the last turn; return it, this cycle's in, if it was its turn, otherwise 0."""
    total, shown = Signal(AMOUNT_BITS, reset_less=True), Signal(AMOUNT_BITS, reset_less=True)
    new = Signal(AMOUNT_BITS)
    m.d.comb += new.eq(total + add)
    m.d.sync += [total.eq(new), shown.eq(new)]
    with m.If(turn | clearing):
        m.d.sync += total.eq(0)
    with m.If(~turn | clearing):
        m.d.sync += shown.eq(0)
    return shown

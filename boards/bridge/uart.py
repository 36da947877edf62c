"""Octets over an asynchronous serial line: a start bit, eight bits, the lowest first, a stop bit."""

from itertools import count

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["BITS_PER_OCTET", "CYCLES_PER_BIT_MIN", "UartRx", "UartTx", "phase_step"]

BITS_PER_OCTET = 10  # On the line, with start and stop bit.
CYCLES_PER_BIT_MIN = 8  # So that the middle of a bit is met well enough.
_ERROR_MAX = 1e-3


def phase_step(*, clock_khz: int, baud: int) -> tuple[int, int]:
    """Return by how much a phase grows each cycle, and its bits: when it overflows a bit has passed.

    Raises
    ------
    ValueError
        If a bit would take less than CYCLES_PER_BIT_MIN cycles.

    Examples
    --------
    >>> phase_step(clock_khz=125_000, baud=3_000_000)
    (393, 14)
    """
    clock_hz = 1000 * clock_khz
    if not 1 <= baud * CYCLES_PER_BIT_MIN <= clock_hz:
        raise ValueError(f"baud must be in 1..{clock_hz // CYCLES_PER_BIT_MIN}, not {baud!r}")
    for bits in count(1):
        wanted = (baud << bits) / clock_hz
        step = round(wanted)
        if abs(step - wanted) <= _ERROR_MAX * wanted:
            return step, bits
    raise AssertionError


class UartRx(wiring.Component):
    """Receive octets.

    The line passes a synchroniser and the majority of three samples; a bit is what it is in the middle, counted from
    the fall of the start bit. A start bit that is high again by its middle is none. An octet without stop bit is left
    out.

    Timing
    ------
    Domain ``sync``. Outputs come from registers. The other side's rate may be off by 3 %.

    Parameters
    ----------
    clock_khz : int
        Frequency of ``sync``.
    baud : int
        Bits a second.

    Members
    -------
    rx : In(1)
        The line, of any clock.
    o : Out(stream.Signature(8, always_ready=True))
        Octets.

    Raises
    ------
    ValueError
        If a bit would take less than CYCLES_PER_BIT_MIN cycles.
    """

    def __init__(self, *, clock_khz: int, baud: int) -> None:
        self._step, self._phase_bits = phase_step(clock_khz=clock_khz, baud=baud)
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8, always_ready=True))})

    def elaborate(self, platform):
        m = Module()
        sampled, samples = Signal(init=1), Signal(2, init=-1)
        m.submodules.line = FFSynchronizer(self.rx, sampled, init=1)
        line, line_ff = Signal(init=1), Signal(init=1)
        early, middle, late = samples[1], samples[0], sampled
        m.d.sync += [
            samples.eq(Cat(sampled, samples)),
            line.eq((early & middle) | (middle & late) | (early & late)),
            line_ff.eq(line),
        ]

        active, tick = Signal(), Signal()
        phase = Signal(self._phase_bits)
        bit = Signal(range(BITS_PER_OCTET))
        with m.If(active):
            m.d.sync += [Cat(phase, tick).eq(phase + self._step)]
        with m.Else():
            m.d.sync += [phase.eq(1 << (self._phase_bits - 1)), tick.eq(0), active.eq(line_ff & ~line), bit.eq(0)]

        starts, stops = bit == 0, bit == BITS_PER_OCTET - 1
        m.d.sync += self.o.valid.eq(tick & stops & line_ff)
        with m.If(tick):
            m.d.sync += bit.eq(bit + 1)
            with m.If(stops | (starts & line_ff)):
                m.d.sync += [active.eq(0), tick.eq(0)]
            with m.If(~stops):
                m.d.sync += self.o.payload.eq(Cat(self.o.payload[1:], line_ff))
        return m


class UartTx(wiring.Component):
    """Send octets.

    Timing
    ------
    Domain ``sync``. ``tx`` comes from a register, ``i.ready`` through two gates. Octets follow each other without a
    pause. A bit is as long as it should be to a cycle, in the mean exactly to 0.1 %.

    Parameters
    ----------
    clock_khz : int
        Frequency of ``sync``.
    baud : int
        Bits a second.

    Members
    -------
    i : In(stream.Signature(8))
        Octets.
    tx : Out(1)
        The line.

    Raises
    ------
    ValueError
        If a bit would take less than CYCLES_PER_BIT_MIN cycles.
    """

    def __init__(self, *, clock_khz: int, baud: int) -> None:
        self._step, self._phase_bits = phase_step(clock_khz=clock_khz, baud=baud)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        phase, tick = Signal(self._phase_bits), Signal()
        left = Signal(range(BITS_PER_OCTET + 1))  # Bits of the octet under way that have not ended.
        shift = Signal(9, init=-1)
        m.d.sync += Cat(phase, tick).eq(phase + self._step)
        m.d.comb += self.i.ready.eq(tick & ~left[1:].any())
        with m.If(tick):
            m.d.sync += [self.tx.eq(shift[0]), shift.eq(Cat(shift[1:], Const(1, 1)))]
            with m.If(left.any()):
                m.d.sync += left.eq(left - 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [self.tx.eq(0), shift.eq(Cat(self.i.payload, Const(1, 1))), left.eq(BITS_PER_OCTET)]
        return m

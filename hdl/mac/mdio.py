"""The management interface of the PHY: one register at a time."""

# Ref: IEEE Std 802.3-2022, 22.2.4 (management functions) and 22.3.4 (timing)

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...stack.abi.regs import MAC, MdioOp
from ..csr import block_signature

__all__ = ["Mdio"]

_MDC_MAX_KHZ = 2500  # 22.2.2.13: a period of 400 ns at least.
_PREAMBLE_BITS = 32  # 22.2.4.5.2
_FRAME_BITS = 64  # With the preamble.
_TURNAROUND_AT = 46  # 22.2.4.5.7: a read releases the line from here on.
_START, _TURNAROUND = 0b01, 0b10  # 22.2.4.5.3, 22.2.4.5.7; the higher bit goes first.
_LATE_CYCLES = 2  # Of the synchroniser.
_PERIOD_MIN_LOG2 = 3  # The sample must come before the bit ends.

_CSR = wiring.Signature({name: block_signature(MAC).members[name] for name in ("mdio", "mdio_status")})


class Mdio(wiring.Component):
    """Carry out the transactions that are written to ``MAC.MDIO`` and hold what came out of the last one.

    Frames are those of clause 22, each with its whole preamble. MDC runs in a transaction only. The own side changes
    MDIO with the fall of MDC, and samples it with the rise, which leaves a PHY a whole period (22.3.4: 300 ns of it). A
    write to the register while busy, or of a number that is no ``MdioOp``, does nothing.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, ``csr.mdio_status`` and ``busy`` through a gate. A transaction
    takes 64 periods of MDC, each of them a power of two of cycles. While not ``busy`` no register changes but
    those that sample ``mdio_i``.

    Parameters
    ----------
    clock_khz : int
        Frequency of ``sync``.

    Members
    -------
    csr : In(Signature)
        The registers ``mdio`` and ``mdio_status`` out of ``block_signature(MAC)``.
    mdc : Out(1)
        Clock, at most 2.5 MHz.
    mdio_o, mdio_oe : Out(1), Out(1)
        The pin ``mdio`` is driven while ``mdio_oe`` is high; a resistor pulls it up.
    mdio_i : In(1)
        What is at the pin, of any clock.
    busy : Out(1)
        A transaction is under way.

    Raises
    ------
    ValueError
        If ``clock_khz`` is less than 1.
    """

    def __init__(self, *, clock_khz: int) -> None:
        if clock_khz < 1:
            raise ValueError(f"clock_khz must be at least 1, not {clock_khz!r}")
        self._period_log2 = max(_PERIOD_MIN_LOG2, ceil_log2(-(-clock_khz // _MDC_MAX_KHZ)))
        super().__init__(
            {
                "csr": In(_CSR),
                "mdc": Out(1),
                "mdio_o": Out(1),
                "mdio_oe": Out(1),
                "mdio_i": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        request, status = self.csr.mdio, self.csr.mdio_status
        line = Signal()
        m.submodules.line = FFSynchronizer(self.mdio_i, line, init=1, stages=_LATE_CYCLES)

        active, reading = Signal(), Signal()
        shift = Signal(_FRAME_BITS - _PREAMBLE_BITS)  # Its highest bit goes out next; what comes in follows behind.
        # Cycle in the bit, and above it the number of the bit.
        count = Signal(self._period_log2 + ceil_log2(_FRAME_BITS))
        bit = count[self._period_log2 :]
        following = Signal(len(count) + 1)
        mdc_late = Signal(_LATE_CYCLES)
        bit_ends, sampled, known = Signal(), Signal(), Signal()
        m.d.comb += [
            following.eq(count + 1),
            bit_ends.eq(count[: self._period_log2].all()),
            self.mdc.eq(count[self._period_log2 - 1]),
            # `line` is now what it was when MDC rose.
            sampled.eq(mdc_late[-2] & ~mdc_late[-1]),
            known.eq((request.op == MdioOp.WRITE) | (request.op == MdioOp.READ)),
        ]
        with m.If(active):
            m.d.sync += [count.eq(following), mdc_late.eq(Cat(self.mdc, mdc_late))]
            with m.If(bit_ends):
                m.d.sync += self.mdio_o.eq(shift[-1] | ~following[-2])
                with m.If(following[-1] | reading & (bit == _TURNAROUND_AT - 1)):
                    m.d.sync += self.mdio_oe.eq(0)
                with m.If(following[-1]):
                    m.d.sync += active.eq(0)
            with m.If(sampled & count[-1]):
                m.d.sync += shift.eq(Cat(line, shift))
        with m.Elif(request.stb & known):
            m.d.sync += [
                active.eq(1),
                reading.eq(request.op == MdioOp.READ),
                self.mdio_o.eq(1),
                self.mdio_oe.eq(1),
                # Its highest bit first, as each field.
                shift.eq(
                    Cat(request.data, Const(_TURNAROUND, 2), request.reg, request.phy, request.op, Const(_START, 2))
                ),
            ]
        m.d.comb += [
            self.busy.eq(active),
            status.busy.eq(active | request.stb),
            status.data.eq(shift[:16]),
            status.no_answer.eq(shift[16] & reading),  # The second bit of the turnaround.
        ]
        return m

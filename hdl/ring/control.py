"""What TX and RX ring have in common: how their parts and registers go together, and how a reset ends."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from .completion import CompletionWrite
from .fetch import DescriptorFetch
from .irq_moderation import IrqModeration

__all__ = ["add_mask", "join_completions", "join_fetch", "join_interrupt", "join_reset", "registers_written"]


def add_mask(m: Module, csr, ring_log2_max: int) -> Signal:
    """Return the number of descriptors, less one, as SIZE has it; a log2 of 0 counts as 1."""
    mask = Signal(ring_log2_max, init=1)
    m.d.sync += mask.eq(Cat(1, *(csr.size.log2 > bit for bit in range(1, ring_log2_max))))
    return mask


def join_fetch(m: Module, csr, fetch: DescriptorFetch, mask: Signal, clear: Signal) -> None:
    """Let ``fetch`` go as far as TAIL. After a stop that may go on, but the limit stays, and so what is fetched."""
    m.d.comb += [fetch.base.eq(csr.base.value), fetch.mask.eq(mask), fetch.clear.eq(clear)]
    with m.If(clear):
        m.d.sync += fetch.limit.eq(0)
    with m.Elif(csr.ctrl.enable):
        m.d.sync += fetch.limit.eq(csr.tail.index & mask)


def join_completions(
    m: Module, ring, write: CompletionWrite, mask: Signal, *, resetting: Signal, clear: Signal
) -> None:
    """Join ``write`` to the ring's registers and probes. In a reset it gives up what the bus does not take."""
    csr = ring.csr
    m.d.comb += [
        write.base.eq(csr.cpl_base.value),
        write.mask.eq(mask),
        write.clear.eq(clear),
        write.give_up.eq(resetting),
        csr.head.index.eq(write.head),
        csr.cpl_head.index.eq(write.index),
        ring.cpl_stb.eq(write.written),
        ring.cpl_status.eq(write.place.status),
        ring.cpl_index.eq(write.place.index),
        ring.cpl_retried.eq(write.retried),
    ]


def join_interrupt(m: Module, ring, moderation: IrqModeration, mask: Signal, index: Signal) -> None:
    """Make the ring's interrupt line of its registers and of what ``moderation`` says; ``index``: next completion."""
    csr = ring.csr
    m.d.comb += [
        moderation.mask.eq(mask),
        moderation.head.eq(index),
        moderation.seen.eq(csr.cpl_tail.index),
        moderation.stb.eq(csr.cpl_tail.stb | csr.cpl_tail.arm),
        moderation.count.eq(csr.irq_count.completions),
        moderation.time_cycles.eq(csr.irq_time.cycles),
        moderation.advance_stb.eq(ring.advance_stb),
        moderation.advance_cycles.eq(ring.advance_cycles),
        # From the end of the timer to the line: a cycle in which something is about to change.
        ring.wake_in.eq(Mux(moderation.due & ~csr.irq.pending, 1, moderation.wake_in)),
        csr.irq.enable_set.eq(csr.cpl_tail.arm),
        csr.irq.pending_clear.eq(csr.cpl_tail.arm),
        csr.irq.pending_set.eq(moderation.fire),
        ring.irq.eq(csr.irq.pending & csr.irq.enable),
    ]


def join_reset(m: Module, csr, *, resetting: Signal, clear: Signal, at_rest: Value) -> None:
    """Start a reset when software asks for it, and end it when all is at rest.

    It ends in the cycle of ``clear``, which must be the only one: software may start anew in the next.
    """
    was_at_rest = Signal()  # And stays so: nothing is begun in a reset.
    m.d.sync += [was_at_rest.eq(resetting & at_rest), clear.eq(resetting & was_at_rest & ~clear)]
    with m.If(clear):
        m.d.sync += resetting.eq(0)
    with m.Elif(csr.ctrl.reset):
        m.d.sync += resetting.eq(1)
    m.d.comb += [
        csr.ctrl.enable_clear.eq(clear),
        csr.tail.index_clear.eq(clear),
        csr.cpl_tail.index_clear.eq(clear),
    ]
    m.d.sync += csr.status.resetting.eq(resetting | csr.ctrl.reset)


def registers_written(csr) -> Value:
    """Return if a register was written that something follows from."""
    ports = (csr.ctrl, csr.size, csr.tail, csr.cpl_tail, csr.irq_count, csr.irq_time, csr.irq)
    return Cat(port.stb for port in ports).any()

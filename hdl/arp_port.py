"""The registers of the ARP cache: one operation at a time."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stack.abi.regs import ARP, ArpOp
from .arp_cache import ArpOperation, ArpOperationResult
from .csr import block_signature

__all__ = ["ArpPort"]


class ArpPort(wiring.Component):
    """Start the operations that are written to ``ARP.OP`` and hold what came out of the last one.

    A write while ``ARP.STATUS.busy``, or of a number that is no ``ArpOp``, does nothing. ``flush`` is an operation that
    leaves no result; it waits for the one that is under way.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, ``busy`` through a gate. ``op`` follows the register by 1 cycle.

    Members
    -------
    csr : In(block_signature(ARP))
        The registers.
    op : Out(stream.Signature(ArpOperation))
        To the cache.
    op_result : In(stream.Signature(ArpOperationResult))
        Its answer to each operation; always accepted.
    flush : In(1)
        Remove all entries.
    busy : Out(1)
        An operation is under way.
    """

    csr: In(block_signature(ARP))
    op: Out(stream.Signature(ArpOperation))
    op_result: In(stream.Signature(ArpOperationResult))
    flush: In(1)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        csr, result = self.csr, self.op_result.payload
        under_way, flushing, flush_waits = Signal(), Signal(), Signal()
        known = Signal()
        m.d.comb += known.eq((csr.op.op >= min(ArpOp)) & (csr.op.op <= max(ArpOp)))

        with m.If(self.flush):
            m.d.sync += flush_waits.eq(1)
        with m.If(self.op.ready):
            m.d.sync += self.op.valid.eq(0)
        m.d.comb += self.op_result.ready.eq(1)
        with m.If(under_way):
            with m.If(self.op_result.valid):
                m.d.sync += [under_way.eq(0), flushing.eq(0)]
        with m.Elif(flush_waits | (csr.op.stb & known)):
            m.d.sync += [
                under_way.eq(1),
                flushing.eq(flush_waits),
                flush_waits.eq(self.flush),
                self.op.valid.eq(1),
                self.op.payload.op.eq(csr.op.op),
                self.op.payload.key.eq(csr.key.value),
                self.op.payload.mac.eq(csr.mac.value),
                self.op.payload.index.eq(csr.index.value),
            ]
            with m.If(flush_waits):
                m.d.sync += self.op.payload.op.eq(ArpOp.FLUSH)
        with m.If(self.op_result.valid & ~flushing):
            m.d.sync += [
                csr.status.found.eq(result.found),
                csr.status.evicted.eq(result.evicted),
                csr.status.active.eq(result.active),
                csr.result_key.value.eq(result.key),
                csr.result_mac.value.eq(result.mac),
            ]
        m.d.comb += [
            self.busy.eq(under_way | flush_waits),
            csr.status.busy.eq(self.busy | csr.op.stb),
        ]
        return m

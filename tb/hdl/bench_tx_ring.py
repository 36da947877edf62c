"""Bench of the TX ring, behind its registers."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hardwire.hdl.axi import AxiLiteSignature
from hardwire.hdl.csr import CsrBank
from hardwire.hdl.tx.ring import TxRing
from hardwire.stack.abi import TXQ
from hardwire.tb.bench import Bench

__all__ = ["BENCH", "TxRingWithRegisters"]


class TxRingWithRegisters(wiring.Component):
    """A TX ring whose registers are on an AXI4-Lite port ``csr``; all its other ports as they are."""

    def __init__(self, *, axi_width_bits: int) -> None:
        self._ring = TxRing(axi_width_bits=axi_width_bits)
        members = dict(self._ring.signature.members)
        members["csr"] = In(AxiLiteSignature(addr_width=16))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = self._ring
        m.submodules.bank = bank = CsrBank(blocks=(TXQ,))
        connect(m, flipped(self.csr), bank.bus)
        connect(m, bank.txq[0], ring.csr)
        for name, member in self.signature.members.items():
            if name == "csr":
                continue
            outer, inner = getattr(self, name), getattr(ring, name)
            if member.is_signature:
                outer = flipped(outer)
                connect(m, inner, outer)
            elif member.flow == Out:
                m.d.comb += outer.eq(inner)
            else:
                m.d.comb += inner.eq(outer)
        return m


BENCH = Bench(
    name="tx_ring",
    build=TxRingWithRegisters,
    module="hardwire.tb.hdl.cocotb_tx_ring",
    variants={f"axi{width}": {"axi_width_bits": width} for width in (32, 64, 128, 512)},
)

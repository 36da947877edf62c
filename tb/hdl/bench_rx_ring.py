"""Bench of the RX ring, behind its registers."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hardwire.hdl.axi import AxiLiteSignature
from hardwire.hdl.axi_mux import AxiWriteMux
from hardwire.hdl.csr import CsrBank
from hardwire.hdl.rx.ring import RxRing
from hardwire.stack.abi import RXQ
from hardwire.tb.bench import Bench

__all__ = ["BENCH", "RxRingWithRegisters"]


class RxRingWithRegisters(wiring.Component):
    """An RX ring whose registers are on an AXI4-Lite port ``csr``, and all of whose writes are on ``axi_write``.

    Bit 1 of a write's ID tells completions. All other ports are the ring's.
    """

    def __init__(self, **parameters: int) -> None:
        self._ring = RxRing(**parameters)
        self._mux = AxiWriteMux(axi_width_bits=parameters["axi_width_bits"], id_width_bits=1)
        members = dict(self._ring.signature.members)
        members["csr"] = In(AxiLiteSignature(addr_width=16))
        members["axi_write"] = Out(self._mux.o.signature)
        del members["axi_write_completion"]
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = self._ring
        m.submodules.bank = bank = CsrBank(blocks=(RXQ,))
        connect(m, flipped(self.csr), bank.bus)
        connect(m, bank.rxq[0], ring.csr)
        m.submodules.mux = mux = self._mux
        connect(m, ring.axi_write, mux.i[0])
        connect(m, ring.axi_write_completion, mux.i[1])
        connect(m, mux.o, flipped(self.axi_write))
        for name, member in self.signature.members.items():
            if name in ("csr", "axi_write"):
                continue
            outer, inner = getattr(self, name), getattr(ring, name)
            if member.is_signature:
                outer = flipped(outer)
                connect(m, *((inner, outer) if member.flow == Out else (outer, inner)))
            elif member.flow == Out:
                m.d.comb += outer.eq(inner)
            else:
                m.d.comb += inner.eq(outer)
        return m


BENCH = Bench(
    name="rx_ring",
    build=RxRingWithRegisters,
    module="hardwire.tb.hdl.cocotb_rx_ring",
    variants={
        f"stream{stream}axi{axi}": {"stream_width_bits": stream, "axi_width_bits": axi, **more}
        for stream, axi, more in (
            (64, 64, {}),
            (32, 512, {"burst_octets": 128}),
            (128, 32, {"burst_octets": 64, "outstanding": 4, "prefetch": 8}),
            (64, 128, {}),
        )
    },
)

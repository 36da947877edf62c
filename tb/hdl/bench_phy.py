"""Benches of the PHY adapters, each between a MAC and its pins."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hardwire.hdl.mac.rx import MacRx
from hardwire.hdl.mac.tx import MacTx
from hardwire.hdl.packet import packet_layout, packet_signature
from hardwire.hdl.phy.core import CORE_MEMBERS
from hardwire.hdl.phy.gmii import Gmii
from hardwire.hdl.phy.mii import Mii
from hardwire.hdl.phy.rgmii import Rgmii
from hardwire.hdl.rx.frame import RxEnd
from hardwire.tb.bench import Bench

__all__ = ["BENCHES", "MacWithPhy"]

_ADAPTERS = {"gmii": Gmii, "rgmii": Rgmii, "mii": Mii}
_OWN = {"mii": "phy_mii"}  # Tests of what others do not have.
_WIDTH_BITS = 64


class MacWithPhy(wiring.Component):
    """A MAC joined to an adapter; the members are the packet streams, ``end`` and the pins."""

    def __init__(self, *, interface: str) -> None:
        self._adapter = _ADAPTERS[interface]()
        self._pins = {
            name: member for name, member in self._adapter.signature.members.items() if name not in CORE_MEMBERS
        }
        streams = {
            "i": In(packet_signature(_WIDTH_BITS)),
            "o": Out(stream.Signature(packet_layout(_WIDTH_BITS), always_ready=True)),
            "end": Out(stream.Signature(RxEnd, always_ready=True)),
        }
        super().__init__(streams | self._pins)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tx = tx = MacTx(width_bits=_WIDTH_BITS)
        m.submodules.rx = rx = MacRx(width_bits=_WIDTH_BITS)
        m.submodules.phy = phy = self._adapter
        wiring.connect(m, wiring.flipped(self.i), tx.i)
        for name, member in CORE_MEMBERS.items():
            mac = tx if "tx" in name else rx
            inner = "enable" if name.endswith("enable") else name
            if member.flow == In:
                m.d.comb += getattr(phy, name).eq(getattr(mac, inner))
            else:
                m.d.comb += getattr(mac, inner).eq(getattr(phy, name))
        for name, member in self._pins.items():
            if member.flow == In:
                m.d.comb += getattr(phy, name).eq(getattr(self, name))
            else:
                m.d.comb += getattr(self, name).eq(getattr(phy, name))
        wiring.connect(m, rx.o, wiring.flipped(self.o))
        wiring.connect(m, rx.end, wiring.flipped(self.end))
        return m


BENCHES = [
    Bench(
        name=f"phy_{interface}",
        build=MacWithPhy,
        module=tuple(f"hardwire.tb.hdl.cocotb_{name}" for name in ("phy", _OWN.get(interface, "phy_gigabit"))),
        variants={"": {"interface": interface}},
    )
    for interface in _ADAPTERS
]

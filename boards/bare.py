"""Stands for the bridged card until that is there: the NIC with its bus ports behind shift registers."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hdl.config import NicConfig
from ..hdl.nic import Nic

__all__ = ["BridgedNic"]

_GMII = ("gmii_txd", "gmii_tx_en", "gmii_tx_er", "mdc", "mdio_o", "mdio_oe")


class BridgedNic(wiring.Component):
    """The NIC alone; the buses are joined to registers in a row, so that nothing of it is left out."""

    def __init__(self, *, nic: NicConfig, baud: int, memory_octets: int) -> None:
        self._nic = nic
        super().__init__(
            {
                "uart_rx": In(1),
                "uart_tx": Out(1, init=1),
                "gmii_txd": Out(8),
                "gmii_tx_en": Out(1),
                "gmii_tx_er": Out(1),
                "tx_enable": In(1),
                "gmii_rxd": In(8),
                "gmii_rx_dv": In(1),
                "gmii_rx_er": In(1),
                "odd_nibble": In(1),
                "rx_enable": In(1),
                "mdc": Out(1),
                "mdio_o": Out(1),
                "mdio_oe": Out(1),
                "mdio_i": In(1),
                "host_seen": Out(1),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.nic = nic = Nic(config=self._nic)
        m.d.comb += [
            *(getattr(self, name).eq(getattr(nic, name)) for name in _GMII),
            *(getattr(nic, name).eq(getattr(self, name)) for name in ("gmii_rxd", "gmii_rx_dv", "gmii_rx_er")),
            nic.mdio_i.eq(self.mdio_i),
            self.irq.eq(nic.irq),
        ]
        inputs, outputs = [], []
        for bus in (nic.s_axil, nic.m_axi):
            for _path, member, value in bus.signature.flatten(bus):
                (outputs if member.flow == Out else inputs).append(Value.cast(value))
        held = Signal(sum(len(value) for value in inputs))
        seen = Signal(sum(len(value) for value in outputs))
        shifted = Signal(len(seen))
        m.d.sync += [
            held.eq(Cat(self.uart_rx, held)),
            seen.eq(Cat(outputs)),
            shifted.eq(shifted >> 1),
            self.uart_tx.eq(shifted[0]),
            self.host_seen.eq(held[-1]),
        ]
        with m.If(held[0]):
            m.d.sync += shifted.eq(seen)
        m.d.comb += Cat(inputs).eq(held)
        return m

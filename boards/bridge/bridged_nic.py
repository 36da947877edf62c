"""The network card with its host bridge: all of a board but pins and clocks."""

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hdl.config import NicConfig
from ...hdl.nic import CSR_ADDR_WIDTH_BITS, Nic
from .bridge import Bridge

__all__ = ["BridgedNic"]

_PHY = {
    "gmii_txd": Out(8),
    "gmii_tx_en": Out(1),
    "gmii_tx_er": Out(1),
    "tx_enable": In(1, init=1),
    "gmii_rxd": In(8),
    "gmii_rx_dv": In(1),
    "gmii_rx_er": In(1),
    "odd_nibble": In(1),
    "rx_enable": In(1, init=1),
    "mdc": Out(1),
    "mdio_o": Out(1),
    "mdio_oe": Out(1),
    "mdio_i": In(1, init=1),
}


class BridgedNic(wiring.Component):
    """The whole card on a serial line: NIC, card memory and bridge.

    RESET from the host resets the NIC, too. That goes to thousands of registers: a platform that has a method
    ``global_net(m, net)`` returns it from its own net for such.

    Timing
    ------
    Domain ``sync``, of ``nic.clock_khz``. Outputs come from registers, ``irq`` through a gate.

    Parameters
    ----------
    nic : NicConfig
        Parameters of the NIC. Its bus has 32 or 64 bits.
    memory_octets, window_octets, baud, retry_cycles : int
        See `Bridge`.

    Members
    -------
    uart_rx, uart_tx : In(1), Out(1)
        The serial line.
    gmii_*, tx_enable, rx_enable, odd_nibble
        To the PHY's adapter: see `hardwire.hdl.phy.core.join_core`.
    mdc, mdio_o, mdio_oe, mdio_i : Out(1), Out(1), Out(1), In(1)
        Management interface of the PHY; the pin ``mdio`` is driven while ``mdio_oe`` is high.
    host_seen : Out(1)
        A good frame came from the host in the last half second or so.
    irq : Out(1)
        The NIC's interrupt line.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self,
        *,
        nic: NicConfig,
        memory_octets: int,
        window_octets: int = 4096,
        baud: int,
        retry_cycles: int | None = None,
    ) -> None:
        self._config = nic
        self._bridge = Bridge(
            clock_khz=nic.clock_khz,
            baud=baud,
            memory_octets=memory_octets,
            window_octets=window_octets,
            retry_cycles=retry_cycles,
            axi_width_bits=nic.axi_width_bits,
            id_width_bits=nic.axi_id_width_bits,
            reg_addr_width=CSR_ADDR_WIDTH_BITS,
        )
        super().__init__(
            _PHY | {"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1)} | {"host_seen": Out(1), "irq": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        nic = Nic(config=self._config, phy_enables=True)
        m.submodules.bridge = bridge = self._bridge
        m.submodules.nic = DomainRenamer("nic")(nic)
        # A domain of its own, so that its reset comes from a register, without a gate in each block.
        m.domains.nic = ClockDomain(local=True)
        reset = Signal(init=1)
        m.d.sync += reset.eq(bridge.resetting)
        everywhere = platform.global_net(m, reset) if hasattr(platform, "global_net") else reset
        m.d.comb += [ClockSignal("nic").eq(ClockSignal()), ResetSignal("nic").eq(everywhere)]
        wiring.connect(m, nic.m_axi, bridge.axi)
        wiring.connect(m, bridge.axil, nic.s_axil)
        for name, member in _PHY.items():
            if member.flow == Out:
                m.d.comb += getattr(self, name).eq(getattr(nic, name))
            else:
                m.d.comb += getattr(nic, name).eq(getattr(self, name))
        m.d.comb += [
            bridge.uart_rx.eq(self.uart_rx),
            self.uart_tx.eq(bridge.uart_tx),
            bridge.irq.eq(nic.irq),
            self.irq.eq(nic.irq),
        ]
        left = Signal(range(500 * self._config.clock_khz))  # Half a second.
        m.d.sync += self.host_seen.eq(left != 0)
        with m.If(bridge.heard):
            m.d.sync += left.eq(-1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return m

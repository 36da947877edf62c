"""The NIC as a LiteX module."""

# Ref: LiteX 2024.12, litex.soc.interconnect.axi

import re
from pathlib import Path
from typing import Any

from litex.build.generic_platform import Pins, Subsignal
from litex.gen import ClockSignal, LiteXModule, ResetSignal
from litex.soc.interconnect.axi import AXIInterface, AXILiteInterface
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import Instance, Signal

from ...hdl.config import NicConfig
from ...hdl.nic import CSR_ADDR_WIDTH_BITS
from ...hdl.verilog import NIC_TOP, Port, nic_ports, nic_verilog

__all__ = ["REGISTERS_OCTETS", "LiteXNic", "phy_io"]

REGISTERS_OCTETS = 1 << CSR_ADDR_WIDTH_BITS
_PINS = ("gmii_", "mdc", "mdio_")
_CHANNEL = re.compile(r"(s_axil|m_axi)_(aw|ar|w|r|b)(\w+)")


def phy_io(config: NicConfig, name: str = "nic_phy") -> tuple[object, ...]:
    """Return the pins to the PHY as a resource of a platform; `LiteXNic.connect_phy` joins them."""
    pins = [port for port in nic_ports(config) if port.name.startswith(_PINS)]
    return (name, 0, *(Subsignal(port.name, Pins(port.width_bits)) for port in pins))


class LiteXNic(LiteXModule):
    """The NIC in a LiteX SoC: registers on AXI4-Lite, memory on AXI4, an interrupt, and GMII.

    In a SoC named ``nic``, its Verilog beside that of the SoC::

        self.nic = LiteXNic(platform)
        self.nic.add_to(self)

    LiteX's converters join both buses to whatever bus the SoC has. Where the CPU has caches, software sees to them, or
    the DMA bus of the CPU does (``soc.dma_bus``).

    Timing
    ------
    Everything is in domain ``sys``, of ``config.clock_khz``. GMII is in the same domain: a PHY needs an adapter.

    Parameters
    ----------
    platform : GenericPlatform
        Of the SoC; gets the Verilog as a source.
    config : NicConfig or None
        Parameters of the NIC; None: the default ones.
    address_width : int
        Bits of an address of memory that go to the bus.
    folder : str or Path
        Where the Verilog is written.

    Members
    -------
    s_axil : AXILiteInterface
        Registers, ``REGISTERS_OCTETS`` of them.
    m_axi : AXIInterface
        Host memory.
    irq : Signal
        Interrupt line, a level. ``ev`` has it as the event ``nic``.
    phy_pins : list[Port]
        Names, widths and ways of those that follow.
    gmii_txd, gmii_tx_en, ..., mdc, mdio_o, mdio_oe, mdio_i : Signal
        The PHY, named as the ports of `Nic`.
    """

    def __init__(
        self,
        platform: Any,
        *,
        config: NicConfig | None = None,
        address_width: int = 32,
        folder: str | Path = "build/hardwire",
    ) -> None:
        config = NicConfig() if config is None else config
        self.config = config
        self.s_axil = AXILiteInterface(data_width=32, address_width=32)
        self.m_axi = AXIInterface(
            data_width=config.axi_width_bits, address_width=address_width, id_width=config.axi_id_width_bits
        )
        self.irq = Signal()
        self.ev = EventManager()
        self.ev.nic = EventSourceLevel(description="A queue of the NIC asks for attention.")
        self.ev.finalize()
        self.comb += self.ev.nic.trigger.eq(self.irq)

        self.phy_pins: list[Port] = []
        connections: dict[str, object] = {"i_clk": ClockSignal("sys"), "i_rst": ResetSignal("sys")}
        for port in nic_ports(config):
            if port.name not in ("clk", "rst"):
                connections[f"{'i' if port.is_input else 'o'}_{port.name}"] = self._wire(port)
        self.specials += Instance(NIC_TOP, **{name: wire for name, wire in connections.items() if wire is not None})
        self._add_source(platform, Path(folder))

    def _wire(self, port: Port) -> object:
        """Return what a port is connected to; None: nothing."""
        if port.name == "irq":
            return self.irq
        if port.name.startswith(_PINS):
            pin = Signal(port.width_bits, name=port.name)
            setattr(self, port.name, pin)
            self.phy_pins.append(port)
            return pin
        match = _CHANNEL.fullmatch(port.name)
        if match is None:  # For simulators.
            return 0 if port.is_input else None
        signal = getattr(getattr(getattr(self, match[1]), match[2]), match[3])
        if len(signal) == port.width_bits:
            return signal
        wire = Signal(port.width_bits, name=port.name)
        self.comb += wire.eq(signal) if port.is_input else signal.eq(wire)
        return wire

    def _add_source(self, platform: Any, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve() / f"{NIC_TOP}.v"
        path.write_text(nic_verilog(self.config))
        platform.add_source(str(path))

    def connect_phy(self, pads: Any) -> None:
        """Join the pins of `phy_io`, as the platform gives them."""
        for port in self.phy_pins:
            own, pin = getattr(self, port.name), getattr(pads, port.name)
            self.comb += own.eq(pin) if port.is_input else pin.eq(own)

    def add_to(self, soc: Any, *, name: str = "nic", origin: int | None = None) -> None:
        """Join the NIC to a SoC: registers as an uncached region, memory as a bus master, the interrupt.

        Parameters
        ----------
        soc : SoCCore
            The SoC, of which the NIC is the module ``name``.
        name : str
            Of the region, the master and the interrupt.
        origin : int or None
            Address of the registers; None: LiteX chooses one.
        """
        from litex.soc.integration.soc import SoCRegion

        region = SoCRegion(origin=origin, size=REGISTERS_OCTETS, cached=False)
        soc.bus.add_slave(name=name, slave=self.s_axil, region=region)
        getattr(soc, "dma_bus", soc.bus).add_master(name=f"{name}_dma", master=self.m_axi)
        if soc.irq.enabled:
            soc.irq.add(name, use_loc_if_exists=True)

"""A small LiteX SoC with the NIC: an example to start from."""

import json
import tempfile
from pathlib import Path
from typing import Any

from litex.build.generic_platform import GenericPlatform, Pins, Subsignal
from litex.gen import LiteXModule
from litex.soc.integration.soc_core import SoCCore
from migen import ClockDomain

from ...hdl.config import NicConfig
from ...hdl.verilog import NIC_TOP
from .litex_nic import LiteXNic, phy_io

__all__ = ["SOC_TOP", "NicSoc", "litex_package", "nic_platform"]

SOC_TOP = "hardwire_soc"
_MEMORY_OCTETS = 0x10000
_NIC_ORIGIN = 0x8000_0000  # Uncached with each of LiteX's CPUs; without one, LiteX would choose that of the CSRs.
_BAUD = 115_200
_PHY = "nic_phy"


def nic_platform(config: NicConfig) -> GenericPlatform:
    """Return a platform of no vendor with the pins that `NicSoc` asks for."""
    serial = ("serial", 0, Subsignal("tx", Pins(1)), Subsignal("rx", Pins(1)))
    return GenericPlatform("", [("clk", 0, Pins(1)), ("rst", 0, Pins(1)), serial, phy_io(config, _PHY)])


class _ClockReset(LiteXModule):
    """The SoC's clock and reset, straight from its pins."""

    def __init__(self, platform: Any) -> None:
        self.cd_sys = ClockDomain()
        self.comb += [self.cd_sys.clk.eq(platform.request("clk")), self.cd_sys.rst.eq(platform.request("rst"))]


class NicSoc(SoCCore):
    """The NIC and memory on a bus, and a host on the UART that reads and writes both (LiteX's UARTBone).

    ``cpu_type="vexriscv"`` and the like put a CPU there instead.

    Parameters
    ----------
    platform : GenericPlatform
        With the resources of `nic_platform`.
    config : NicConfig
        Parameters of the NIC.
    folder : str or Path
        Where the NIC's Verilog is written.
    options
        Those of ``SoCCore``.
    """

    def __init__(self, platform: Any, *, config: NicConfig, folder: str | Path, **options: Any) -> None:
        self.crg = _ClockReset(platform)
        defaults = {
            "cpu_type": None,
            "integrated_sram_size": _MEMORY_OCTETS,
            "uart_name": "uartbone",
            "uart_baudrate": _BAUD,
            "ident": "hardwire NIC in LiteX",
            "ident_version": False,
        }
        super().__init__(platform, clk_freq=config.clock_khz * 1000, **(defaults | options))
        self.nic = LiteXNic(platform, config=config, folder=folder)
        self.nic.add_to(self, origin=_NIC_ORIGIN)
        self.nic.connect_phy(platform.request(_PHY))


def litex_package(config: NicConfig) -> dict[str, str]:
    """Return the files of `NicSoc`, by name: its Verilog, that of the NIC, and where what is in its address space."""
    with tempfile.TemporaryDirectory() as folder:
        platform = nic_platform(config)
        soc = NicSoc(platform, config=config, folder=folder)
        output = platform.get_verilog(soc, name=SOC_TOP)
        nic = (Path(folder) / f"{NIC_TOP}.v").read_text()
    regions = {key: {"origin": area.origin, "size": area.size} for key, area in soc.bus.regions.items()}
    return {
        f"{SOC_TOP}.v": output.main_source,
        f"{NIC_TOP}.v": nic,
        f"{SOC_TOP}.json": json.dumps(regions, indent=2) + "\n",
        **output.data_files,
    }

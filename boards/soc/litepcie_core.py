"""A PCI Express card as one Verilog core: the NIC, LitePCIe, and the hard block of AMD's 7-series FPGAs."""

# Ref: Xilinx PG054, 7 Series FPGAs Integrated Block for PCI Express, 3.3

import tempfile
from pathlib import Path
from typing import Any

from litepcie.core import LitePCIeEndpoint
from litepcie.phy.s7pciephy import S7PCIEPHY
from litex.build.generic_platform import Pins, Subsignal
from litex.build.xilinx import Xilinx7SeriesPlatform
from litex.gen import ClockSignal, LiteXModule, ResetSignal
from migen import ClockDomain

from ...hdl.config import NicConfig
from ...hdl.verilog import NIC_TOP
from .litepcie_nic import LitePcieNic
from .litex_nic import REGISTERS_OCTETS, phy_io

__all__ = ["PCIE_TOP", "PcieCard", "litepcie_package", "pcie_platform"]

PCIE_TOP = "hardwire_pcie"
_DEVICE = "xc7k325t-ffg900-2"  # Of Genesys 2; nothing in the Verilog is its own.
_LANES = 4
_PHY = "nic_phy"
_CLASS_CODES = {"Class_Code_Base": "02", "Class_Code_Sub": "00", "Class_Code_Interface": "00"}  # Ethernet controller.


class PcieCard(LiteXModule):
    """The card: its clock is the 125 MHz of the hard block, given to the PHY's adapter as ``core_clk``.

    Parameters
    ----------
    platform : Xilinx7SeriesPlatform
        With the resources that `pcie_platform` has.
    config : NicConfig
        Parameters of the NIC.
    folder : str or Path
        Where the NIC's Verilog is written.
    """

    def __init__(self, platform: Any, *, config: NicConfig, folder: str | Path) -> None:
        self.cd_sys = ClockDomain()
        self.phy = phy = S7PCIEPHY(platform, platform.request("pcie_x4"), bar0_size=REGISTERS_OCTETS)
        phy.update_config({"Bar0_Scale": "Kilobytes", "Bar0_Size": REGISTERS_OCTETS // 1024, **_CLASS_CODES})
        self.endpoint = LitePCIeEndpoint(phy, endianness=phy.endianness)
        self.card = LitePcieNic(platform, self.endpoint, config=config, folder=folder)
        self.card.nic.connect_phy(platform.request(_PHY))
        self.comb += [
            self.cd_sys.clk.eq(ClockSignal("pcie")),
            self.cd_sys.rst.eq(ResetSignal("pcie")),
            platform.request("core_clk").eq(self.cd_sys.clk),
            platform.request("core_rst").eq(self.cd_sys.rst),
        ]


def pcie_platform(config: NicConfig) -> Any:
    """Return a 7-series platform with the pins that `PcieCard` asks for."""
    lanes = [Subsignal(f"{way}_{pole}", Pins(_LANES)) for way in ("rx", "tx") for pole in "pn"]
    pcie = ("pcie_x4", 0, *(Subsignal(name, Pins(1)) for name in ("rst_n", "clk_p", "clk_n")), *lanes)
    clock = [("core_clk", 0, Pins(1)), ("core_rst", 0, Pins(1))]
    return Xilinx7SeriesPlatform(_DEVICE, [pcie, *clock, phy_io(config, _PHY)], toolchain="vivado")


def litepcie_package(config: NicConfig) -> dict[str, str]:
    """Return the files of the card, by name: its Verilog, that of the NIC, and Vivado's commands for the hard block.

    Raises
    ------
    ValueError
        If the NIC's bus is not one that LitePCIe can carry, or its clock is not the hard block's.
    """
    if config.clock_khz != 125_000:
        raise ValueError(f"clock_khz must be 125000, that of the hard block, not {config.clock_khz!r}")
    with tempfile.TemporaryDirectory() as folder:
        platform = pcie_platform(config)
        card = PcieCard(platform, config=config, folder=folder)
        output = platform.get_verilog(card, name=PCIE_TOP)
        nic = (Path(folder) / f"{NIC_TOP}.v").read_text()
    # LitePCIe doubles the braces, for a template.
    commands = [line.replace("{{", "{").replace("}}", "}") for line in platform.toolchain.pre_synthesis_commands]
    return {
        f"{PCIE_TOP}.v": output.main_source,
        f"{NIC_TOP}.v": nic,
        f"{PCIE_TOP}_ip.tcl": "\n".join(commands) + "\n",
        **output.data_files,
    }

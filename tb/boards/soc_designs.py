"""The NIC in LiteX and behind LitePCIe, as one Verilog text with a host's side on ports."""

import re
import tempfile
from pathlib import Path

from litepcie.common import get_bar_mask, msi_layout, phy_layout
from litepcie.core import LitePCIeEndpoint
from litex.build.generic_platform import GenericPlatform, Pins, Subsignal
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from litex.soc.interconnect.axi import AXILiteInterface
from migen import ClockDomain, Signal

from hardwire.boards.soc.litepcie_nic import LitePcieNic
from hardwire.boards.soc.litex_nic import REGISTERS_OCTETS, phy_io
from hardwire.boards.soc.litex_soc import NicSoc, nic_platform
from hardwire.hdl.config import NicConfig
from hardwire.hdl.verilog import NIC_TOP

__all__ = ["litepcie_verilog", "litex_verilog"]

_TLP_WIDTH_BITS = 64
_REPEAT_CYCLES = 2000


def _convert(platform: GenericPlatform, design: LiteXModule, name: str, folder: str) -> str:
    text = platform.get_verilog(design, name=name).main_source
    # Memories start as they like: their files are elsewhere. The date would keep the build from being found again.
    return (
        re.sub(r"\$readmemh\(.*?\);|^// Date .*$", "", text, flags=re.MULTILINE)
        + (Path(folder) / f"{NIC_TOP}.v").read_text()
    )


def litex_verilog(**parameters: int) -> str:
    """Return `NicSoc`, module ``litex_soc``, with a host on AXI4-Lite ``host_*`` in place of the UART."""
    config = NicConfig(**parameters)
    platform = nic_platform(config)
    with tempfile.TemporaryDirectory() as folder:
        soc = NicSoc(platform, config=config, folder=folder, with_uart=False, with_timer=False, ident="")
        host = AXILiteInterface(data_width=32, address_width=32)
        platform.add_extension(host.get_ios("host"))
        soc.comb += host.connect_to_pads(platform.request("host"), mode="slave")
        soc.bus.add_master(name="host", master=host)
        return _convert(platform, soc, "litex_soc", folder)


class _TlpPins(LiteXModule):
    """A PHY for LitePCIe whose packets go to ports: ``up`` what the endpoint sends, ``down`` what the host sends."""

    data_width = _TLP_WIDTH_BITS
    endianness = "big"
    qword_aligned = False
    bar0_mask = get_bar_mask(REGISTERS_OCTETS)

    def __init__(self, platform: GenericPlatform) -> None:
        self.sink = stream.Endpoint(phy_layout(self.data_width))
        self.source = stream.Endpoint(phy_layout(self.data_width))
        self.msi = stream.Endpoint(msi_layout())
        self.id = Signal(16, reset=0x0100)
        self.max_request_size = Signal(16, reset=512)
        self.max_payload_size = Signal(16, reset=128)
        lines = [("dat", self.data_width), ("be", self.data_width // 8), *((n, 1) for n in ("first", "last", "valid"))]
        pins = [Subsignal(name, Pins(width)) for name, width in [*lines, ("ready", 1)]]
        platform.add_extension([("up", 0, *pins), ("down", 0, *pins), ("msi", 0, Pins(1))])
        up, down = platform.request("up"), platform.request("down")
        self.comb += [getattr(up, name).eq(getattr(self.sink, name)) for name, _ in lines]
        self.comb += [getattr(self.source, name).eq(getattr(down, name)) for name, _ in lines]
        self.comb += [self.sink.ready.eq(up.ready), down.ready.eq(self.source.ready)]
        self.comb += [platform.request("msi").eq(self.msi.valid), self.msi.ready.eq(1)]


class _Card(LiteXModule):
    def __init__(self, platform: GenericPlatform, config: NicConfig, folder: str) -> None:
        self.cd_sys = ClockDomain()
        self.comb += [self.cd_sys.clk.eq(platform.request("clk")), self.cd_sys.rst.eq(platform.request("rst"))]
        self.phy = _TlpPins(platform)
        self.endpoint = LitePCIeEndpoint(self.phy, endianness=self.phy.endianness)
        self.card = LitePcieNic(platform, self.endpoint, config=config, folder=folder, repeat_cycles=_REPEAT_CYCLES)
        self.card.nic.connect_phy(platform.request("nic_phy"))


def litepcie_verilog(**parameters: int) -> str:
    """Return `LitePcieNic` with its endpoint, module ``litepcie_card``, with the packets of PCI Express on ports."""
    config = NicConfig(**parameters)
    platform = GenericPlatform("", [("clk", 0, Pins(1)), ("rst", 0, Pins(1)), phy_io(config)])
    with tempfile.TemporaryDirectory() as folder:
        return _convert(platform, _Card(platform, config, folder), "litepcie_card", folder)

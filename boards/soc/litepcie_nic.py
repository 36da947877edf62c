"""The NIC behind LitePCIe: registers in BAR0, DMA to the host's memory, MSI."""

# Ref: LitePCIe 2024.12, litepcie.frontend.axi, litepcie.frontend.wishbone

from pathlib import Path
from typing import Any

from litepcie.frontend.axi import LitePCIeAXISlave
from litepcie.frontend.wishbone import LitePCIeWishboneMaster
from litex.gen import LiteXModule
from litex.gen.genlib.misc import WaitTimer
from litex.soc.interconnect.axi import Wishbone2AXILite
from migen import FSM, If, NextState, Signal

from ...hdl.config import NicConfig
from ...hdl.nic import CSR_ADDR_WIDTH_BITS
from ...stack.abi import TX_CPL
from .litex_nic import LiteXNic

__all__ = ["LitePcieMsi", "LitePcieNic"]

_UNDER_WAY_CYCLES = 64  # From LitePCIe's write queue through its packetizer and clock crossing into the hard block.
_REPEAT_CYCLES = 12_500  # 100 us at 125 MHz.


class LitePcieMsi(LiteXModule):
    """Make messages of an interrupt line.

    A message goes out when the line rises, after all that was written before: LitePCIe answers a write when it has
    queued it, so the line may rise before a completion is on its way. While the line stays high the message is
    repeated, for the driver counts on a level.

    Timing
    ------
    Domain ``sys``. Line to message: until ``written``, and 64 cycles.

    Parameters
    ----------
    repeat_cycles : int
        Between messages while the line stays high.

    Members
    -------
    irq : Signal
        The line.
    written : Signal
        No write waits in the queue.
    valid, ready : Signal
        A message goes out while both are high.
    """

    def __init__(self, *, repeat_cycles: int = _REPEAT_CYCLES) -> None:
        self.irq = Signal()
        self.written = Signal()
        self.valid = Signal()
        self.ready = Signal()
        self.under_way = under_way = WaitTimer(_UNDER_WAY_CYCLES)
        self.repeat = repeat = WaitTimer(repeat_cycles)
        self.fsm = fsm = FSM(reset_state="Low")
        fsm.act("Low", If(self.irq, NextState("Writes")))
        fsm.act("Writes", If(self.written, NextState("UnderWay")))
        fsm.act("UnderWay", under_way.wait.eq(1), If(under_way.done, NextState("Message")))
        fsm.act("Message", self.valid.eq(1), If(self.ready, NextState("High")))
        fsm.act(
            "High",
            repeat.wait.eq(1),
            If(~self.irq, NextState("Low")).Elif(repeat.done, NextState("Writes")),
        )


class LitePcieNic(LiteXModule):
    """The NIC as the function of a LitePCIe endpoint.

    BAR0 is the registers, so ``bar0_size`` of the PHY is `REGISTERS_OCTETS`. LitePCIe's AXI port has 32-bit addresses
    (a driver sets its DMA mask to 32 bits), one read under way, and whole beats: it writes over what the NIC leaves
    alone in the first and last beat of a buffer.

    Timing
    ------
    Everything is in domain ``sys``, of ``config.clock_khz``, the endpoint's clock.

    Parameters
    ----------
    platform : GenericPlatform
        Of the design; gets the NIC's Verilog as a source.
    endpoint : LitePCIeEndpoint
        To the host.
    config : NicConfig or None
        Parameters of the NIC; None: the default ones.
    folder : str or Path
        Where the NIC's Verilog is written.
    repeat_cycles : int
        See `LitePcieMsi`.

    Members
    -------
    nic : LiteXNic
        The NIC, with the pins to its PHY.

    Raises
    ------
    ValueError
        If a beat of the NIC's bus is not one or more of the endpoint's, or is longer than a completion.
    """

    def __init__(
        self,
        platform: Any,
        endpoint: Any,
        *,
        config: NicConfig | None = None,
        folder: str | Path = "build/hardwire",
        repeat_cycles: int = _REPEAT_CYCLES,
    ) -> None:
        config = NicConfig() if config is None else config
        phy = endpoint.phy
        widths_bits = [bits for bits in (32, 64, 128) if bits % phy.data_width == 0 and bits <= 8 * TX_CPL.size_octets]
        if config.axi_width_bits not in widths_bits:
            raise ValueError(
                f"axi_width_bits must be {' or '.join(map(str, widths_bits))} with an endpoint of {phy.data_width} "
                f"bits, not {config.axi_width_bits!r}"
            )
        self.nic = nic = LiteXNic(platform, config=config, folder=folder)

        # A constant for the decoder is a process that never runs in simulators.
        self.bar0 = LitePCIeWishboneMaster(
            endpoint,
            address_decoder=lambda adr: adr[CSR_ADDR_WIDTH_BITS:] == 0,
            qword_aligned=phy.qword_aligned,
        )
        self.registers = Wishbone2AXILite(self.bar0.wishbone, nic.s_axil)

        self.dma = dma = LitePCIeAXISlave(endpoint, data_width=config.axi_width_bits, id_width=config.axi_id_width_bits)
        self.comb += nic.m_axi.connect(dma.axi)

        self.msi = msi = LitePcieMsi(repeat_cycles=repeat_cycles)
        writer = dma.dma_wr
        self.comb += [
            msi.irq.eq(nic.irq),
            msi.written.eq(~dma.fifo_wr.source.valid & ~writer.splitter.source.valid & (writer.data_fifo.level == 0)),
            phy.msi.valid.eq(msi.valid),
            msi.ready.eq(phy.msi.ready),
        ]

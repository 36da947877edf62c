"""The whole network card."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import Axi4Signature, AxiLiteSignature
from .config import NicConfig

__all__ = ["ADDR_WIDTH_BITS", "CSR_ADDR_WIDTH_BITS", "Nic"]

ADDR_WIDTH_BITS = 64
CSR_ADDR_WIDTH_BITS = 16


class Nic(wiring.Component):
    """The whole network card: registers, TX queue, payload DMA, ARP cache, checksum, MAC.

    As Verilog (:func:`.verilog.nic_verilog`) it is the module ``hardwire_nic``, whose ports are ``clk``, ``rst`` and
    the members below, joined by ``_``: ``s_axil_awaddr``, ``m_axi_arid``, ``gmii_txd`` and so on.

    Timing
    ------
    One clock domain, ``sync``: ``clk`` with the synchronous active-high reset ``rst``. All outputs but ``idle``,
    ``wake_in`` and the probes come from registers.

    Parameters
    ----------
    config : NicConfig
        All parameters.

    Members
    -------
    s_axil : In(AxiLiteSignature(addr_width=16, data_width=32))
        The registers of :mod:`hardwire.stack.abi.regs`: ``awaddr[16] awvalid awready wdata[32] wstrb[4] wvalid wready
        bresp[2] bvalid bready araddr[16] arvalid arready rdata[32] rresp[2] rvalid rready``.
    m_axi : Out(Axi4Signature(addr_width=64, data_width=axi_width_bits, id_width=axi_id_width_bits))
        Host memory; W = axi_width_bits (64), I = config.axi_id_width_bits (4): ``arid[I] araddr[64] arlen[8] arsize[3]
        arburst[2] arvalid arready rid[I] rdata[W] rresp[2] rlast rvalid rready awid[I] awaddr[64] awlen[8] awsize[3]
        awburst[2] awvalid awready wdata[W] wstrb[W/8] wlast wvalid wready bid[I] bresp[2] bvalid bready``.
    gmii_txd, gmii_tx_en, gmii_tx_er : Out(8), Out(1), Out(1)
        To the PHY, one octet a cycle.
    irq : Out(1)
        Interrupt line of each TX queue, a level.
    idle : Out(1)
        No work, frame, bus transaction or register access inside, and nothing left to fetch. A running moderation timer
        does not count: ``wake_in`` tells it. While high, only a register access or the end of ``wake_in`` cycles can
        change anything.
    wake_in : Out(32)
        Cycles until the device starts something by itself; all ones: never. Valid while ``idle``.
    advance_stb, advance_cycles : In(1), In(32)
        Let all free-running counters jump ahead by so many cycles (less than ``wake_in``), besides the one of this
        clock edge. Only while ``idle``.
    probe_desc_stb, probe_desc_index : Out(1), Out(16)
        A descriptor was decoded: its ring index.
    probe_arp_stb, probe_arp_hit : Out(1), Out(1)
        The ARP cache answered a lookup of the transmit path.
    probe_csum_stb : Out(1)
        A frame's checksum is ready.
    probe_cpl_stb, probe_cpl_status, probe_cpl_index : Out(1), Out(8), Out(16)
        A completion is written: its status and index.
    """

    def __init__(self, *, config: NicConfig) -> None:
        if not isinstance(config, NicConfig):
            raise TypeError(f"config must be a NicConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "s_axil": In(AxiLiteSignature(addr_width=CSR_ADDR_WIDTH_BITS, data_width=32)),
                "m_axi": Out(
                    Axi4Signature(
                        addr_width=ADDR_WIDTH_BITS,
                        data_width=config.axi_width_bits,
                        id_width=config.axi_id_width_bits,
                    )
                ),
                "gmii_txd": Out(8),
                "gmii_tx_en": Out(1),
                "gmii_tx_er": Out(1),
                "irq": Out(1),
                "idle": Out(1),
                "wake_in": Out(32),
                "advance_stb": In(1),
                "advance_cycles": In(32),
                "probe_desc_stb": Out(1),
                "probe_desc_index": Out(16),
                "probe_arp_stb": Out(1),
                "probe_arp_hit": Out(1),
                "probe_csum_stb": Out(1),
                "probe_cpl_stb": Out(1),
                "probe_cpl_status": Out(8),
                "probe_cpl_index": Out(16),
            }
        )

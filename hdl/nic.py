"""The whole network card."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..stack.abi.desc import TxStatus
from .arp_port import ArpPort
from .axi import Axi4Signature, AxiLiteSignature
from .axi_mux import AxiReadMux
from .blocks import BLOCKS
from .config import NicConfig
from .counter import Counter
from .csr import CsrBank
from .mac.tx import MacTx
from .rmon import Rmon
from .stats import CounterBank
from .tx.decode import IMPLEMENTED_FLAGS
from .tx.ring import TxRing

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
    gmii_rxd, gmii_rx_dv, gmii_rx_er : In(8), In(1), In(1)
        From the PHY, one octet a cycle.
    mdc, mdio_o, mdio_oe, mdio_i : Out(1), Out(1), Out(1), In(1)
        Management interface of the PHY; the pin ``mdio`` is driven while ``mdio_oe`` is high.
    irq : Out(1)
        Interrupt line of queue 0 of either way, a level.
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
    probe_rx_stb : Out(1)
        A received frame is inside, whole and good.
    probe_rx_cpl_stb, probe_rx_cpl_status, probe_rx_cpl_index : Out(1), Out(8), Out(16)
        A completion of the receive queue is written: its status and index.
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
                "gmii_rxd": In(8),
                "gmii_rx_dv": In(1),
                "gmii_rx_er": In(1),
                "mdc": Out(1),
                "mdio_o": Out(1),
                "mdio_oe": Out(1),
                "mdio_i": In(1),
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
                "probe_rx_stb": Out(1),
                "probe_rx_cpl_stb": Out(1),
                "probe_rx_cpl_status": Out(8),
                "probe_rx_cpl_index": Out(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.bank = bank = CsrBank(queues=1, addr_width=CSR_ADDR_WIDTH_BITS)
        m.submodules.ring = ring = BLOCKS["tx_ring"](config)
        m.submodules.dma = dma = BLOCKS["dma_read"](config)
        m.submodules.read_mux = read_mux = AxiReadMux(
            axi_width_bits=config.axi_width_bits, id_width_bits=config.manager_id_width_bits, managers=2
        )
        m.submodules.cache = cache = BLOCKS["arp_cache"](config)
        m.submodules.arp_port = arp_port = ArpPort()
        m.submodules.path = path = BLOCKS["tx_path"](config)
        m.submodules.mac = mac = BLOCKS["mac_tx"](config)

        # From the ring to the wire, and back as a result.
        wiring.connect(m, ring.frame, path.frame)
        m.d.comb += [
            dma.request.valid.eq(ring.part.valid),
            ring.part.ready.eq(dma.request.ready),
            *(dma.request.payload[name].eq(ring.part.payload[name]) for name in ("addr", "length", "last")),
        ]
        wiring.connect(m, dma.o, path.i)
        wiring.connect(m, path.lookup, cache.lookup)
        wiring.connect(m, cache.result, path.found)
        wiring.connect(m, path.o, mac.i)
        m.d.comb += [
            path.done.valid.eq(mac.done.valid),
            path.done.payload.underrun.eq(mac.done.payload.underrun),
            path.abort.eq(ring.abort),
            self.gmii_txd.eq(mac.gmii_txd),
            self.gmii_tx_en.eq(mac.gmii_tx_en),
            self.gmii_tx_er.eq(mac.gmii_tx_er),
            self.irq.eq(ring.irq),
        ]
        wiring.connect(m, path.result, ring.result)

        # Host memory. IDs of a narrower manager are filled up with zeros.
        _connect_axi(m, ring.axi_read, read_mux.i[0])
        _connect_axi(m, dma.axi, read_mux.i[1])
        _connect_axi(m, read_mux.o, wiring.flipped(self.m_axi))
        _connect_axi(m, ring.axi_write, wiring.flipped(self.m_axi))

        # Registers.
        wiring.connect(m, wiring.flipped(self.s_axil), bank.bus)
        wiring.connect(m, arp_port.op, cache.op)
        wiring.connect(m, cache.op_result, arp_port.op_result)
        wiring.connect(m, bank.arp, arp_port.csr)
        resetting = self._reset(m, bank, ring, arp_port)
        drained = ring.idle & path.idle & dma.idle
        starting = Signal(range(config.arp_sets * config.arp_ways + 17), init=config.arp_sets * config.arp_ways + 16)
        with m.If(starting != 0):  # After reset the cache removes all entries.
            m.d.sync += starting.eq(starting - 1)
        self._device(m, bank.device, resetting=resetting, idle=drained & ~resetting, irq=ring.irq)
        counting = self._count(m, bank, ring, mac)

        m.d.comb += [
            self.idle.eq(drained & ~resetting & ~mac.busy & ~bank.busy & ~arp_port.busy & ~counting & (starting == 0)),
            self.wake_in.eq(ring.wake_in),
            ring.advance_stb.eq(self.advance_stb),
            ring.advance_cycles.eq(self.advance_cycles),
            self.probe_desc_stb.eq(ring.desc_stb),
            self.probe_desc_index.eq(ring.desc_index),
            self.probe_arp_stb.eq(path.found.valid & path.found.ready),
            self.probe_arp_hit.eq(path.found.payload.hit),
            self.probe_csum_stb.eq(path.summed),
            self.probe_cpl_stb.eq(ring.cpl_stb),
            self.probe_cpl_status.eq(ring.cpl_status),
            self.probe_cpl_index.eq(ring.cpl_index),
        ]
        return m

    def _reset(self, m: Module, bank: CsrBank, ring: TxRing, arp_port: ArpPort) -> Signal:
        """Join the queue to its registers; make the soft reset a reset of the queue and a flush of the cache."""
        resetting, settling = Signal(), Signal(3)
        soft_reset = bank.device.ctrl.soft_reset
        for path, member, value in bank.txq[0].signature.flatten(bank.txq[0]):
            other = ring.csr
            for name in path:
                other = getattr(other, name)
            if path == ("ctrl", "reset"):
                m.d.comb += other.eq(value | soft_reset)
            elif member.flow == Out:
                m.d.comb += other.eq(value)
            else:
                m.d.comb += value.eq(other)
        m.d.comb += arp_port.flush.eq(soft_reset)
        # The ring and the cache's port show a few cycles later that they are at it.
        m.d.sync += settling.eq(Cat(soft_reset, settling))
        with m.If(soft_reset):
            m.d.sync += resetting.eq(1)
        with m.Elif(~settling.any() & ~bank.txq[0].status.resetting & ~arp_port.busy):
            m.d.sync += resetting.eq(0)
        return resetting

    def _device(self, m: Module, device, *, resetting, idle, irq) -> None:
        """Fill in the registers of the whole device."""
        config = self._config
        m.submodules.cycles = cycles = Counter(add_width=32)
        m.d.sync += cycles.add.eq(Mux(self.advance_stb, self.advance_cycles, 0) + 1)
        m.d.comb += [
            device.queues.tx_queues.eq(1),
            device.queues.tx_ring_log2_max.eq(config.tx_ring_log2_max),
            device.widths.stream_octets.eq(config.stream_width_bits // 8),
            device.widths.axi_octets.eq(config.axi_width_bits // 8),
            device.widths.arp_sets_log2.eq(ceil_log2(config.arp_sets)),
            device.widths.arp_ways.eq(config.arp_ways),
            device.limits.max_frame_octets.eq(config.max_frame_octets),
            device.features.tx_flags.eq(IMPLEMENTED_FLAGS),
            device.clock.khz.eq(config.clock_khz),
            device.status.resetting.eq(resetting | device.ctrl.soft_reset),
            device.status.idle.eq(idle),
            device.irq.tx.eq(irq),
            device.cycles.value.eq(cycles.value),
        ]

    def _count(self, m: Module, bank: CsrBank, ring: TxRing, mac: MacTx) -> Signal:
        """Count what becomes of frames; tell if the counters are at it."""
        m.submodules.stats = stats = CounterBank()
        m.submodules.tx_rmon = tx_rmon = Rmon(way="tx")
        wiring.connect(m, bank.stats, stats.window)
        add, done = stats.add, mac.done.payload
        m.d.comb += [
            tx_rmon.frame.valid.eq(mac.done.valid & ~done.underrun),
            tx_rmon.frame.payload.octets.eq(done.octets),
            *(add[name].eq(tx_rmon.add[name]) for name in tx_rmon.add.shape().members),
            add.tx_underruns.eq(mac.done.valid & done.underrun),
            add.tx_cpl_retries.eq(ring.cpl_retried),
        ]
        with m.If(ring.cpl_stb):
            with m.Switch(ring.cpl_status):
                with m.Case(TxStatus.OK, TxStatus.UNDERRUN):
                    pass
                with m.Case(TxStatus.RESOLVE_MISS):
                    m.d.comb += add.tx_resolve_misses.eq(1)
                with m.Case(TxStatus.PAYLOAD_ERROR, TxStatus.DESC_ERROR):
                    m.d.comb += add.tx_bus_errors.eq(1)
                with m.Case(TxStatus.ABORTED):
                    m.d.comb += add.tx_aborted.eq(1)
                with m.Default():
                    m.d.comb += add.tx_refused.eq(1)
        return stats.busy


def _connect_axi(m: Module, manager, bus) -> None:
    """Connect the channels that a manager has to a bus that may have more and wider IDs."""
    for name, member in manager.signature.members.items():
        if member.flow == Out:
            m.d.comb += getattr(bus, name).eq(getattr(manager, name))
        else:
            m.d.comb += getattr(manager, name).eq(getattr(bus, name))

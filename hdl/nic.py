"""The whole network card."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..stack.abi.desc import RxFlags, TxStatus
from ..stack.abi.regs import RxFeatures
from .arp_cache import ArpCache
from .arp_port import ArpPort
from .axi import Axi4Signature, AxiLiteSignature, connect_axi
from .axi_mux import AxiReadMux, AxiWriteMux
from .blocks import BLOCKS
from .config import NicConfig
from .counter import Counter
from .csr import CsrBank
from .dma.read import DmaRead
from .mac.mdio import Mdio
from .mac.rx import MacRx
from .mac.tx import MacTx
from .rmon import Rmon, RxRmon
from .rx.path import RxPath
from .rx.ring import RxRing
from .stats import CounterBank
from .tx.decode import IMPLEMENTED_FLAGS
from .tx.path import TxPath
from .tx.ring import TxRing

__all__ = ["ADDR_WIDTH_BITS", "CSR_ADDR_WIDTH_BITS", "Nic"]

ADDR_WIDTH_BITS = 64
CSR_ADDR_WIDTH_BITS = 16
_RX_FEATURES = RxFeatures.CSUM | RxFeatures.VLAN_STRIP | RxFeatures.VLAN_FILTER
_PHY_ENABLES = {"tx_enable": In(1, init=1), "rx_enable": In(1, init=1), "odd_nibble": In(1)}
_BAD_CHECKSUM = RxFlags.CSUM_IPV4_BAD | RxFlags.CSUM_L4_BAD


class Nic(wiring.Component):
    """The whole network card: registers, a queue each way, DMA, ARP cache, checksums both ways, filters, MAC.

    As Verilog (:func:`.verilog.nic_verilog`) it is the module ``hardwire_nic``, whose ports are ``clk``, ``rst`` and
    the members below, joined by ``_``: ``s_axil_awaddr``, ``m_axi_arid``, ``gmii_txd`` and so on.

    Timing
    ------
    One clock domain, ``sync``: ``clk`` with the synchronous active-high reset ``rst``. All outputs but ``irq``
    (gates), ``idle``, ``wake_in`` and the probes come from registers.

    Parameters
    ----------
    config : NicConfig
        All parameters.
    phy_enables : bool
        Have ``tx_enable``, ``rx_enable`` and ``odd_nibble``.

    Members
    -------
    s_axil : In(AxiLiteSignature(addr_width=16, data_width=32))
        The registers of :mod:`hardwire.stack.abi.regs`: ``awaddr[16] awvalid awready wdata[32] wstrb[4] wvalid wready
        bresp[2] bvalid bready araddr[16] arvalid arready rdata[32] rresp[2] rvalid rready``.
    m_axi : Out(Axi4Signature(addr_width=64, data_width=axi_width_bits, id_width=axi_id_width_bits))
        Host memory; W = axi_width_bits (64), I = config.axi_id_width_bits (5): ``arid[I] araddr[64] arlen[8] arsize[3]
        arburst[2] arvalid arready rid[I] rdata[W] rresp[2] rlast rvalid rready awid[I] awaddr[64] awlen[8] awsize[3]
        awburst[2] awvalid awready wdata[W] wstrb[W/8] wlast wvalid wready bid[I] bresp[2] bvalid bready``.
    gmii_txd, gmii_tx_en, gmii_tx_er : Out(8), Out(1), Out(1)
        To the PHY, one octet a cycle.
    gmii_rxd, gmii_rx_dv, gmii_rx_er : In(8), In(1), In(1)
        From the PHY, one octet a cycle.
    tx_enable, rx_enable, odd_nibble : In(1), In(1), In(1)
        With ``phy_enables``: what a PHY's adapter says (`.phy.core.join_core`). Without, each cycle has an octet.
    mdc, mdio_o, mdio_oe, mdio_i : Out(1), Out(1), Out(1), In(1)
        Management interface of the PHY; the pin ``mdio`` is driven while ``mdio_oe`` is high.
    irq : Out(1)
        Interrupt line of queue 0 of either way, a level.
    idle : Out(1)
        No work, frame, bus transaction or register access inside, and nothing left to fetch. A running moderation timer
        does not count, ``wake_in`` tells it; nor does the gap after a frame. While high, only a register access or the
        end of ``wake_in`` cycles can change anything.
    wake_in : Out(32)
        The device starts nothing by itself for so many cycles, perhaps for more; all ones: never. Valid while ``idle``.
    advance_stb, advance_cycles : In(1), In(32)
        Let all free-running counters jump ahead by so many cycles (less than ``wake_in``), besides the one of this
        clock edge. Only while ``idle``, or while the device waits for host memory and nothing else in it changes.
    probe_desc_stb, probe_desc_index : Out(1), Out(16)
        A descriptor was decoded: its ring index.
    probe_arp_stb, probe_arp_hit : Out(1), Out(1)
        The ARP cache answered a lookup of the transmit path.
    probe_stage_stb : Out(1)
        The last octets of a frame to send have come from host memory; it waits for its turn at the MAC.
    probe_csum_stb : Out(1)
        A frame's checksum is ready.
    probe_cpl_stb, probe_cpl_status, probe_cpl_index : Out(1), Out(8), Out(16)
        A completion is written: its status and index.
    probe_rx_stb : Out(1)
        A received frame is inside, whole and good.
    probe_rx_filtered_stb, probe_rx_missed_stb : Out(1), Out(1)
        A good frame was left out: its address is none of ours; there was no room.
    probe_rx_cpl_stb, probe_rx_cpl_status, probe_rx_cpl_index : Out(1), Out(8), Out(16)
        A completion of the receive queue is written: its status and index.
    """

    def __init__(self, *, config: NicConfig, phy_enables: bool = False) -> None:
        if not isinstance(config, NicConfig):
            raise TypeError(f"config must be a NicConfig, not {config!r}")
        self._config = config
        self._phy_enables = phy_enables
        super().__init__(
            {
                **(_PHY_ENABLES if phy_enables else {}),
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
                "probe_stage_stb": Out(1),
                "probe_csum_stb": Out(1),
                "probe_cpl_stb": Out(1),
                "probe_cpl_status": Out(8),
                "probe_cpl_index": Out(16),
                "probe_rx_stb": Out(1),
                "probe_rx_filtered_stb": Out(1),
                "probe_rx_missed_stb": Out(1),
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
        m.submodules.cache = cache = BLOCKS["arp_cache"](config)
        m.submodules.arp_port = arp_port = ArpPort()
        m.submodules.path = path = BLOCKS["tx_path"](config)
        m.submodules.mac = mac = BLOCKS["mac_tx"](config)
        m.submodules.rx_mac = rx_mac = BLOCKS["mac_rx"](config)
        m.submodules.rx_path = rx_path = BLOCKS["rx_path"](config)
        m.submodules.rx_ring = rx_ring = BLOCKS["rx_ring"](config)

        self._transmit(m, ring, dma, path, cache, mac)
        self._receive(m, rx_mac, rx_path, rx_ring)
        self._memory(
            m,
            reads=(ring.axi_read, dma.axi, rx_ring.axi_read),
            writes=(ring.axi_write, rx_ring.axi_write, rx_ring.axi_write_completion),
        )

        # Registers.
        wiring.connect(m, wiring.flipped(self.s_axil), bank.bus)
        wiring.connect(m, arp_port.op, cache.op)
        wiring.connect(m, cache.op_result, arp_port.op_result)
        wiring.connect(m, bank.arp, arp_port.csr)
        resetting = self._reset(m, bank, {bank.txq[0]: ring, bank.rxq[0]: rx_ring}, arp_port, rx_path)
        self._select(m, bank, rx_mac, rx_path)
        m.submodules.mdio = mdio = Mdio(clock_khz=config.clock_khz)
        for name in ("mdio", "mdio_status"):
            wiring.connect(m, getattr(bank.mac, name), getattr(mdio.csr, name))
        m.d.comb += mdio.mdio_i.eq(self.mdio_i)
        m.d.comb += [getattr(self, name).eq(getattr(mdio, name)) for name in ("mdc", "mdio_o", "mdio_oe")]
        rings_idle = ring.idle & rx_ring.idle
        # After reset the cache removes all entries.
        start_cycles = config.arp_sets * config.arp_ways + 16
        left, starting = Signal(range(start_cycles + 1), init=start_cycles), Signal(init=1)
        with m.If(starting):
            m.d.sync += [left.eq(left - 1), starting.eq(left != 0)]
        counting = self._count(m, bank, ring, mac)
        receiving = self._count_received(m, m.submodules.stats, rx_mac, rx_path, rx_ring)
        # None of these becomes busy but while one of those that `idle` names is; so it may be late.
        working, besides = Signal(4), Signal(3, init=-1)
        m.d.sync += [
            working.eq(Cat(~path.idle, ~dma.idle, rx_path.busy, resetting)),
            besides.eq(Cat(mdio.busy, counting | receiving, starting)),
        ]
        self._device(m, bank.device, resetting=resetting, idle=rings_idle & ~working.any(), rings=(ring, rx_ring))

        m.d.comb += [
            self.irq.eq(ring.irq | rx_ring.irq),
            self.idle.eq(rings_idle & ~Cat(working, besides, mac.busy, rx_mac.busy, bank.busy, arp_port.busy).any()),
            self.wake_in.eq(ring.wake_in & rx_ring.wake_in),  # No more than either.
            *(timer.advance_stb.eq(self.advance_stb) for timer in (ring, rx_ring, mac)),
            *(timer.advance_cycles.eq(self.advance_cycles) for timer in (ring, rx_ring, mac)),
            self.probe_desc_stb.eq(ring.desc_stb),
            self.probe_desc_index.eq(ring.desc_index),
            self.probe_arp_stb.eq(path.found.valid & path.found.ready),
            self.probe_arp_hit.eq(path.found.payload.hit),
            self.probe_stage_stb.eq(dma.o.valid & dma.o.ready & dma.o.payload.last),
            self.probe_csum_stb.eq(path.summed),
            self.probe_cpl_stb.eq(ring.cpl_stb),
            self.probe_cpl_status.eq(ring.cpl_status),
            self.probe_cpl_index.eq(ring.cpl_index),
            self.probe_rx_stb.eq(rx_path.stored),
            self.probe_rx_filtered_stb.eq(rx_path.filtered),
            self.probe_rx_missed_stb.eq(rx_path.missed),
            self.probe_rx_cpl_stb.eq(rx_ring.cpl_stb),
            self.probe_rx_cpl_status.eq(rx_ring.cpl_status),
            self.probe_rx_cpl_index.eq(rx_ring.cpl_index),
        ]
        return m

    def _transmit(self, m: Module, ring: TxRing, dma: DmaRead, path: TxPath, cache: ArpCache, mac: MacTx) -> None:
        """Join what leads from the ring to the wire, and back as a result."""
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
        wiring.connect(m, path.tag, mac.tag)
        m.d.comb += [
            path.abort.eq(ring.abort),
            self.gmii_txd.eq(mac.gmii_txd),
            self.gmii_tx_en.eq(mac.gmii_tx_en),
            self.gmii_tx_er.eq(mac.gmii_tx_er),
        ]
        wiring.connect(m, path.result, ring.result)
        if self._phy_enables:
            m.d.comb += mac.enable.eq(self.tx_enable)

    def _receive(self, m: Module, rx_mac: MacRx, rx_path: RxPath, rx_ring: RxRing) -> None:
        """Join what leads from the wire to the ring."""
        m.d.comb += [getattr(rx_mac, name).eq(getattr(self, name)) for name in ("gmii_rxd", "gmii_rx_dv", "gmii_rx_er")]
        if self._phy_enables:
            m.d.comb += [rx_mac.enable.eq(self.rx_enable), rx_mac.odd_nibble.eq(self.odd_nibble)]
        m.d.comb += [rx_path.i.payload.eq(rx_mac.o.payload), rx_path.i.valid.eq(rx_mac.o.valid)]
        m.d.comb += [rx_path.end.payload.eq(rx_mac.end.payload), rx_path.end.valid.eq(rx_mac.end.valid)]
        wiring.connect(m, rx_path.frame, rx_ring.frame)
        wiring.connect(m, rx_path.o, rx_ring.i)
        m.d.comb += rx_path.drop.eq(rx_ring.drop)

    def _memory(self, m: Module, *, reads, writes) -> None:
        """Join the managers to host memory. IDs of a narrower manager are filled up with zeros."""
        config = self._config
        parameters = {"axi_width_bits": config.axi_width_bits, "id_width_bits": config.manager_id_width_bits}
        m.submodules.read_mux = read_mux = AxiReadMux(managers=len(reads), **parameters)
        m.submodules.write_mux = write_mux = AxiWriteMux(managers=len(writes), **parameters)
        for mux, managers in ((read_mux, reads), (write_mux, writes)):
            for manager, port in zip(managers, mux.i, strict=True):
                connect_axi(m, manager, port)
            connect_axi(m, mux.o, wiring.flipped(self.m_axi))

    def _reset(self, m: Module, bank: CsrBank, queues, arp_port: ArpPort, rx_path: RxPath) -> Signal:
        """Join the queues to their registers; make the soft reset one of them, of the cache and of the VLANs."""
        resetting, settling = Signal(), Signal(3)
        soft_reset = bank.device.ctrl.soft_reset
        for registers, queue in queues.items():
            for path, member, value in registers.signature.flatten(registers):
                other = queue.csr
                for name in path:
                    other = getattr(other, name)
                if path == ("ctrl", "reset"):
                    m.d.comb += other.eq(value | soft_reset)
                elif member.flow == Out:
                    m.d.comb += other.eq(value)
                else:
                    m.d.comb += value.eq(other)
        empty = Signal()  # The table of VLANs was emptied since power-up.
        m.d.sync += empty.eq(1)
        m.d.comb += [arp_port.flush.eq(soft_reset), rx_path.clear.eq(soft_reset | ~empty)]
        # They show a few cycles later that they are at it.
        m.d.sync += settling.eq(Cat(soft_reset, settling))
        at_it = Cat(registers.status.resetting for registers in queues).any() | arp_port.busy | rx_path.clearing
        with m.If(soft_reset):
            m.d.sync += resetting.eq(1)
        with m.Elif(~settling.any() & ~at_it):
            m.d.sync += resetting.eq(0)
        return resetting

    def _select(self, m: Module, bank: CsrBank, rx_mac: MacRx, rx_path: RxPath) -> None:
        """Join the registers that say what to receive."""
        mac = bank.mac
        m.d.comb += [
            rx_mac.vlan_strip.eq(mac.rx_ctrl.vlan_strip),
            rx_path.address.eq(mac.addr.value),
            rx_path.hash.eq(mac.hash.value),
            *(
                getattr(rx_path, name).eq(getattr(mac.rx_ctrl, name))
                for name in ("promiscuous", "all_multicast", "broadcast", "vlan_filter")
            ),
            rx_path.vlan_write.eq(mac.vlan.stb),
            rx_path.vlan_vid.eq(mac.vlan.vid),
            rx_path.vlan_member.eq(mac.vlan.member),
        ]

    def _device(self, m: Module, device, *, resetting, idle, rings) -> None:
        """Fill in the registers of the whole device."""
        config = self._config
        m.submodules.cycles = cycles = Counter(add_width=32)
        m.d.sync += device.status.idle.eq(idle)  # A read takes a cycle more than this.
        m.d.sync += cycles.add.eq(self.advance_cycles)
        with m.If(~self.advance_stb):
            m.d.sync += cycles.add.eq(0)
        m.d.comb += [
            device.queues.tx_queues.eq(1),
            device.queues.rx_queues.eq(1),
            device.queues.tx_ring_log2_max.eq(config.tx_ring_log2_max),
            device.queues.rx_ring_log2_max.eq(config.rx_ring_log2_max),
            device.widths.stream_octets.eq(config.stream_width_bits // 8),
            device.widths.axi_octets.eq(config.axi_width_bits // 8),
            device.widths.arp_sets_log2.eq(ceil_log2(config.arp_sets)),
            device.widths.arp_ways.eq(config.arp_ways),
            device.limits.max_frame_octets.eq(config.max_frame_octets),
            device.features.tx_flags.eq(IMPLEMENTED_FLAGS),
            device.features.rx_features.eq(_RX_FEATURES),
            device.clock.khz.eq(config.clock_khz),
            device.status.resetting.eq(resetting | device.ctrl.soft_reset),
            device.irq.tx.eq(rings[0].irq),
            device.irq.rx.eq(rings[1].irq),
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
            *(tx_rmon.frame.payload[name].eq(done[name]) for name in ("octets", "broadcast", "multicast")),
            *(add[name].eq(tx_rmon.add[name]) for name in tx_rmon.add.shape().members),
            add.tx_underruns.eq(mac.done.valid & done.underrun),
            add.tx_cpl_retries.eq(ring.cpl_retried),
        ]
        completed, status = Signal(), Signal.like(ring.cpl_status)
        m.d.sync += [completed.eq(ring.cpl_stb), status.eq(ring.cpl_status)]
        with m.If(completed):
            with m.Switch(status):
                with m.Case(TxStatus.OK):
                    pass
                with m.Case(TxStatus.RESOLVE_MISS):
                    m.d.comb += add.tx_resolve_misses.eq(1)
                with m.Case(TxStatus.PAYLOAD_ERROR, TxStatus.DESC_ERROR):
                    m.d.comb += add.tx_bus_errors.eq(1)
                with m.Case(TxStatus.ABORTED):
                    m.d.comb += add.tx_aborted.eq(1)
                with m.Default():
                    m.d.comb += add.tx_refused.eq(1)
        return stats.busy | completed

    def _count_received(self, m: Module, stats: CounterBank, rx_mac: MacRx, rx_path: RxPath, rx_ring: RxRing) -> Value:
        """Count what comes in, and what becomes of it; tell if something is about to be counted."""
        m.submodules.rx_rmon = rmon = RxRmon()
        add, flags = stats.add, rx_ring.delivered_flags
        filtered, missed = Signal(), Signal()  # The verdict comes late in its cycle.
        m.d.sync += [filtered.eq(rx_path.filtered), missed.eq(rx_path.missed)]
        m.d.comb += [
            rmon.end.valid.eq(rx_mac.end.valid),
            rmon.end.payload.eq(rx_mac.end.payload),
            *(add[name].eq(rmon.add[name]) for name in rmon.add.shape().members),
            add.rx_delivered.eq(rx_ring.delivered),
            add.rx_filtered.eq(filtered),
            add.rx_missed.eq(missed),
            add.rx_no_buffer.eq(rx_ring.no_buffer),
            add.rx_disabled.eq(rx_ring.disabled),
            add.rx_bus_errors.eq(rx_ring.bus_error),
            add.rx_refused.eq(rx_ring.refused),
            add.rx_csum_errors.eq(rx_ring.delivered & (flags & _BAD_CHECKSUM).any()),
            add.rx_vlan.eq(rx_ring.delivered & (flags & RxFlags.VLAN).any()),
            add.rx_cpl_retries.eq(rx_ring.cpl_retried),
        ]
        return filtered | missed

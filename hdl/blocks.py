"""The blocks that a NIC is made of, each with the parameters that a NIC's configuration gives it."""

from collections.abc import Callable

from amaranth.lib import wiring

from .arp_cache import ArpCache
from .config import NicConfig
from .dma.read import DmaRead
from .dma.write import DmaWrite
from .mac.rx import MacRx
from .mac.tx import MacTx
from .rx.checksum import RxChecksum
from .rx.path import RxPath
from .rx.ring import RxRing
from .tx.checksum import TxChecksum
from .tx.path import TxPath
from .tx.ring import TxRing

__all__ = ["BLOCKS"]

BLOCKS: dict[str, Callable[[NicConfig], wiring.Component]] = {
    "tx_ring": lambda config: TxRing(
        axi_width_bits=config.axi_width_bits,
        id_width_bits=config.manager_id_width_bits,
        ring_log2_max=config.tx_ring_log2_max,
    ),
    "dma_read": lambda config: DmaRead(
        stream_width_bits=config.stream_width_bits,
        axi_width_bits=config.axi_width_bits,
        outstanding=config.dma_outstanding,
    ),
    "arp_cache": lambda config: ArpCache(sets=config.arp_sets, ways=config.arp_ways),
    "tx_path": lambda config: TxPath(width_bits=config.stream_width_bits, max_frame_octets=config.max_frame_octets),
    # A part of tx_path.
    "checksum": lambda config: TxChecksum(
        width_bits=config.stream_width_bits, max_frame_octets=config.max_frame_octets
    ),
    "rx_path": lambda config: RxPath(
        width_bits=config.stream_width_bits,
        buffer_octets=config.rx_buffer_octets,
        max_frame_octets=config.max_frame_octets,
    ),
    # A part of rx_path.
    "rx_checksum": lambda config: RxChecksum(
        width_bits=config.stream_width_bits, max_frame_octets=config.max_frame_octets
    ),
    "mac_rx": lambda config: MacRx(width_bits=config.stream_width_bits, max_frame_octets=config.max_frame_octets),
    "mac_tx": lambda config: MacTx(width_bits=config.stream_width_bits),
    "rx_ring": lambda config: RxRing(
        stream_width_bits=config.stream_width_bits,
        axi_width_bits=config.axi_width_bits,
        id_width_bits=config.manager_id_width_bits,
        ring_log2_max=config.rx_ring_log2_max,
    ),
    # A part of rx_ring.
    "dma_write": lambda config: DmaWrite(
        stream_width_bits=config.stream_width_bits, axi_width_bits=config.axi_width_bits
    ),
}

"""What a NIC of ours says of itself."""

from dataclasses import dataclass
from errno import ENODEV
from typing import TYPE_CHECKING

from ...abi.desc import TxFlags
from ...abi.regs import DEVICE_ID, GLOBAL, VERSION, RxFeatures
from ...core.netdevice import (
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_HW_NEIGH,
    NETIF_F_HW_VLAN_CTAG_FILTER,
    NETIF_F_HW_VLAN_CTAG_RX,
    NETIF_F_HW_VLAN_CTAG_TX,
    NETIF_F_RXCSUM,
    NETIF_F_SG,
)

if TYPE_CHECKING:
    from ..bus import Mmio

__all__ = ["Parameters"]

_RX_FEATURES = {
    RxFeatures.CSUM: NETIF_F_RXCSUM,
    RxFeatures.VLAN_STRIP: NETIF_F_HW_VLAN_CTAG_RX,
    RxFeatures.VLAN_FILTER: NETIF_F_HW_VLAN_CTAG_FILTER,
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a device says of itself in its registers."""

    version: tuple[int, int, int]
    tx_queues: int
    tx_ring_log2_max: int
    rx_queues: int
    rx_ring_log2_max: int
    stream_octets: int
    axi_octets: int
    arp_sets: int
    arp_ways: int
    max_frame_octets: int
    tx_flags: TxFlags
    rx_features: RxFeatures
    clock_khz: int

    @classmethod
    def read(cls, mmio: "Mmio") -> "Parameters":
        """Read identity, version and parameters.

        Raises
        ------
        OSError
            ``ENODEV`` for another device, or one whose contract this driver does not know.
        """

        def fields(name: str) -> dict[str, int]:
            register = GLOBAL[name]
            return register.unpack(mmio.read32(GLOBAL.address(register)))

        identity = fields("ID")["value"]
        if identity != DEVICE_ID:
            raise OSError(ENODEV, f"no hardwire NIC here: its identity is {identity:#010x}, not {DEVICE_ID:#010x}")
        version = fields("VERSION")
        if version["major"] != VERSION[0]:
            spoken = f"{version['major']}.{version['minor']}.{version['patch']}"
            raise OSError(ENODEV, f"the NIC has register version {spoken}; this driver knows {VERSION[0]}.x only")
        queues, widths, features = fields("QUEUES"), fields("WIDTHS"), fields("FEATURES")
        return cls(
            version=(version["major"], version["minor"], version["patch"]),
            tx_queues=queues["tx_queues"],
            tx_ring_log2_max=queues["tx_ring_log2_max"],
            rx_queues=queues["rx_queues"],
            rx_ring_log2_max=queues["rx_ring_log2_max"],
            stream_octets=widths["stream_octets"],
            axi_octets=widths["axi_octets"],
            arp_sets=1 << widths["arp_sets_log2"],
            arp_ways=widths["arp_ways"],
            max_frame_octets=fields("LIMITS")["max_frame_octets"],
            tx_flags=TxFlags(features["tx_flags"]),
            rx_features=RxFeatures(features["rx_features"]),
            clock_khz=fields("CLOCK")["khz"],
        )

    @property
    def features(self) -> int:
        """``NETIF_F_*`` bits that follow from it."""
        features = NETIF_F_SG | NETIF_F_HIGHDMA
        checksum = TxFlags.CSUM_PARTIAL | TxFlags.CSUM_IPV4
        if self.tx_flags & checksum == checksum:
            features |= NETIF_F_HW_CSUM
        if self.tx_flags & TxFlags.RESOLVE and self.arp_ways:
            features |= NETIF_F_HW_NEIGH
        if self.tx_flags & TxFlags.VLAN:
            features |= NETIF_F_HW_VLAN_CTAG_TX
        if self.rx_queues:
            features |= sum(flag for feature, flag in _RX_FEATURES.items() if self.rx_features & feature)
        return features

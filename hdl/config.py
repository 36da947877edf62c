"""Parameters of the whole NIC. Imports nothing of Amaranth: a warm start of the simulator only hashes them."""

from dataclasses import dataclass

__all__ = ["NicConfig"]


@dataclass(frozen=True, slots=True)
class NicConfig:
    """Parameters of the whole NIC.

    Parameters
    ----------
    stream_width_bits : int
        Width of a packet stream inside the device: 32, 64 or 128.
    axi_width_bits : int
        Width of the host bus: 32 to 512, a power of two.
    tx_ring_log2_max, rx_ring_log2_max : int
        Largest ring each way, as log2 of its descriptors.
    rx_buffer_octets : int
        Room for received frames on their way to host memory, a power of two.
    arp_sets, arp_ways : int
        Shape of the ARP cache.
    max_frame_octets : int
        Longest frame, without FCS.
    clock_khz : int
        Frequency of the core clock.
    dma_outstanding : int
        Payload reads that the device keeps under way.

    Raises
    ------
    TypeError
        If a parameter is not an int.
    ValueError
        If one is out of its range.
    """

    stream_width_bits: int = 64
    axi_width_bits: int = 64
    tx_ring_log2_max: int = 15
    rx_ring_log2_max: int = 15
    rx_buffer_octets: int = 16384
    arp_sets: int = 64
    arp_ways: int = 4
    max_frame_octets: int = 9018
    clock_khz: int = 125_000
    dma_outstanding: int = 8

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if type(getattr(self, name)) is not int:
                raise TypeError(f"{name} must be an int, not {getattr(self, name)!r}")
        if self.stream_width_bits not in (32, 64, 128):
            raise ValueError(f"stream_width_bits must be 32, 64 or 128, not {self.stream_width_bits!r}")
        if self.axi_width_bits not in (32, 64, 128, 256, 512):
            raise ValueError(f"axi_width_bits must be 32, 64, 128, 256 or 512, not {self.axi_width_bits!r}")
        for name in ("tx_ring_log2_max", "rx_ring_log2_max"):
            if not 1 <= getattr(self, name) <= 15:
                raise ValueError(f"{name} must be in 1..15, not {getattr(self, name)!r}")
        if self.arp_sets not in (1 << n for n in range(2, 13)):
            raise ValueError(f"arp_sets must be a power of two in 4..4096, not {self.arp_sets!r}")
        if self.arp_ways not in (1, 2, 4):
            raise ValueError(f"arp_ways must be 1, 2 or 4, not {self.arp_ways!r}")
        if not 64 <= self.max_frame_octets <= 16_000:
            raise ValueError(f"max_frame_octets must be in 64..16000, not {self.max_frame_octets!r}")
        if (
            self.rx_buffer_octets not in (1 << n for n in range(11, 18))
            or self.rx_buffer_octets < self.max_frame_octets
        ):
            raise ValueError(
                f"rx_buffer_octets must be a power of two in 2048..131072 that a frame fits in, "
                f"not {self.rx_buffer_octets!r}"
            )
        if not 1 <= self.clock_khz < 1 << 32:
            raise ValueError(f"clock_khz must be in 1..4294967295, not {self.clock_khz!r}")
        if self.dma_outstanding not in (2, 4, 8, 16):
            raise ValueError(f"dma_outstanding must be 2, 4, 8 or 16, not {self.dma_outstanding!r}")

    @property
    def axi_id_width_bits(self) -> int:
        """Bits of a transaction ID on the host bus: those of a manager inside and two that name it."""
        return 2 + self.manager_id_width_bits

    @property
    def manager_id_width_bits(self) -> int:
        """Bits of a transaction ID of a manager inside."""
        return max(3, (self.dma_outstanding - 1).bit_length())

"""A reading of a sensor, as it travels in a datagram or an Ethernet frame."""

from dataclasses import dataclass
from struct import Struct

__all__ = ["ETHERTYPE", "Reading"]

ETHERTYPE = 0x88B5  # IEEE Std 802: for local experiments.
_FORMAT = Struct("<HI")


@dataclass(frozen=True)
class Reading:
    """The value of a sensor, and its number since the sensor was switched on."""

    number: int
    value: int

    def emit(self) -> bytes:
        return _FORMAT.pack(self.number, self.value)

    @classmethod
    def parse(cls, octets: bytes) -> "Reading":
        if len(octets) < _FORMAT.size:
            raise ValueError(f"a reading has {_FORMAT.size} octets, not {len(octets)}")
        return cls(*_FORMAT.unpack_from(octets))

"""IPv6 packets (RFC 8200), the fixed header."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from .error import WireError

__all__ = ["HEADER_OCTETS", "Ipv6Packet"]

HEADER_OCTETS = 40

_HEADER = Struct("!IHBB16s16s")
_RANGES = (("traffic_class", 0xFF), ("flow_label", 0xFFFFF), ("next_header", 0xFF), ("hop_limit", 0xFF))


@dataclass(frozen=True, slots=True)
class Ipv6Packet:
    """An IPv6 packet; extension headers count as payload.

    Raises
    ------
    WireError
        If a value does not fit its field.
    """

    src: bytes
    dst: bytes
    next_header: int
    payload: bytes = b""
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0

    def __post_init__(self) -> None:
        for name, address in (("src", self.src), ("dst", self.dst)):
            if len(address) != 16:
                raise WireError(f"{name}: needs 16 octets, not {len(address)}")
        for name, limit in _RANGES:
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise WireError(f"{name}: {value} is not in 0..{limit}")
        if len(self.payload) > 0xFFFF:
            raise WireError(f"payload_len: {len(self.payload)} is more than 65535")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the packet that the octets start with; what follows ``payload_len`` is padding.

        Raises
        ------
        WireError
            If it is cut short or of another version.
        """
        if len(octets) < HEADER_OCTETS:
            raise WireError(f"header: needs {HEADER_OCTETS} octets, not {len(octets)}")
        first, payload_len, next_header, hop_limit, src, dst = _HEADER.unpack_from(octets)
        if first >> 28 != 6:
            raise WireError(f"version: {first >> 28} is not 6")
        end = HEADER_OCTETS + payload_len
        if len(octets) < end:
            raise WireError(f"payload_len: {payload_len} of {len(octets) - HEADER_OCTETS} octets")
        payload = bytes(octets[HEADER_OCTETS:end])
        return cls(src, dst, next_header, payload, hop_limit, first >> 20 & 0xFF, first & 0xFFFFF)

    def emit(self) -> bytes:
        """Return the octets."""
        first = 6 << 28 | self.traffic_class << 20 | self.flow_label
        header = _HEADER.pack(first, len(self.payload), self.next_header, self.hop_limit, self.src, self.dst)
        return header + self.payload

"""IPv4 packets (RFC 791)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from .checksum import ip_fast_csum
from .error import WireError

__all__ = ["HEADER_OCTETS", "MAX_PACKET_OCTETS", "Ipv4Packet"]

HEADER_OCTETS = 20
MAX_PACKET_OCTETS = 0xFFFF

_HEADER = Struct("!BBHHHBBHII")
_RANGES = (
    ("tos", 0xFF),
    ("id", 0xFFFF),
    ("frag_offset_octets", 0xFFF8),
    ("ttl", 0xFF),
    ("protocol", 0xFF),
    ("src", 0xFFFFFFFF),
    ("dst", 0xFFFFFFFF),
)


@dataclass(frozen=True, slots=True)
class Ipv4Packet:
    """An IPv4 packet or fragment; addresses are numbers, the header checksum is always right.

    Raises
    ------
    WireError
        If a value does not fit its field, options are not whole words, or the packet is too long.
    """

    src: int
    dst: int
    protocol: int
    payload: bytes = b""
    ttl: int = 64
    tos: int = 0
    id: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    frag_offset_octets: int = 0
    options: bytes = b""

    def __post_init__(self) -> None:
        for name, limit in _RANGES:
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise WireError(f"{name}: {value} is not in 0..{limit}")
        if self.frag_offset_octets % 8:
            raise WireError(f"frag_offset_octets: {self.frag_offset_octets} is not a multiple of 8")
        if len(self.options) % 4 or len(self.options) > 40:
            raise WireError(f"options: {len(self.options)} octets are not 0 to 10 words")
        if self.total_len > MAX_PACKET_OCTETS:
            raise WireError(f"total_len: {self.total_len} is more than {MAX_PACKET_OCTETS}")

    @property
    def header_octets(self) -> int:
        """Length of the header with its options."""
        return HEADER_OCTETS + len(self.options)

    @property
    def total_len(self) -> int:
        """Length of header and payload."""
        return self.header_octets + len(self.payload)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the packet that the octets start with; what follows ``total_len`` is padding.

        Raises
        ------
        WireError
            If it is cut short, of another version, or its header checksum is wrong.
        """
        if len(octets) < HEADER_OCTETS:
            raise WireError(f"header: needs {HEADER_OCTETS} octets, not {len(octets)}")
        version_ihl, tos, total_len, id_, frag_off, ttl, protocol, _, src, dst = _HEADER.unpack_from(octets)
        header_octets = (version_ihl & 15) * 4
        if version_ihl >> 4 != 4:
            raise WireError(f"version: {version_ihl >> 4} is not 4")
        if header_octets < HEADER_OCTETS or len(octets) < header_octets:
            raise WireError(f"ihl: {version_ihl & 15} words, {len(octets)} octets present")
        if not header_octets <= total_len <= len(octets):
            raise WireError(f"total_len: {total_len} of {len(octets)} octets, header {header_octets}")
        if ip_fast_csum(octets[:header_octets]):
            raise WireError("check: the header checksum is wrong")
        return cls(
            src=src,
            dst=dst,
            protocol=protocol,
            payload=bytes(octets[header_octets:total_len]),
            ttl=ttl,
            tos=tos,
            id=id_,
            dont_fragment=bool(frag_off & 0x4000),
            more_fragments=bool(frag_off & 0x2000),
            frag_offset_octets=(frag_off & 0x1FFF) * 8,
            options=bytes(octets[HEADER_OCTETS:header_octets]),
        )

    def emit(self) -> bytes:
        """Return the octets, with the header checksum."""
        frag_off = self.dont_fragment << 14 | self.more_fragments << 13 | self.frag_offset_octets >> 3
        header = bytearray(
            _HEADER.pack(
                0x40 | self.header_octets >> 2,
                self.tos,
                self.total_len,
                self.id,
                frag_off,
                self.ttl,
                self.protocol,
                0,
                self.src,
                self.dst,
            )
            + self.options
        )
        header[10:12] = ip_fast_csum(header).to_bytes(2, "big")
        return bytes(header) + self.payload

"""UDP datagrams (RFC 768), over IPv4 or IPv6."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from .checksum import csum_fold, csum_partial, pseudo_header
from .error import WireError

__all__ = ["HEADER_OCTETS", "UdpDatagram"]

HEADER_OCTETS = 8

_HEADER = Struct("!HHHH")
_PROTOCOL = 17


def _check(octets: bytes, src: bytes, dst: bytes) -> int:
    return csum_fold(csum_partial(octets, pseudo_header(src, dst, _PROTOCOL, len(octets))))


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    """A UDP datagram. Its checksum covers addresses of the IP header, so ``parse`` and ``emit`` take those.

    Raises
    ------
    WireError
        If a port does not fit 16 bits or the payload is too long.
    """

    src_port: int
    dst_port: int
    payload: bytes = b""

    def __post_init__(self) -> None:
        for name, port in (("src_port", self.src_port), ("dst_port", self.dst_port)):
            if not 0 <= port <= 0xFFFF:
                raise WireError(f"{name}: {port} is not in 0..65535")
        if HEADER_OCTETS + len(self.payload) > 0xFFFF:
            raise WireError(f"length: {HEADER_OCTETS + len(self.payload)} is more than 65535")

    @classmethod
    def parse(cls, octets: bytes, src: bytes = b"", dst: bytes = b"") -> Self:
        """Return the datagram that the octets start with.

        The checksum is verified when there is one and both addresses (4 or 16 octets) are given.

        Raises
        ------
        WireError
            If it is cut short or the checksum is wrong; over IPv6 also if there is none (RFC 8200 §8.1).
        """
        if len(octets) < HEADER_OCTETS:
            raise WireError(f"header: needs {HEADER_OCTETS} octets, not {len(octets)}")
        src_port, dst_port, length, check = _HEADER.unpack_from(octets)
        if not HEADER_OCTETS <= length <= len(octets):
            raise WireError(f"length: {length} of {len(octets)} octets")
        if check and src and dst and _check(octets[:length], src, dst):
            raise WireError("check: the UDP checksum is wrong")
        if not check and len(src) == 16:
            raise WireError("check: a datagram over IPv6 must have one")
        return cls(src_port, dst_port, bytes(octets[HEADER_OCTETS:length]))

    def emit(self, src: bytes = b"", dst: bytes = b"") -> bytes:
        """Return the octets; without addresses the checksum field is 0, for none."""
        length = HEADER_OCTETS + len(self.payload)
        octets = _HEADER.pack(self.src_port, self.dst_port, length, 0) + self.payload
        if not (src and dst):
            return octets
        check = _check(octets, src, dst) or 0xFFFF
        return octets[:6] + check.to_bytes(2, "big") + self.payload

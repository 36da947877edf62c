"""Ethernet frames as the MAC client sees them: without preamble and FCS."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from .error import WireError

__all__ = ["BROADCAST", "HEADER_OCTETS", "MIN_FRAME_OCTETS", "EtherType", "EthernetFrame"]

BROADCAST = b"\xff" * 6
HEADER_OCTETS = 14
MIN_FRAME_OCTETS = 60  # minFrameSize of IEEE Std 802.3 without the FCS.

_HEADER = Struct("!6s6sH")


class EtherType(IntEnum):
    """EtherTypes that the stack knows."""

    IPV4 = 0x0800
    ARP = 0x0806
    VLAN = 0x8100
    IPV6 = 0x86DD


@dataclass(frozen=True, slots=True)
class EthernetFrame:
    """An Ethernet II frame without FCS (IEEE Std 802.3-2022 §3.1.1); padding counts as payload.

    Raises
    ------
    WireError
        If an address has not 6 octets or ``ethertype`` is not 0x0600 to 0xFFFF.
    """

    dst: bytes
    src: bytes
    ethertype: int
    payload: bytes = b""

    def __post_init__(self) -> None:
        if len(self.dst) != 6:
            raise WireError(f"dst: needs 6 octets, not {len(self.dst)}")
        if len(self.src) != 6:
            raise WireError(f"src: needs 6 octets, not {len(self.src)}")
        if not 0x0600 <= self.ethertype <= 0xFFFF:
            raise WireError(f"ethertype: {self.ethertype:#x} is a length or does not fit")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the frame that the octets are.

        Raises
        ------
        WireError
            If there are fewer than 14 octets, or a length stands where the EtherType should.
        """
        if len(octets) < HEADER_OCTETS:
            raise WireError(f"header: needs {HEADER_OCTETS} octets, not {len(octets)}")
        dst, src, ethertype = _HEADER.unpack_from(octets)
        return cls(dst, src, ethertype, bytes(octets[HEADER_OCTETS:]))

    def emit(self) -> bytes:
        """Return the octets, not padded."""
        return _HEADER.pack(self.dst, self.src, self.ethertype) + self.payload

"""ARP packets for IPv4 over Ethernet (RFC 826)."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from .error import WireError

__all__ = ["PACKET_OCTETS", "ArpOperation", "ArpPacket"]

PACKET_OCTETS = 28

_PACKET = Struct("!HHBBH6sI6sI")
_FIXED = (1, 0x0800, 6, 4)  # Ethernet, IPv4, and the lengths of their addresses.
_FIXED_NAMES = ("ar_hrd", "ar_pro", "ar_hln", "ar_pln")


class ArpOperation(IntEnum):
    """What an ARP packet asks or tells."""

    REQUEST = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class ArpPacket:
    """An ARP packet; IPv4 addresses are numbers.

    Raises
    ------
    WireError
        If a value does not fit its field.
    """

    operation: ArpOperation
    sender_mac: bytes
    sender_ip: int
    target_mac: bytes
    target_ip: int

    def __post_init__(self) -> None:
        if self.operation not in (1, 2):
            raise WireError(f"ar_op: {self.operation} is neither request nor reply")
        for name, mac in (("sender_mac", self.sender_mac), ("target_mac", self.target_mac)):
            if len(mac) != 6:
                raise WireError(f"{name}: needs 6 octets, not {len(mac)}")
        for name, address in (("sender_ip", self.sender_ip), ("target_ip", self.target_ip)):
            if not 0 <= address < 1 << 32:
                raise WireError(f"{name}: {address} does not fit 32 bits")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the packet that the octets start with; what follows is padding.

        Raises
        ------
        WireError
            If it is cut short, not for IPv4 over Ethernet, or neither request nor reply.
        """
        if len(octets) < PACKET_OCTETS:
            raise WireError(f"packet: needs {PACKET_OCTETS} octets, not {len(octets)}")
        *fixed, operation, sender_mac, sender_ip, target_mac, target_ip = _PACKET.unpack_from(octets)
        for name, found, wanted in zip(_FIXED_NAMES, fixed, _FIXED, strict=True):
            if found != wanted:
                raise WireError(f"{name}: {found:#x} is not {wanted:#x}")
        if operation not in (1, 2):
            raise WireError(f"ar_op: {operation} is neither request nor reply")
        return cls(ArpOperation(operation), sender_mac, sender_ip, target_mac, target_ip)

    def emit(self) -> bytes:
        """Return the 28 octets."""
        return _PACKET.pack(*_FIXED, self.operation, self.sender_mac, self.sender_ip, self.target_mac, self.target_ip)

"""Frames of slow protocols: the Link Aggregation Control Protocol (IEEE Std 802.1AX-2008 §5.4.2) and its marker."""

from dataclasses import dataclass, field
from enum import IntFlag
from struct import Struct
from typing import Self

from .error import WireError

__all__ = ["SLOW_PROTOCOLS", "LacpInfo", "LacpState", "Lacpdu", "MarkerPdu"]

SLOW_PROTOCOLS = bytes.fromhex("0180c2000002")  # The group that no bridge passes on.

_HEADER = Struct("!BB")
_INFO = Struct("!BBH6sHHHB3x")
_COLLECTOR = Struct("!BBH12x")
_MARKER = Struct("!BBH6sI2x")
_LACPDU_OCTETS = _MARKER_OCTETS = 110
_LACP, _MARK = 1, 2


class LacpState(IntFlag):
    """What a port says of itself (§5.4.2.2)."""

    ACTIVITY = 0x01
    TIMEOUT = 0x02
    AGGREGATION = 0x04
    SYNCHRONIZATION = 0x08
    COLLECTING = 0x10
    DISTRIBUTING = 0x20
    DEFAULTED = 0x40
    EXPIRED = 0x80


@dataclass(frozen=True, slots=True)
class LacpInfo:
    """A port, as its own system or the other one knows it.

    Raises
    ------
    WireError
        If a value does not fit.
    """

    system_priority: int = 0
    system: bytes = bytes(6)
    key: int = 0
    port_priority: int = 0
    port: int = 0
    state: LacpState = LacpState(0)

    def __post_init__(self) -> None:
        if len(self.system) != 6:
            raise WireError(f"system: needs 6 octets, not {len(self.system)}")
        for name in ("system_priority", "key", "port_priority", "port"):
            if not 0 <= getattr(self, name) <= 0xFFFF:
                raise WireError(f"{name}: {getattr(self, name)} does not fit")
        if not 0 <= self.state <= 0xFF:
            raise WireError(f"state: {self.state} does not fit")


@dataclass(frozen=True, slots=True)
class Lacpdu:
    """A LACPDU: what the sender is, what it knows of the receiver, and its longest delay, in tens of µs.

    Raises
    ------
    WireError
        If a value does not fit.
    """

    actor: LacpInfo = field(default_factory=LacpInfo)
    partner: LacpInfo = field(default_factory=LacpInfo)
    max_delay: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.max_delay <= 0xFFFF:
            raise WireError(f"max_delay: {self.max_delay} does not fit")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the LACPDU behind an Ethernet header; versions above 1 say the same at its beginning.

        Raises
        ------
        WireError
            If it is another PDU, too short, or its parts are not those of a LACPDU.
        """
        if len(octets) < _LACPDU_OCTETS:
            raise WireError(f"length: needs {_LACPDU_OCTETS} octets, not {len(octets)}")
        subtype, _ = _HEADER.unpack_from(octets)
        if subtype != _LACP:
            raise WireError(f"subtype: {subtype} is no LACPDU")
        infos: list[LacpInfo] = []
        for number, at in ((1, 2), (2, 22)):
            kind, length, sys_priority, system, key, priority, port, state = _INFO.unpack_from(octets, at)
            if (kind, length) != (number, _INFO.size):
                raise WireError(f"TLV: {kind} of {length} octets where {number} should be")
            infos.append(LacpInfo(sys_priority, system, key, priority, port, LacpState(state)))
        kind, length, max_delay = _COLLECTOR.unpack_from(octets, 42)
        if (kind, length) != (3, _COLLECTOR.size):
            raise WireError(f"TLV: {kind} of {length} octets where 3 should be")
        return cls(infos[0], infos[1], max_delay)

    def emit(self) -> bytes:
        """Return the octets behind the Ethernet header."""
        parts = [_HEADER.pack(_LACP, 1)]
        for number, info in ((1, self.actor), (2, self.partner)):
            values = (info.system_priority, info.system, info.key, info.port_priority, info.port, info.state)
            parts.append(_INFO.pack(number, _INFO.size, *values))
        parts.append(_COLLECTOR.pack(3, _COLLECTOR.size, self.max_delay))
        return b"".join(parts).ljust(_LACPDU_OCTETS, b"\0")


@dataclass(frozen=True, slots=True)
class MarkerPdu:
    """A marker, sent behind frames to learn when all have arrived; or the response to it (§5.3.5).

    Raises
    ------
    WireError
        If a value does not fit.
    """

    port: int
    system: bytes
    transaction_id: int
    response: bool = False

    def __post_init__(self) -> None:
        if len(self.system) != 6:
            raise WireError(f"system: needs 6 octets, not {len(self.system)}")
        if not 0 <= self.port <= 0xFFFF:
            raise WireError(f"port: {self.port} does not fit")
        if not 0 <= self.transaction_id <= 0xFFFFFFFF:
            raise WireError(f"transaction_id: {self.transaction_id} does not fit")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the marker PDU behind an Ethernet header.

        Raises
        ------
        WireError
            If it is another PDU, or too short.
        """
        if len(octets) < _HEADER.size + _MARKER.size:
            raise WireError(f"length: needs {_HEADER.size + _MARKER.size} octets, not {len(octets)}")
        subtype, _ = _HEADER.unpack_from(octets)
        kind, length, port, system, transaction_id = _MARKER.unpack_from(octets, 2)
        if subtype != _MARK or kind not in (1, 2) or length != _MARKER.size:
            raise WireError(f"subtype: {subtype} with TLV {kind} of {length} octets is no marker PDU")
        return cls(port, system, transaction_id, kind == 2)

    def emit(self) -> bytes:
        """Return the octets behind the Ethernet header."""
        kind = 2 if self.response else 1
        parts = _HEADER.pack(_MARK, 1), _MARKER.pack(kind, _MARKER.size, self.port, self.system, self.transaction_id)
        return b"".join(parts).ljust(_MARKER_OCTETS, b"\0")

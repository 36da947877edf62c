"""The far end of the cable, for tests: takes frames apart, checks every checksum, puts fragments together.

Independent of ``stack.wire``, so that a mistake there does not hide itself.
"""

import struct
from dataclasses import dataclass, field

__all__ = ["Datagram", "Receiver", "internet_sum"]


def internet_sum(octets: bytes) -> int:
    """Return the ones' complement sum of 16-bit words: 0xFFFF over anything with a right checksum in it."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram that arrived, whole and with right checksums."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    tos: int
    options: bytes
    payload: bytes


@dataclass
class _Fragments:
    parts: dict[int, bytes] = field(default_factory=dict)
    end: int | None = None
    options: bytes = b""

    def whole(self) -> bytes | None:
        at, octets = 0, b""
        while at in self.parts:
            octets += self.parts[at]
            at += len(self.parts[at])
            if at == self.end:
                return octets
        return None


class Receiver:
    """Takes frames in order.

    Members
    -------
    datagrams : list[Datagram]
        What arrived, in order of completion.
    frames, ip_frames : int
        Frames taken; those with IPv4 in them.
    others : list[bytes]
        Frames without IPv4.
    """

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self.others: list[bytes] = []
        self.frames = self.ip_frames = 0
        self._partial: dict[tuple[bytes, bytes, int], _Fragments] = {}

    def take(self, frame: bytes) -> None:
        """Take one frame, without FCS.

        Raises
        ------
        AssertionError
            If something in it is wrong.
        """
        self.frames += 1
        assert len(frame) >= 60, f"{len(frame)} octets: not padded"
        if frame[12:14] != b"\x08\x00":
            self.others.append(frame)
            return
        self.ip_frames += 1
        packet = frame[14:]
        header_octets = (packet[0] & 15) * 4
        assert packet[0] >> 4 == 4
        assert header_octets >= 20
        header = packet[:header_octets]
        assert internet_sum(header) == 0xFFFF, f"IPv4 header checksum wrong: {header.hex()}"
        tos, total, ident, frag = struct.unpack_from("!xBHHH", packet)
        assert header_octets <= total <= len(packet)
        assert not any(packet[total:]), "padding is not zero"
        source, destination, protocol = packet[12:16], packet[16:20], packet[9]
        body, offset, more = packet[header_octets:total], (frag & 0x1FFF) * 8, frag & 0x2000
        options = header[20:]
        if offset or more:
            waiting = self._partial.setdefault((source, destination, ident), _Fragments())
            assert offset not in waiting.parts, "a fragment came twice"
            waiting.parts[offset] = body
            if not offset:
                waiting.options = options
            if not more:
                waiting.end = offset + len(body)
            whole = waiting.whole()
            if whole is None:
                return
            del self._partial[source, destination, ident]
            body, options = whole, waiting.options
        assert protocol == 17
        self._udp(source, destination, tos, options, body)

    def _udp(self, source: bytes, destination: bytes, tos: int, options: bytes, body: bytes) -> None:
        source_port, destination_port, length, checksum = struct.unpack_from("!4H", body)
        assert length == len(body)
        assert checksum, "no UDP checksum"
        pseudo = source + destination + struct.pack("!HH", 17, length)
        assert internet_sum(pseudo + body) == 0xFFFF, f"UDP checksum wrong, {length} octets"
        self.datagrams.append(Datagram(source, destination, source_port, destination_port, tos, options, body[8:]))

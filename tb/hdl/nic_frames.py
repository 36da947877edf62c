"""Random frames with what a driver asks of the NIC for them, and what must then be on the wire."""

import random
import struct
from dataclasses import dataclass, field

from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP, in4_pseudoheader
from scapy.layers.inet6 import IPv6, in6_pseudoheader
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import checksum

from hardwire.stack.abi import TxFlags, TxStatus

__all__ = ["FrameToSend", "random_frame", "udp6_frame"]


@dataclass
class FrameToSend:
    """A frame as it lies in memory, the fields of its first descriptor, and what comes of it.

    ``wire`` is without the tag that the device puts in.
    """

    octets: bytes
    wire: bytes
    fields: dict[str, int] = field(default_factory=dict)
    status: TxStatus = TxStatus.OK

    @property
    def tci(self) -> int | None:
        """Tag control information of the tag to put in, if any."""
        return self.fields["vlan_tci"] if self.fields.get("flags", 0) & TxFlags.VLAN else None

    @property
    def tagged(self) -> bytes:
        """What must be on the wire, but for padding and FCS."""
        if self.tci is None:
            return self.wire
        return self.wire[:12] + struct.pack("!HH", 0x8100, self.tci) + self.wire[12:]


def _ones_complement_sum(octets: bytes) -> int:
    return checksum(octets) ^ 0xFFFF


def _offloaded(rng: random.Random, packet, network, transport, *, l3_start: int, mode: TxFlags) -> FrameToSend:
    """Return a packet whose checksums scapy filled in, as the driver hands it over."""
    wire = bytes(packet)
    csum_start = l3_start + len(bytes(network)) - len(bytes(network.payload))
    offset = 6 if isinstance(transport, UDP) else 16
    at = csum_start + offset
    octets = bytearray(wire)
    flags = mode
    if mode & TxFlags.CSUM_L4:  # Also with CSUM_PARTIAL.
        octets[at : at + 2] = rng.randbytes(2)
    elif mode & TxFlags.CSUM_PARTIAL:
        pseudo = in6_pseudoheader if isinstance(network, IPv6) else in4_pseudoheader
        protocol = 17 if isinstance(transport, UDP) else 6
        length = len(wire) - csum_start
        header = pseudo(protocol, network, length)
        octets[at : at + 2] = struct.pack("!H", _ones_complement_sum(bytes(header)))
    if isinstance(network, IP) and rng.random() < 0.7:
        flags |= TxFlags.CSUM_IPV4
        octets[l3_start + 10 : l3_start + 12] = rng.randbytes(2)
    fields = {"flags": flags, "csum_start": csum_start, "csum_offset": offset, "l3_start": l3_start}
    return FrameToSend(bytes(octets), wire, fields)


def _packet(rng: random.Random, network, *, size: int) -> FrameToSend:
    transport = rng.choice((UDP(sport=rng.getrandbits(16), dport=9), TCP(sport=rng.getrandbits(16), dport=80)))
    link = Ether(dst=rng.randbytes(6).hex(":"), src=rng.randbytes(6).hex(":"))
    l3_start = 14
    if rng.random() < 0.3:
        link, l3_start = link / Dot1Q(vlan=rng.randrange(4096)), 18
    packet = link / network / transport / Raw(rng.randbytes(size))
    mode = TxFlags.CSUM_PARTIAL
    if isinstance(network, IP):
        both = TxFlags.CSUM_PARTIAL | TxFlags.CSUM_L4
        mode = rng.choice((TxFlags.CSUM_PARTIAL, TxFlags.CSUM_L4, both, TxFlags(0)))
    packet = Ether(bytes(packet))  # With lengths and checksums.
    network = packet.getlayer(type(network))
    return _offloaded(rng, packet, network, network.payload, l3_start=l3_start, mode=mode)


def udp6_frame(rng: random.Random, *, size: int) -> FrameToSend:
    """Return an IPv6/UDP frame with its checksum left to the device, which knows nothing of IPv6."""
    packet = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IPv6(src="fd00::1", dst="fd00::2")
    packet = Ether(bytes(packet / UDP(sport=1, dport=2) / Raw(rng.randbytes(size))))
    return _offloaded(rng, packet, packet[IPv6], packet[UDP], l3_start=14, mode=TxFlags.CSUM_PARTIAL)


def random_frame(rng: random.Random, *, neighbours: dict[int, bytes], most: int = 600) -> FrameToSend:
    """Return a frame of any kind, good or bad."""
    size = rng.choice((0, 1, rng.randint(0, 60), rng.randint(0, most)))
    kind = rng.random()
    if kind < 0.25:
        octets = rng.randbytes(14 + size)
        frame = FrameToSend(octets, octets)
    elif kind < 0.5:
        frame = _packet(rng, IPv6(src="fd00::1", dst="fd00::2"), size=size)
    else:
        options = [IPOption_NOP() for _ in range(rng.choice((0, 0, 4, 40)))]
        frame = _packet(rng, IP(src="10.0.0.1", dst="10.0.0.2", options=options, id=rng.getrandbits(16)), size=size)
    if rng.random() < 0.4:
        _resolve(rng, frame, neighbours)
    if rng.random() < 0.3:
        frame.fields["vlan_tci"] = rng.getrandbits(16)
        if rng.random() < 0.7:
            frame.fields["flags"] = frame.fields.get("flags", TxFlags(0)) | TxFlags.VLAN
    if rng.random() < 0.15:
        _spoil(rng, frame)
    return frame


def _resolve(rng: random.Random, frame: FrameToSend, neighbours: dict[int, bytes]) -> None:
    frame.fields["flags"] = frame.fields.get("flags", TxFlags(0)) | TxFlags.RESOLVE
    if neighbours and rng.random() < 0.8:
        key = rng.choice(list(neighbours))
        frame.wire = neighbours[key] + frame.wire[6:]
    else:
        key = 0xE0000000 | rng.getrandbits(24)
        frame.status = TxStatus.RESOLVE_MISS
    frame.fields["next_hop"] = key


def _spoil(rng: random.Random, frame: FrameToSend) -> None:
    """Make a frame one that the device must refuse."""
    fields = frame.fields
    if rng.random() < 0.5:
        frame.octets = rng.randbytes(rng.choice((1, 2, 13, 9019, 9100) if frame.tci is None else (13, 9015, 9018)))
        frame.status = TxStatus.BAD_LENGTH
        return
    kept = fields.get("flags", 0) & (TxFlags.RESOLVE | TxFlags.VLAN)
    ip_only = TxFlags.CSUM_IPV4 | kept
    fields["flags"] = rng.choice((TxFlags.CSUM_PARTIAL | kept, ip_only, ip_only | TxFlags.CSUM_L4))
    length = len(frame.octets)
    if fields["flags"] & TxFlags.CSUM_PARTIAL:
        fields["csum_start"] = rng.choice((length - 1, length, 65535, rng.randrange(length)))
        fields["csum_offset"] = max(0, length - fields["csum_start"] - rng.choice((1, 0)))
        if rng.random() < 0.2:  # The sum of both has 17 bits, and the lower 16 of them are inside the frame.
            fields["csum_start"], fields["csum_offset"] = 65_500, 36 + rng.randrange(max(1, length - 1))
    else:
        fields["l3_start"], fields["csum_start"] = rng.choice(((15, 35), (14, 33), (14, 32), (14, 76), (0, 0)))
        fields["csum_offset"] = 0
    frame.status = TxStatus.BAD_CHECKSUM_FIELD

"""Frames to receive, and what a receiver is to tell of them: an independent reference in plain Python."""

import random
import zlib

from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

__all__ = ["complete_sum", "expected_flags", "hash_bit", "random_frame", "rfc1071"]

IPV4_GOOD, IPV4_BAD, L4_GOOD, L4_BAD = 1, 2, 4, 8


def rfc1071(octets: bytes) -> int:
    """Return the sum of the 16-bit words (RFC 1071 section 4.1), not complemented."""
    total = int.from_bytes(octets + b"\0" * (len(octets) % 2), "big")
    # A word's worth is 1, 65536, 65536 squared, ...: each leaves 1 when divided by 65535, and so does a carry.
    return total % 0xFFFF or 0xFFFF * (total > 0)


def complete_sum(frame: bytes) -> int:
    """Return the sum that goes with CHECKSUM_COMPLETE."""
    return rfc1071(frame[14:])


def expected_flags(frame: bytes) -> int:
    """Return the flags of a frame, without VLAN."""
    packet = frame[14:]
    if frame[12:14] != b"\x08\0" or not packet:
        return 0
    header = packet[: 4 * (packet[0] & 15)]
    if packet[0] >> 4 != 4 or packet[0] & 15 < 5 or len(header) < 4 * (packet[0] & 15):
        return 0
    if rfc1071(header) != 0xFFFF:
        return IPV4_BAD
    total = int.from_bytes(packet[2:4], "big")
    l4 = packet[len(header) : total]
    whole = len(header) <= total <= len(packet)
    fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
    tcp = packet[9] == 6 and len(l4) >= 20
    udp = packet[9] == 17 and len(l4) >= 8 and int.from_bytes(l4[4:6], "big") == len(l4) and l4[6:8] != b"\0\0"
    dirty = any(packet[total:])
    if not whole or dirty or fragment or not (tcp or udp):
        return IPV4_GOOD
    pseudo = packet[12:20] + bytes([0, packet[9]]) + len(l4).to_bytes(2, "big")
    return IPV4_GOOD | (L4_GOOD if rfc1071(pseudo + l4) == 0xFFFF else L4_BAD)


def hash_bit(address: bytes) -> int:
    """Return the number of the hash bit of a group: six highest bits of ether_crc()."""
    remainder = zlib.crc32(address) ^ 0xFFFFFFFF
    return int(f"{remainder:032b}"[::-1], 2) >> 26


def random_frame(rng: random.Random, destination: str, most: int = 2048) -> bytes:
    """Return a frame that scapy built, often with something wrong in it."""
    ether = Ether(src="02:00:00:00:00:01", dst=destination)
    options = [IPOption(b"\x01" * (4 * rng.choice((0, 0, 1, 2, 5, 10))))]
    ip = IP(src=f"10.{rng.randrange(256)}.{rng.randrange(256)}.1")
    ip.dst = f"10.{rng.randrange(256)}.{rng.randrange(256)}.2"
    ip.options = [option for option in options if bytes(option)]
    ip.id = rng.getrandbits(16)
    payload = Raw(rng.randbytes(rng.choice((0, 1, 2, 3, 17, 18, 19, rng.randrange(200), rng.randrange(1400)))))
    kind = rng.randrange(12)
    l4 = rng.choice(
        (UDP(sport=rng.getrandbits(16), dport=2), TCP(sport=rng.getrandbits(16), window=rng.getrandbits(16)))
    )
    if kind < 5:
        frame = ether / ip / l4 / payload
    elif kind == 5:
        frame = ether / ip / UDP(sport=1, dport=2, chksum=0) / payload
    elif kind == 6:
        ip.flags, ip.frag = rng.choice((("MF", 0), ("MF", 3), (0, 1), ("DF", 0), (0, 0x1000)))
        frame = ether / ip / l4 / payload
    elif kind == 7:
        frame = ether / IPv6(dst="fe80::2") / l4 / payload
    elif kind == 8:
        frame = ether / ARP(pdst="10.0.0.2")
    elif kind == 9:
        frame = ether / Dot1Q(vlan=rng.choice((0, 5, 6, 4095)), prio=rng.randrange(8)) / ip / l4 / payload
    elif kind == 10:
        ip.proto = rng.choice((1, 6, 17))
        frame = ether / ip / payload
    else:
        frame = ether / payload
    octets = bytearray(bytes(frame))
    if rng.random() < 0.3 and len(octets) > 14:
        place = rng.choice((rng.randrange(14, len(octets)), rng.randrange(14, min(len(octets), 60))))
        octets[place] ^= 1 << rng.randrange(8)
    if rng.random() < 0.1 and len(octets) > 34:
        octets[16:18] = rng.choice((0, 19, 20, 27, 28, 40, len(octets) - 14, len(octets) - 13, 0xFFFF)).to_bytes(
            2, "big"
        )
        octets[24:26] = b"\0\0"
        octets[24:26] = (rfc1071(bytes(octets[14 : 14 + 4 * (octets[14] & 15)])) ^ 0xFFFF).to_bytes(2, "big")
    padding = max(60 - len(octets), rng.choice((0, 0, 1, 4)))
    octets += rng.randbytes(padding) if rng.random() < 0.1 else bytes(padding)
    return bytes(octets[:most])

"""What the checksum block should do to a frame, and frames to try it on."""

import random
from dataclasses import dataclass

__all__ = ["L4", "NONE", "PARTIAL", "Command", "filled", "random_case"]

NONE, PARTIAL, L4 = range(3)


@dataclass(frozen=True)
class Command:
    """One command, its members named as in ``ChecksumCommand``."""

    ipv4: int = 0
    mode: int = NONE
    l3_start: int = 0
    csum_start: int = 0
    csum_offset: int = 0


def _checksum(octets: bytes) -> int:
    """Return the checksum of RFC 1071, computed the slow way."""
    total = 0
    for at in range(0, len(octets), 2):
        total += int.from_bytes(octets[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def filled(frame: bytes, command: Command) -> bytes:
    """Return the frame with the checksums that the command asks for."""
    out = bytearray(frame)
    l3, start = command.l3_start, command.csum_start
    field = start + command.csum_offset
    if command.mode != NONE:
        covered = bytearray(frame)
        pseudo = b""
        if command.mode == L4:
            covered[field : field + 2] = b"\0\0"
            pseudo = frame[l3 + 12 : l3 + 20] + bytes([0, frame[l3 + 9]]) + (len(frame) - start).to_bytes(2, "big")
        out[field : field + 2] = (_checksum(pseudo + covered[start:]) or 0xFFFF).to_bytes(2, "big")
    if command.ipv4:
        header = bytearray(frame[l3:start])
        header[10:12] = b"\0\0"
        out[l3 + 10 : l3 + 12] = _checksum(header).to_bytes(2, "big")
    return bytes(out)


def random_case(rng: random.Random, *, max_octets: int) -> tuple[bytes, Command]:
    """Return any frame that a command may come with: not a protocol's, but of every alignment."""
    mode = rng.choice((NONE, PARTIAL, L4))
    ipv4 = rng.randrange(2)
    l3_start = 2 * rng.randrange(rng.choice((1, 20)))
    if ipv4 or mode == L4:
        csum_start = l3_start + 4 * rng.randrange(5, 16)
    else:
        csum_start = rng.randrange(rng.choice((3, 70)))
    csum_offset = 2 * rng.randrange(12) if rng.randrange(4) else rng.randrange(40)
    shortest = max(14, csum_start, csum_start + csum_offset + 2 if mode != NONE else 0)
    length = shortest + rng.choice((0, 1, rng.randrange(40), rng.randrange(max_octets)))
    length = max(shortest, min(length, max_octets))
    octets = rng.choice((b"\xff", b"\0", b"\0\1\xfe\xff", bytes(range(256))))
    return bytes(rng.choices(octets, k=length)), Command(ipv4, mode, l3_start, csum_start, csum_offset)

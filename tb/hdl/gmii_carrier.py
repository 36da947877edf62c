"""Carrier events on GMII, good and bad, and what a receiver makes of them: a reading of the standard in Python."""

import random
import zlib
from dataclasses import dataclass

from hardwire.hdl.rx.frame import RxFrameStatus

__all__ = ["Carrier", "End", "random_carrier", "read_carrier", "with_fcs"]


@dataclass
class Carrier:
    """What is on GMII from one rise of ``gmii_rx_dv`` to its fall."""

    octets: bytes
    errors: frozenset[int] = frozenset()  # Where rx_er is high.
    odd_nibble: bool = False


@dataclass
class End:
    """What the MAC says at the end of a carrier event, and what it made of it."""

    status: object
    octets: int
    broadcast: bool = False
    multicast: bool = False
    tci: int | None = None
    frame: bytes | None = None  # None: not good.


def read_carrier(carrier: Carrier, *, max_octets: int, vlan_strip: bool) -> End:
    """Return what the standard says of a carrier event."""
    preamble, delimiter, frame = carrier.octets.partition(b"\xd5")
    if not delimiter:
        return End(RxFrameStatus.NO_SFD, 0)
    right = len(frame) > 3 and zlib.crc32(frame[:-4]).to_bytes(4, "little") == frame[-4:]
    end = End(RxFrameStatus.OK, len(frame))
    if carrier.errors:
        end.status = RxFrameStatus.SYMBOL_ERROR
    elif len(frame) > max_octets + 4:
        end.status = RxFrameStatus.OVERSIZE if right else RxFrameStatus.JABBER
    elif len(frame) < 64:
        end.status = RxFrameStatus.UNDERSIZE if right else RxFrameStatus.FRAGMENT
    elif not right:
        end.status = RxFrameStatus.ALIGNMENT_ERROR if carrier.odd_nibble else RxFrameStatus.FCS_ERROR
    else:
        end.broadcast = frame[:6] == b"\xff" * 6
        end.multicast = bool(frame[0] & 1) and not end.broadcast
        end.frame = frame[:-4]
        if vlan_strip and frame[12:14] == b"\x81\x00":
            end.tci = int.from_bytes(frame[14:16], "big")
            end.frame = frame[:12] + frame[16:-4]
    return end


def with_fcs(frame: bytes) -> bytes:
    """Return a frame with its FCS."""
    return frame + zlib.crc32(frame).to_bytes(4, "little")


def random_carrier(rng: random.Random, *, max_octets: int, body: bytes | None = None) -> Carrier:
    """Return a carrier event: a frame, random or ``body``, often with something that can be wrong with one."""
    near = max_octets + rng.randrange(-1, 3)
    sizes = (0, 1, 3, 4, 5, 13, 59, 60, 61, rng.randrange(200), rng.randrange(200), rng.randrange(1700), near)
    size = rng.choice(sizes) if body is None else len(body)
    frame = bytearray(rng.randbytes(size) if body is None else body)
    if size >= 14 and body is None:
        frame[:6] = rng.choice((b"\xff" * 6, b"\xff" * 5 + b"\xfe", b"\x01\0\x5e\0\0\1", rng.randbytes(6)))
        if rng.random() < 0.4 and size >= 18:
            frame[12:14] = rng.choice((b"\x81\x00", b"\x81\x01", b"\x00\x81", b"\x88\xa8"))
    octets = bytearray(with_fcs(bytes(frame)))
    if rng.random() < 0.3:
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.1:
        octets = octets[: rng.randrange(len(octets) + 1)]
    preamble = bytes([0x55]) * rng.choice((7, 7, 7, 6, 1, 0, 20)) + b"\xd5"
    if rng.random() < 0.1:
        preamble = rng.randbytes(rng.randrange(10)) + rng.choice((b"\xd5", b"", b"\x55"))
    whole = preamble + octets or b"\x55"
    errors = frozenset(rng.sample(range(len(whole)), 1)) if rng.random() < 0.1 else frozenset()
    return Carrier(bytes(whole), errors, rng.random() < 0.2)

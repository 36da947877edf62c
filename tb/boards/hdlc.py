"""Frames of RFC 1662 in Python, with the FCS of zlib: what the gateware is compared with."""

import zlib

__all__ = ["Decoder", "encode", "stuffed"]

_FLAG, _ESCAPE = 0x7E, 0x7D


def stuffed(octets: bytes) -> bytes:
    """Return octets with those escaped that must be (RFC 1662 §4.2)."""
    return octets.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")


def encode(frame: bytes) -> bytes:
    """Return a frame as it goes over the line, with a flag before and after."""
    return b"\x7e" + stuffed(frame + zlib.crc32(frame).to_bytes(4, "little")) + b"\x7e"


class Decoder:
    """Find frames in octets.

    Members
    -------
    damaged : int
        Frames so far whose FCS was wrong.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self._escaped = False
        self.damaged = 0

    def feed(self, octet: int) -> bytes | None:
        """Take an octet of the line; return the frame that ends with it, without FCS."""
        if octet == _FLAG:
            octets, escaped = bytes(self._octets), self._escaped
            self._octets.clear()
            self._escaped = False
            if not octets and not escaped:
                return None
            frame, fcs = octets[:-4], octets[-4:]
            if escaped or len(octets) < 4 or zlib.crc32(frame).to_bytes(4, "little") != fcs:
                self.damaged += 1
                return None
            return frame
        if octet == _ESCAPE and not self._escaped:
            self._escaped = True
        else:
            self._octets.append(octet ^ 0x20 if self._escaped else octet)
            self._escaped = False
        return None

"""Framing of PPP in HDLC: frames with an FCS on a line that only carries octets."""

# Ref: RFC 1662, PPP in HDLC-like Framing: §3.1 (frames), §4.2 (transparency), §4.3 (invalid frames), appendix C (FCS).

from zlib import crc32

from ...stack.abi.bridge import ESCAPE, ESCAPE_XOR, FCS_OCTETS, FLAG

__all__ = ["FLAG_OCTET", "Deframer", "enframe"]

FLAG_OCTET = bytes((FLAG,))
_ESCAPE = bytes((ESCAPE,))
_ESCAPED_FLAG = bytes((ESCAPE, FLAG ^ ESCAPE_XOR))
_ESCAPED_ESCAPE = bytes((ESCAPE, ESCAPE ^ ESCAPE_XOR))


def enframe(octets: bytes) -> bytes:
    """Return a frame as it goes on the line, up to its closing flag; a flag must be before it.

    Examples
    --------
    >>> enframe(b"}~").hex()
    '7d5d7d5e7f49f56c7e'
    """
    whole = octets + crc32(octets).to_bytes(FCS_OCTETS, "little")
    return whole.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(FLAG_OCTET, _ESCAPED_FLAG) + FLAG_OCTET


def _unescaped(part: bytes) -> bytes | None:
    """Undo the escapes of what was between two flags; return ``None`` if the last escapes nothing: an abort (§4.3)."""
    escapes = part.count(_ESCAPE)
    if not escapes:
        return part
    if escapes == part.count(_ESCAPED_ESCAPE) + part.count(_ESCAPED_FLAG):
        return part.replace(_ESCAPED_FLAG, FLAG_OCTET).replace(_ESCAPED_ESCAPE, _ESCAPE)
    # From a sender that escapes other octets, too, or damaged.
    octets = bytearray()
    rest = iter(part)
    for octet in rest:
        if octet == ESCAPE:
            escaped = next(rest, None)
            if escaped is None:
                return None
            octet = escaped ^ ESCAPE_XOR
        octets.append(octet)
    return bytes(octets)


class Deframer:
    """Finds frames in what comes over a line, and leaves out what is damaged; the next flag starts anew.

    Parameters
    ----------
    max_octets : int
        Longest frame, without FCS. What is longer is not kept.

    Members
    -------
    damaged : int
        How often something between flags was no frame: wrong FCS, too short, too long, or aborted (§4.3).
    octets : int
        Octets that have come in all.
    """

    def __init__(self, max_octets: int) -> None:
        self.damaged = 0
        self.octets = 0
        self._max_octets = max_octets + FCS_OCTETS
        self._rest = b""
        self._overlong = False

    def feed(self, octets: bytes) -> list[bytes]:
        """Take what has come; return the frames that ended in it, without FCS."""
        self.octets += len(octets)
        *ended, rest = (self._rest + octets).split(FLAG_OCTET)
        frames = []
        for part in ended:
            if self._overlong:
                self._overlong = False  # Counted when it became too long.
            elif part:
                frame = self._checked(part)
                if frame is None:
                    self.damaged += 1
                else:
                    frames.append(frame)
        if len(rest) > 2 * self._max_octets:
            rest = b""
            if not self._overlong:
                self._overlong = True
                self.damaged += 1
        self._rest = rest
        return frames

    def _checked(self, part: bytes) -> bytes | None:
        whole = _unescaped(part)
        if whole is None or not FCS_OCTETS < len(whole) <= self._max_octets:
            return None
        frame = whole[:-FCS_OCTETS]
        return frame if crc32(frame) == int.from_bytes(whole[-FCS_OCTETS:], "little") else None

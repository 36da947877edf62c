"""A frame on the wire."""

import zlib
from typing import NamedTuple

__all__ = ["FCS_OK", "PREAMBLE_OK", "RUNT", "TX_ER", "Frame", "on_wire"]

FCS_OK, PREAMBLE_OK, TX_ER, RUNT = 1, 2, 4, 8  # native/abi.h, hw_frame_flag


class Frame(NamedTuple):
    """A frame as the far end of the cable saw it.

    Parameters
    ----------
    time_fs : int
        When the first octet of its preamble was on the wire.
    octets : bytes
        The frame without preamble and FCS.
    gap_octets : int
        Octet times of silence before it.
    flags : int
        What the octet checks found; see ``ok``.
    start_cycle, end_cycle : int
        Cycles of the first preamble octet and the last FCS octet.
    fcs : bytes
        The four octets after it.
    """

    time_fs: int
    octets: bytes
    gap_octets: int
    flags: int
    start_cycle: int
    end_cycle: int
    fcs: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether preamble, FCS and length are right and no error was signalled."""
        return self.flags == FCS_OK | PREAMBLE_OK

    @property
    def time_ns(self) -> int:
        """``time_fs`` in ns, rounded down."""
        return self.time_fs // 1_000_000


_PREAMBLE = b"\x55" * 7 + b"\xd5"


def on_wire(octets: bytes, fcs: bytes | None = None) -> bytes:
    """Return all octets of a frame on the wire: preamble, SFD, the frame, its FCS.

    Parameters
    ----------
    octets : bytes
        The frame without FCS; nothing is padded.
    fcs : bytes or None
        Another FCS than the right one.

    Examples
    --------
    >>> on_wire(b"123456789")[-4:].hex()
    '2639f4cb'
    """
    return _PREAMBLE + octets + (zlib.crc32(octets).to_bytes(4, "little") if fcs is None else fcs)

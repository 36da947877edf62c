"""Captures: frames of a link or a device as a pcapng file with times in ns."""

# Ref: PCAP Next Generation Capture File Format, draft-ietf-opsawg-pcapng.

import struct
from collections.abc import Iterable
from io import BufferedWriter
from pathlib import Path
from types import TracebackType

from .frame import FCS_OK, PREAMBLE_OK, TX_ER, Frame
from .world import FS_PER_NS

__all__ = ["Capture"]

_PACKET = struct.Struct("<IIIII")  # Interface, time high and low, captured and original length: 4.3.
_LINKTYPE_ETHERNET = 1
_NANOSECONDS = 9  # if_tsresol: 10^-9
# epb_flags, 4.3.1.
_CRC_ERROR, _PREAMBLE_ERROR, _SYMBOL_ERROR = 1 << 24, 1 << 28, 1 << 31


class Capture:
    """A pcapng file that frames are written to as they come.

    Parameters
    ----------
    path : Path or str
        The file; an old one is replaced.
    interfaces : iterable of str
        Names of the links or devices that frames will be from.

    Members
    -------
    count : int
        Frames written.

    Raises
    ------
    OSError
        If the file cannot be written.
    """

    def __init__(self, path: Path | str, interfaces: Iterable[str] = ("wire",)) -> None:
        self.count = 0
        self._file: BufferedWriter = Path(path).open("wb")  # noqa: SIM115  # Closed by ``close``.
        self._write_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), [(4, b"hardwire")])  # shb_userappl
        self._numbers: dict[str, int] = {}
        for name in interfaces:
            self._numbers[name] = len(self._numbers)
            options = [(2, name.encode()), (9, bytes([_NANOSECONDS]))]  # if_name, if_tsresol
            self._write_block(1, struct.pack("<HHI", _LINKTYPE_ETHERNET, 0, 0), options)

    def write(self, time_ns: int, octets: bytes, interface: str | None = None, flags: int = 0) -> None:
        """Add a frame without FCS; ``flags`` are those of the format (``epb_flags``)."""
        number = 0 if interface is None else self._numbers[interface]
        header = _PACKET.pack(number, time_ns >> 32, time_ns & 0xFFFF_FFFF, len(octets), len(octets))
        self._write_block(6, header + octets, [(2, flags.to_bytes(4, "little"))] if flags else [])  # epb_flags
        self.count += 1

    def write_frames(self, frames: Iterable[Frame], interface: str | None = None) -> None:
        """Add frames from the wire; those with a bad FCS, preamble or symbol are marked so."""
        for frame in frames:
            flags = 0 if frame.flags & FCS_OK else _CRC_ERROR
            flags |= 0 if frame.flags & PREAMBLE_OK else _PREAMBLE_ERROR
            flags |= _SYMBOL_ERROR if frame.flags & TX_ER else 0
            self.write(frame.time_fs // FS_PER_NS, frame.octets, interface, flags)

    def _write_block(self, kind: int, body: bytes, options: list[tuple[int, bytes]]) -> None:
        parts = [body, bytes(-len(body) % 4)]
        for code, value in options:
            parts += (struct.pack("<HH", code, len(value)), value, bytes(-len(value) % 4))
        if options:
            parts.append(bytes(4))  # opt_endofopt
        total = 12 + sum(map(len, parts))
        self._file.write(b"".join((struct.pack("<II", kind, total), *parts, struct.pack("<I", total))))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def __enter__(self) -> "Capture":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

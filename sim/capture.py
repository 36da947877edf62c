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

# Enhanced packet block, 4.3: packed here, because the library takes 50 us for each.
_EPB_HEADER = struct.Struct("<IIIIIII")
_EPB_FLAGS = struct.Struct("<HHII")  # Option 2, 4 octets, and the end of the options.
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
        from pcapng import FileWriter, blocks

        self.count = 0
        self._file: BufferedWriter = Path(path).open("wb")  # noqa: SIM115  # Closed by ``close``.
        section = blocks.SectionHeader(options={"shb_userappl": "hardwire"})
        self._numbers: dict[str, int] = {}
        for name in interfaces:
            self._numbers[name] = len(self._numbers)
            section.new_member(
                blocks.InterfaceDescription,
                link_type=_LINKTYPE_ETHERNET,
                snaplen=0,
                options={"if_name": name, "if_tsresol": bytes([_NANOSECONDS])},
            )
        FileWriter(self._file, section)

    def write(self, time_ns: int, octets: bytes, interface: str | None = None, flags: int = 0) -> None:
        """Add a frame without FCS; ``flags`` are those of the format (``epb_flags``)."""
        length = len(octets)
        padding = -length % 4
        options = _EPB_FLAGS.pack(2, 4, flags, 0) if flags else b""
        total = _EPB_HEADER.size + length + padding + len(options) + 4
        number = 0 if interface is None else self._numbers[interface]
        header = _EPB_HEADER.pack(6, total, number, time_ns >> 32, time_ns & 0xFFFF_FFFF, length, length)
        self._file.write(b"".join((header, octets, bytes(padding), options, total.to_bytes(4, "little"))))
        self.count += 1

    def write_frames(self, frames: Iterable[Frame], interface: str | None = None) -> None:
        """Add frames from the wire; those with a bad FCS, preamble or symbol are marked so."""
        for frame in frames:
            flags = 0 if frame.flags & FCS_OK else _CRC_ERROR
            flags |= 0 if frame.flags & PREAMBLE_OK else _PREAMBLE_ERROR
            flags |= _SYMBOL_ERROR if frame.flags & TX_ER else 0
            self.write(frame.time_fs // FS_PER_NS, frame.octets, interface, flags)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def __enter__(self) -> "Capture":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

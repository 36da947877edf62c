"""Captures: frames of a link or a device as a pcapng file with times in ns."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pcapng
from pcapng.blocks import EnhancedPacket, InterfaceDescription, SectionHeader

from .frame import FCS_OK, PREAMBLE_OK, TX_ER, Frame
from .nic import SimNic
from .world import FS_PER_NS

__all__ = ["INBOUND", "OUTBOUND", "Capture", "epb_errors"]

_LINKTYPE_ETHERNET = 1
_NANOSECONDS = b"\x09"  # if_tsresol: 10^-9
# epb_flags, draft-ietf-opsawg-pcapng 4.3.1.
INBOUND, OUTBOUND = 1, 2
_CRC_ERROR, _PREAMBLE_ERROR, _SYMBOL_ERROR = 1 << 24, 1 << 28, 1 << 31


def epb_errors(flags: int) -> int:
    """Return the error bits of ``epb_flags`` for the flags of a :class:`.frame.Frame`."""
    errors = 0 if flags & FCS_OK else _CRC_ERROR
    errors |= 0 if flags & PREAMBLE_OK else _PREAMBLE_ERROR
    return errors | (_SYMBOL_ERROR if flags & TX_ER else 0)


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
        self._path = path
        self._watching: list[Callable[[], None]] = []
        self._file = Path(path).open("wb")  # noqa: SIM115  # Closed by ``close``.
        self._section = SectionHeader(options={"shb_userappl": "hardwire"})
        self._numbers: dict[str, int] = {}
        for name in interfaces:
            self._numbers[name] = len(self._numbers)
            options = {"if_name": name, "if_tsresol": _NANOSECONDS}
            self._section.new_member(InterfaceDescription, link_type=_LINKTYPE_ETHERNET, options=options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Of this library about its own table of options.
            self._writer = pcapng.FileWriter(self._file, self._section)

    def write(
        self,
        time_ns: int,
        octets: bytes,
        interface: str | None = None,
        flags: int = 0,
        original_octets: int = 0,
        comment: str = "",
    ) -> None:
        """Add a frame without FCS, or its first octets; ``flags`` are those of the format (``epb_flags``).

        Raises
        ------
        ValueError
            If the frame has no octets.
        """
        if not octets:
            raise ValueError(f"a capture takes frames of at least 1 octet, not the empty one at {time_ns} ns")
        options = {name: value for name, value in (("epb_flags", flags), ("opt_comment", comment)) if value}
        packet = self._section.new_member(EnhancedPacket, options=options)
        packet.interface_id = 0 if interface is None else self._numbers[interface]
        packet.timestamp_high, packet.timestamp_low = time_ns >> 32, time_ns & 0xFFFF_FFFF
        packet.packet_data = octets
        packet.packet_len = max(original_octets, len(octets))
        with self._named_errors():
            self._writer.write_block(packet)
        self.count += 1

    def write_frames(self, frames: Iterable[Frame], interface: str | None = None, *, direction: int = 0) -> None:
        """Add frames from the wire; those with a bad FCS, preamble or symbol are marked so; empty ones are left out."""
        for frame in frames:
            if not frame.octets:
                continue  # The format has no room for what had not even an octet before its FCS.
            self.write(frame.time_fs // FS_PER_NS, frame.octets, interface, direction | epb_errors(frame.flags))

    def watch(self, nic: SimNic, interface: str | None = None) -> None:
        """Write all that a card sends and receives from now on to :meth:`close`, as outbound and inbound."""

        def write(frames: list[Frame], sent: bool) -> None:
            self.write_frames(frames, interface, direction=OUTBOUND if sent else INBOUND)

        self._watching.append(nic.watch(write))

    def close(self) -> None:
        """Finish the file."""
        for stop in self._watching:
            stop()
        self._watching.clear()
        with self._named_errors():
            self._file.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Say in an error of the system which file it is about."""
        try:
            yield
        except OSError as error:
            error.filename = str(self._path)
            raise

    def __enter__(self) -> "Capture":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

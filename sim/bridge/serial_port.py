"""A bridge over a serial port: ``uart:/dev/ttyUSB0``. Time is real."""

import errno
import grp
import os
import select
import time
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass

import serial
from serial.tools.list_ports import comports

from ...hdl.config import NicConfig
from ..bus_model import BusModel
from ..world import FS_PER_NS, Host
from .link import MS_FS, BridgeError
from .nic import BridgeNic

__all__ = ["SerialPort", "open_uart"]

_BAUD = 3_000_000
_BITS_PER_OCTET = 10
_MOST_OCTETS = 1 << 16
_NAP_S = 0.002  # Longest wait, so that signals are seen to.
# An adapter for USB keeps what has come for up to 16 ms, and the computer has other things to do, too.
_LATENCY_FS = 50 * MS_FS
_SETTLE_FS = 30 * MS_FS
_OPTIONS: dict[str, Container[int]] = {"baud": range(1200, 100_000_001), "phy": range(32), "speed": (100, 1000)}


class SerialPort:
    """A serial port as a ``Carrier``.

    Parameters
    ----------
    path : str
        Its device file.
    baud : int
        Symbols a second; a character has 8 bits, no parity and one stop bit.

    Raises
    ------
    BridgeError
        If it cannot be opened, or set to that rate.
    """

    def __init__(self, path: str, baud: int = _BAUD) -> None:
        self.octet_fs = 10**15 * _BITS_PER_OCTET // baud
        self._path = path
        self._waiting = b""  # What the port has no room for.
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError.
            raise _refusal(path, baud, error) from error
        with suppress(OSError, ValueError, NotImplementedError):  # Only some drivers have that.
            self._port.set_low_latency_mode(True)
        self._port.reset_input_buffer()
        self._fd: int = self._port.fileno()

    @property
    def time_fs(self) -> int:
        """The computer's monotonic clock."""
        return time.monotonic_ns() * FS_PER_NS

    def write(self, octets: bytes) -> None:
        """Queue octets; what the port takes at once goes out at once."""
        self._waiting += octets
        self._push()

    def read(self) -> bytes:
        """Return the octets that have come."""
        if self._waiting:
            self._push()
        try:
            octets = os.read(self._fd, _MOST_OCTETS)
            if not octets and select.select([self._fd], [], [], 0)[0]:
                octets = os.read(self._fd, _MOST_OCTETS)  # They have come meanwhile, or the port has gone.
                if not octets:
                    raise self._gone()
        except BlockingIOError:
            return b""
        except BridgeError:
            raise
        except OSError as error:
            raise self._gone() from error
        return octets

    def wait(self, until_fs: int) -> None:
        """Wait until octets come or to that time, at most some milliseconds."""
        left_s = min((until_fs - self.time_fs) / 1e15, _NAP_S)
        if left_s > 0:
            select.select([self._fd], [self._fd] if self._waiting else [], [], left_s)

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def _push(self) -> None:
        try:
            self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> BridgeError:
        return BridgeError(errno.ENODEV, f"{self._path} has gone: was its cable pulled?")


def _refusal(path: str, baud: int, error: OSError | ValueError) -> BridgeError:
    """Return why a port cannot be used, and what to do."""
    number = getattr(error, "errno", None) or errno.EIO
    if number == errno.ENOENT:
        ports = ", ".join(sorted(port.device for port in comports())) or "none"
        return BridgeError(number, f"there is no serial port {path}; there are: {ports}")
    if number in (errno.EACCES, errno.EPERM):
        group = "its group"
        with suppress(OSError, KeyError):
            group = f"the group {grp.getgrgid(os.stat(path).st_gid).gr_name}"
        return BridgeError(number, f"no permission to use {path}: join {group}, and log in anew")
    if number in (errno.EBUSY, errno.EAGAIN):
        return BridgeError(number, f"another program uses {path}: end it first")
    if isinstance(error, ValueError):
        return BridgeError(errno.EINVAL, f"{path} cannot do {baud:,} baud: {error}")
    return BridgeError(number, f"{path} cannot be opened as a serial port: {error}")


@dataclass(frozen=True)
class _Place:
    """Where a card is: a port and its options."""

    path: str
    baud: int = _BAUD
    phy: int | None = None
    speed: int = 1000

    @classmethod
    def parse(cls, text: str) -> "_Place":
        path, *options = text.split(",")
        if not path:
            raise BridgeError(errno.EINVAL, "uart: say which port, such as uart:/dev/ttyUSB0")
        values: dict[str, int] = {}
        for option in options:
            name, _, value = option.partition("=")
            allowed = _OPTIONS.get(name, range(0))
            if not value.isascii() or not value.isdigit() or int(value) not in allowed:
                raise BridgeError(
                    errno.EINVAL,
                    f"uart:{text}: {option!r} is no option: baud=N, 1200 to 100000000; phy=N, the PHY's address, "
                    "0 to 31; speed=100 or speed=1000, Mb/s",
                )
            values[name] = int(value)
        return cls(path, **values)


def open_uart(
    address: str = "",
    *,
    host: Host,
    config: NicConfig | None = None,
    bus: BusModel | None = None,
    waves: bool = False,
) -> BridgeNic:
    """Return the card on a serial port: ``/dev/ttyUSB0``, or with options: ``/dev/ttyUSB0,baud=1000000,phy=1``.

    Raises
    ------
    BridgeError
        If the port cannot be used, or no card of ours answers there.
    """
    place = _Place.parse(address)
    if waves:
        raise BridgeError(errno.EINVAL, "a card on a serial port has no waves: only a simulated one has")
    port = SerialPort(place.path, place.baud)
    try:
        return BridgeNic(
            host,
            port,
            config=config,
            latency_fs=_LATENCY_FS,
            settle_fs=_SETTLE_FS,
            phy_address=place.phy,
            speed_mbps=place.speed,
        )
    except BridgeError as error:
        port.close()
        raise BridgeError(error.errno, f"{place.path}, {place.baud:,} baud: {error.strerror}") from error

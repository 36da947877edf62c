"""Rates, sizes, times and handles as ``tc`` reads and prints them (iproute2: tc/tc_util.c, lib/utils.c)."""

from math import floor
from typing import NoReturn

from .args import CommandError

__all__ = [
    "TICKS_PER_US",
    "get_handle",
    "get_percent",
    "get_rate",
    "get_size",
    "get_time_us",
    "get_whole",
    "handle_text",
    "rate_text",
    "size_text",
    "time_text",
]

TICKS_PER_US = 15.625  # A tick of the kernel's packet scheduler is 64 ns (/proc/net/psched).
_SIZES = {
    "": 1,
    "b": 1,
    "k": 1024,
    "kb": 1024,
    "m": 1024**2,
    "mb": 1024**2,
    "g": 1024**3,
    "gb": 1024**3,
    "kbit": 1024 / 8,
    "mbit": 1024**2 / 8,
    "gbit": 1024**3 / 8,
}
_RATES_BPS = {
    "": 1,
    "bit": 1,
    "kbit": 1e3,
    "mbit": 1e6,
    "gbit": 1e9,
    "tbit": 1e12,
    "kibit": 1024,
    "mibit": 1024**2,
    "gibit": 1024**3,
    "bps": 8,
    "kbps": 8e3,
    "mbps": 8e6,
    "gbps": 8e9,
}
_TIMES_US = {
    "": 1,
    "s": 1e6,
    "sec": 1e6,
    "secs": 1e6,
    "ms": 1e3,
    "msec": 1e3,
    "msecs": 1e3,
    "us": 1,
    "usec": 1,
    "usecs": 1,
}


def illegal(kind: str, what: str, word: str) -> NoReturn:
    """Say that a qdisc's parameter has an impossible value."""
    raise CommandError(f'{kind}: Illegal value for "{what}": "{word}"', status=1)


def _scaled(word: str, units: "dict[str, float]") -> float | None:
    """Return a number with a unit behind it; None if it is none, or negative."""
    at = len(word)
    while at and not (word[at - 1].isdigit() or word[at - 1] == "."):
        at -= 1
    try:
        value = float(word[:at])
    except ValueError:
        return None
    factor = units.get(word[at:].lower())
    return None if factor is None else value * factor


def get_size(kind: str, what: str, word: str) -> int:
    """Return octets."""
    value = _scaled(word, _SIZES)
    if value is None or value > 0xFFFF_FFFF:
        illegal(kind, what, word)
    return int(value)


def get_rate(kind: str, what: str, word: str) -> int:
    """Return a rate in octets a second."""
    value = _scaled(word, _RATES_BPS)
    if value is None:
        illegal(kind, what, word)
    return int(value / 8)


def get_time_us(kind: str, what: str, word: str) -> float:
    """Return a time in µs."""
    value = _scaled(word, _TIMES_US)
    if value is None:
        illegal(kind, what, word)
    return value


def get_percent(kind: str, what: str, word: str) -> int:
    """Return a share, written in per cent, as a number of 32 bits."""
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        illegal(kind, what, word)
    if not 0 <= value <= 100:
        illegal(kind, what, word)
    return floor(value / 100 * 0xFFFF_FFFF + 0.5)


def get_whole(kind: str, what: str, word: str, most: int = 0xFFFF_FFFF) -> int:
    """Return a whole number."""
    try:
        value = int(word, 0)
    except ValueError:
        illegal(kind, what, word)
    if not 0 <= value <= most:
        illegal(kind, what, word)
    return value


def get_handle(word: str) -> int:
    """Return the number of ``1:``, ``1:10`` or ``root``.

    Raises
    ------
    CommandError
        If it is none.
    """
    if word == "root":
        return 0xFFFF_FFFF
    if word == "none":
        return 0
    major, colon, minor = word.partition(":")
    try:
        values = int(major or "0", 16), int(minor or "0", 16)
    except ValueError:
        values = -1, -1
    if not colon or not all(0 <= value <= 0xFFFF for value in values):
        raise CommandError(f'Error: argument "{word}" is wrong: Invalid handle', status=1)
    return values[0] << 16 | values[1]


def handle_text(handle: int) -> str:
    """Return a class's handle as text."""
    if handle == 0xFFFF_FFFF:
        return "root"
    if not handle:
        return "none"
    major, minor = handle >> 16, handle & 0xFFFF
    return f"{major or '':x}:{minor:x}" if major and minor else f"{major:x}:" if major else f":{minor:x}"


def rate_text(rate: int) -> str:
    """Return a rate of octets a second as bits a second."""
    bits = rate * 8
    for unit in ("bit", "Kbit", "Mbit", "Gbit", "Tbit"):
        if unit == "Tbit" or bits < 1000 or ((bits % 1000 or bits < 1000) and bits < 1000 * 1000):
            break
        bits //= 1000
    return f"{bits:g}{unit}" if isinstance(bits, float) else f"{bits}{unit}"


def size_text(size: int) -> str:
    """Return a number of octets."""
    if size >= 1024**2 and abs(1024**2 * round(size / 1024**2) - size) < 1024:
        return f"{round(size / 1024**2)}Mb"
    if size >= 1024 and abs(1024 * round(size / 1024) - size) < 16:
        return f"{round(size / 1024)}Kb"
    return f"{size}b"


def time_text(us: float) -> str:
    """Return a time of so many µs."""
    if us >= 1e6:
        return f"{us / 1e6:.3g}s"
    if us >= 1e3:
        return f"{us / 1e3:.3g}ms"
    return f"{int(us)}us"

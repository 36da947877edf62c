"""Numbers and structures of traffic control, as programs see them (Linux: include/uapi/linux/pkt_sched.h)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from errno import EINVAL
from struct import Struct
from typing import Any, cast

__all__ = [
    "TC_FORMATS",
    "TC_H_INGRESS",
    "TC_H_MAJ",
    "TC_H_MAKE",
    "TC_H_MIN",
    "TC_H_ROOT",
    "TC_H_UNSPEC",
    "TC_PRIO_MAX",
    "Options",
    "TcStruct",
    "check_options",
    "psched_ns2ticks",
    "psched_ticks2ns",
]

TC_H_UNSPEC = 0
TC_H_ROOT = 0xFFFFFFFF
TC_H_INGRESS = 0xFFFFFFF1

TC_PRIO_MAX = 15

_PSCHED_SHIFT = 6  # A tick of the packet scheduler is 64 ns.

Options = Mapping[str, Any]

# Formats of ``struct`` by the names that fields have.
TC_FORMATS = {"u8": "B", "s8": "b", "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q"}


def TC_H_MAJ(handle: int) -> int:
    """Return the part of a handle that names the qdisc: ``1:2`` is ``1:``."""
    return handle & 0xFFFF0000


def TC_H_MIN(handle: int) -> int:
    """Return the part of a handle that names the class in its qdisc."""
    return handle & 0xFFFF


def TC_H_MAKE(major: int, minor: int) -> int:
    """Put a handle together."""
    return major & 0xFFFF0000 | minor & 0xFFFF


def psched_ticks2ns(ticks: int) -> int:
    """Return a time in ns."""
    return ticks << _PSCHED_SHIFT


def psched_ns2ticks(ns: int) -> int:
    """Return a time in ticks of the packet scheduler."""
    return ns >> _PSCHED_SHIFT


@dataclass(frozen=True, slots=True)
class TcStruct:
    """A structure that an attribute holds, or ``TCA_OPTIONS`` itself.

    Parameters
    ----------
    name : str
        The kernel's name of it.
    fields : tuple[tuple[str, str], ...]
        Names, under which the qdisc takes and returns the values, and encodings: ``"u32"``, ``"u8[16]"``.
    """

    name: str
    fields: tuple[tuple[str, str], ...]

    def _struct(self) -> Struct:
        text = "="
        for _, encoding in self.fields:
            kind, _, count = encoding.rstrip("]").partition("[")
            text += count + TC_FORMATS[kind]
        return Struct(text)

    @property
    def size_octets(self) -> int:
        """How long it is."""
        return self._struct().size

    def pack(self, options: Options) -> bytes:
        """Return the structure's octets; what ``options`` have not is 0."""
        values: list[int] = []
        for name, encoding in self.fields:
            _, _, count = encoding.rstrip("]").partition("[")
            if count:
                values += options.get(name) or [0] * int(count)
            else:
                values.append(options.get(name, 0))
        return self._struct().pack(*values)

    def unpack(self, octets: bytes) -> dict[str, Any]:
        """Return the values of a structure, which may have more behind it.

        Raises
        ------
        OSError
            ``EINVAL`` if it is too short.
        """
        if len(octets) < self.size_octets:
            raise OSError(EINVAL, f"{len(octets)} octets are no {self.name}")
        values = list(self._struct().unpack_from(octets))
        options: dict[str, Any] = {}
        for name, encoding in self.fields:
            _, _, count = encoding.rstrip("]").partition("[")
            if count:
                options[name] = tuple(values[: int(count)])
                del values[: int(count)]
            else:
                options[name] = values.pop(0)
        return options


def _encodings(layouts: Iterable[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for layout in layouts:
        if isinstance(layout, dict):
            found |= _encodings(cast("dict[int, Any]", layout).values())
        else:
            found.update(layout.fields if isinstance(layout, TcStruct) else [layout])
    return found


def _fits(value: Any, encoding: str) -> bool:
    kind, array, _ = encoding.partition("[")
    if kind == "sel":
        return True
    if array:
        return isinstance(value, tuple | list) and all(_fits(item, kind) for item in value)  # pyright: ignore[reportUnknownVariableType] - any
    bits = int(kind[1:])
    low = -1 << bits - 1 if kind[0] == "s" else 0
    return isinstance(value, int) and low <= value < low + (1 << bits)


def check_options(kind: str, layouts: Sequence[Any], options: Options) -> None:
    """Check that options are known and that their values fit.

    Parameters
    ----------
    kind : str
        What takes them, for the text of the error.
    layouts : Sequence[TcStruct or tuple[str, str]]
        Which there are: structures, and attributes with one value each.
    options : Options
        Names and values.

    Raises
    ------
    OSError
        ``EINVAL``.
    """
    encodings = _encodings(layouts)
    unknown = sorted(options.keys() - encodings.keys())
    if unknown and not encodings:
        raise OSError(EINVAL, f"{kind} has no options")
    if unknown:
        raise OSError(EINVAL, f"{kind} does not take {', '.join(unknown)}")
    for name, value in options.items():
        encoding = encodings[name]
        if not _fits(value, encoding):
            what = "a number from 0 up" if encoding[0] == "u" and "[" not in encoding else encoding
            raise OSError(EINVAL, f"{name} must be {what}, not {value!r}")

"""Options of qdiscs and filters as octets: what ``TCA_OPTIONS`` holds (Linux: include/uapi/linux/pkt_sched.h)."""

from collections.abc import Mapping
from errno import EINVAL
from struct import Struct
from sys import byteorder
from typing import Any, cast

from ..netlink.attr import nla_iter, nlattr
from ..netlink.message import nlmsg_align
from ..netlink.uapi import NLA_F_NESTED
from .cls_u32 import TC_U32_SEL, U32Key, U32Sel
from .pkt_sched import TC_FORMATS, Options, TcStruct

__all__ = ["Layout", "decode_options", "encode_options"]

# An attribute: an option and its encoding, a structure of several options, or attributes of which one is there.
Layout = Any

_KEY = Struct("=IIii")  # struct tc_u32_key: mask, val, off, offmask.


def encode_options(qopt: TcStruct | None, policy: Mapping[int, Layout], options: Options) -> bytes:
    """Return the octets of options.

    Parameters
    ----------
    qopt : TcStruct or None
        What they start with.
    policy : Mapping[int, Layout]
        Attributes behind it; those of which no option is there are left out.
    options : Options
        Values by name.
    """
    octets = b"" if qopt is None else qopt.pack(options)
    octets = octets.ljust(nlmsg_align(len(octets)), b"\0")
    for kind, layout in policy.items():
        if isinstance(layout, dict):
            nested = cast("dict[int, Layout]", layout)
            inner = encode_options(None, nested, options)
            octets += nlattr(kind | NLA_F_NESTED, inner) if inner else b""
        elif isinstance(layout, TcStruct):
            if any(name in options for name, _ in layout.fields):
                octets += nlattr(kind, layout.pack(options))
        elif options.get(layout[0]) is not None:
            octets += nlattr(kind, _encode(layout[1], options[layout[0]]))
    return octets


def _encode(encoding: str, value: Any) -> bytes:
    if encoding == "sel":
        return _encode_sel(value)
    kind, array, _ = encoding.partition("[")
    values = list(value) if array else [value]
    return Struct(f"={len(values)}{TC_FORMATS[kind]}").pack(*values)


def decode_options(qopt: TcStruct | None, policy: Mapping[int, Layout], octets: bytes) -> dict[str, Any]:
    """Return options by name; attributes that are not known are left out.

    Raises
    ------
    OSError
        ``EINVAL`` if something is too short.
    """
    options: dict[str, Any] = {}
    start = 0
    if qopt is not None:
        options = qopt.unpack(octets)
        start = nlmsg_align(qopt.size_octets)
    for attr in nla_iter(octets, start):
        layout = policy.get(attr.type)
        if isinstance(layout, dict):
            nested = cast("dict[int, Layout]", layout)
            options |= decode_options(None, nested, attr.data)
        elif isinstance(layout, TcStruct):
            options |= layout.unpack(attr.data)
        elif layout is not None:
            options[layout[0]] = _decode(layout[0], layout[1], attr.data)
    return options


def _decode(name: str, encoding: str, data: bytes) -> Any:
    if encoding == "sel":
        return _decode_sel(data)
    kind, array, _ = encoding.partition("[")
    size = Struct("=" + TC_FORMATS[kind]).size
    count = len(data) // size if array else 1
    if len(data) < size * count or (array and len(data) % size):
        raise OSError(EINVAL, f"{len(data)} octets are no {name}")
    values = Struct(f"={count}{TC_FORMATS[kind]}").unpack_from(data)
    return values if array else values[0]


def _encode_sel(sel: U32Sel) -> bytes:
    """Return a selector of ``u32``: masks and values are in network order, offsets in the host's."""
    options = {
        "flags": sel.flags,
        "offshift": sel.offshift,
        "nkeys": len(sel.keys),
        "offmask": _swapped(sel.offmask, 2),
        "off": sel.off,
        "offoff": sel.offoff,
        "hoff": sel.hoff,
        "hmask": _swapped(sel.hmask, 4),
    }
    keys = b"".join(
        _KEY.pack(_swapped(key.mask, 4), _swapped(key.val, 4), key.off, -1 if key.offmask else 0) for key in sel.keys
    )
    return TC_U32_SEL.pack(options) + keys


def _decode_sel(data: bytes) -> U32Sel:
    options = TC_U32_SEL.unpack(data)
    start = TC_U32_SEL.size_octets
    if len(data) < start + options["nkeys"] * _KEY.size:
        raise OSError(EINVAL, f"{len(data)} octets are no selector of {options['nkeys']} keys")
    keys: list[U32Key] = []
    for at in range(start, start + options["nkeys"] * _KEY.size, _KEY.size):
        mask, val, off, offmask = _KEY.unpack_from(data, at)
        keys.append(U32Key(_swapped(mask, 4), _swapped(val, 4), off, offmask & 0xFFFF_FFFF))
    return U32Sel(
        tuple(keys),
        options["flags"],
        options["off"],
        options["offoff"],
        _swapped(options["offmask"], 2),
        options["offshift"],
        options["hoff"],
        _swapped(options["hmask"], 4),
    )


def _swapped(value: int, size: int) -> int:
    """Return a number as it reads in the host's order when it lies there in network order, or back."""
    return int.from_bytes(value.to_bytes(size, "big"), byteorder)

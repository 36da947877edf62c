"""The words of tc-u32(8) for what a filter looks at."""

from ..wire.address import ipv4_from_text
from .cls_u32 import TC_U32_TERMINAL, U32Key, U32Sel

__all__ = ["u32_match", "u32_sel"]

_ALL = 0xFFFFFFFF
_IP = {"src": 12, "dst": 16}
_FIELDS = {  # Of IPv4 without options: place and length in octets.
    ("ip", "tos"): (1, 1),
    ("ip", "dsfield"): (1, 1),
    ("ip", "protocol"): (9, 1),
    ("ip", "sport"): (20, 2),
    ("ip", "dport"): (22, 2),
    ("ip", "icmp_type"): (20, 1),
    ("ip", "icmp_code"): (21, 1),
}
_NEXT = {"src": (0, 2), "dst": (2, 2)}  # Of udp and tcp, behind nexthdr+.
_SIZES = {"u8": 1, "u16": 2, "u32": 4}


def _key(value: int, mask: int, offset: int, size: int, offmask: int) -> U32Key:
    """Return the key for a field, in the word that it lies in."""
    shift = 8 * (4 - size - offset % 4)
    return U32Key(mask << shift, (value & mask) << shift, offset - offset % 4, offmask)


def u32_match(text: str) -> U32Key:
    """Return the key of a match.

    Parameters
    ----------
    text : str
        ``"ip src 10.0.0.0/8"``, ``"ip dport 9000 0xffff"``, ``"udp dst 53 0xffff"``, or
        ``"u16 0x50 0xffff at nexthdr+2"``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    words = text.split()
    match words:
        case ["ip", "src" | "dst" as which, prefix]:
            address, _, length = prefix.partition("/")
            mask = _ALL << 32 - int(length or 32) & _ALL
            return U32Key(mask, ipv4_from_text(address) & mask, _IP[which])
        case ["ip", field, value, mask] if ("ip", field) in _FIELDS:
            offset, size = _FIELDS["ip", field]
            return _key(int(value, 0), int(mask, 0), offset, size, 0)
        case ["udp" | "tcp", "src" | "dst" as which, value, mask]:
            offset, size = _NEXT[which]
            return _key(int(value, 0), int(mask, 0), offset, size, _ALL)
        case ["u8" | "u16" | "u32" as size, value, mask, "at", where]:
            next_header = where.startswith("nexthdr+")
            offset = int(where.removeprefix("nexthdr+"), 0)
            return _key(int(value, 0), int(mask, 0), offset, _SIZES[size], _ALL if next_header else 0)
        case _:
            raise ValueError(f"no match of u32: {text!r}")


def u32_sel(*matches: str, flags: int = TC_U32_TERMINAL, **more: int) -> U32Sel:
    """Return a selector of several matches; by default it names a class. Matches in one word become one, as by tc."""
    keys: list[U32Key] = []
    for key in map(u32_match, matches):
        for at, other in enumerate(keys):
            same = (other.off, other.offmask) == (key.off, key.offmask)
            if same and not (other.val ^ key.val) & other.mask & key.mask:
                keys[at] = U32Key(other.mask | key.mask, other.val | key.val, key.off, key.offmask)
                break
        else:
            keys.append(key)
    return U32Sel(tuple(keys), flags, **more)

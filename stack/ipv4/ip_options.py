"""Options of IPv4 headers (Linux: net/ipv4/ip_options.c; RFC 791 §3.1)."""

from errno import EINVAL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff

__all__ = [
    "IPOPT_END",
    "IPOPT_LSRR",
    "IPOPT_NOOP",
    "IPOPT_RA",
    "IPOPT_RR",
    "IPOPT_SSRR",
    "IPOPT_TIMESTAMP",
    "first_hop",
    "ip_options_build",
    "ip_options_compile",
    "ip_options_fragment",
]

IPOPT_END = 0
IPOPT_NOOP = 1
IPOPT_RR = 7
IPOPT_TIMESTAMP = 0x44
IPOPT_LSRR = 0x83
IPOPT_SSRR = 0x89
IPOPT_RA = 0x94
_COPY = 0x80  # In each fragment.
_SOURCE_ROUTES = (IPOPT_LSRR, IPOPT_SSRR)


def _options(octets: bytes) -> list[tuple[int, int, int]]:
    """Return kind, place and length of each option.

    Raises
    ------
    OSError
        ``EINVAL`` if an option's length leads nowhere.
    """
    found: list[tuple[int, int, int]] = []
    at = 0
    while at < len(octets) and octets[at] != IPOPT_END:
        kind = octets[at]
        length = 1
        if kind != IPOPT_NOOP:
            length = octets[at + 1] if at + 1 < len(octets) else 0
            if length < 2 or at + length > len(octets):
                raise OSError(EINVAL, f"IP option {kind} has a wrong length")
            found.append((kind, at, length))
        at += length
    return found


def ip_options_compile(octets: bytes) -> bytes:
    """Check the options that a program wants in its packets, and pad them to whole words.

    A source route keeps its first hop in its first slot; ``ip_options_build`` puts the final destination in.

    Raises
    ------
    OSError
        ``EINVAL`` for more than 40 octets, or an option that is malformed or given twice.
    """
    if len(octets) > 40:
        raise OSError(EINVAL, "more than 40 octets of IP options")
    octets += bytes(-len(octets) % 4)
    seen = set[int]()
    for kind, at, length in _options(octets):
        family = IPOPT_LSRR if kind in _SOURCE_ROUTES else kind
        if family in seen:
            raise OSError(EINVAL, f"IP option {kind} given twice")
        seen.add(family)
        if kind in _SOURCE_ROUTES and (length < 7 or (length - 3) % 4 or octets[at + 2] != 4):
            raise OSError(EINVAL, "the source route is malformed")
        if kind == IPOPT_RR and (length < 7 or (length - 3) % 4 or octets[at + 2] < 4):
            raise OSError(EINVAL, "the record route is malformed")
        if kind == IPOPT_TIMESTAMP and (length < 8 or octets[at + 2] < 5 or octets[at + 3] & 15 not in (0, 1, 3)):
            raise OSError(EINVAL, "the timestamp option is malformed")
        if kind == IPOPT_RA and length != 4:
            raise OSError(EINVAL, "the router alert is malformed")
    return octets


def first_hop(options: bytes) -> int:
    """Return the first address of the source route, where the packet goes at first; 0 if there is none."""
    for kind, at, _ in _options(options):
        if kind in _SOURCE_ROUTES:
            return int.from_bytes(options[at + 3 : at + 7], "big")
    return 0


def ip_options_build(skb: "SkBuff", options: bytes, daddr: int, saddr: int) -> None:
    """Write options behind the header of a packet that leaves this host.

    Parameters
    ----------
    skb : SkBuff
        The packet, with room for the options.
    options : bytes
        As ``ip_options_compile`` returned them.
    daddr, saddr : int
        The final destination, for a source route; the address that the packet leaves with, for a record route.
    """
    octets = bytearray(options)
    for kind, at, length in _options(options):
        if kind in _SOURCE_ROUTES:
            # The first hop goes to the header, the rest moves up, and the destination is the last hop.
            octets[at + 3 : at + length] = options[at + 7 : at + length] + daddr.to_bytes(4, "big")
        elif kind == IPOPT_RR and options[at + 2] + 3 <= length:
            slot = at + options[at + 2] - 1
            octets[slot : slot + 4] = saddr.to_bytes(4, "big")
            octets[at + 2] += 4
    at = skb.network_header + 20
    skb.view[at : at + len(octets)] = octets


def ip_options_fragment(skb: "SkBuff") -> None:
    """Turn the options that only the first fragment has into no-operations (RFC 791: those without the copied flag)."""
    at = skb.network_header
    view = skb.view
    start = at + 20
    octets = bytes(view[start : at + ((view[at] & 15) << 2)])
    for kind, place, length in _options(octets):
        if not kind & _COPY:
            view[start + place : start + place + length] = bytes((IPOPT_NOOP,)) * length

"""Options of IPv4 headers (Linux: net/ipv4/ip_options.c; RFC 791 §3.1)."""

from errno import EINVAL
from typing import TYPE_CHECKING

from .fib_frontend import inet_addr_type
from .rtnetlink import RtType

if TYPE_CHECKING:
    from ..core.net import Kernel
    from ..core.skbuff import SkBuff
    from .route import RTable

__all__ = [
    "IPOPT_END",
    "IPOPT_LSRR",
    "IPOPT_NOOP",
    "IPOPT_RA",
    "IPOPT_RR",
    "IPOPT_SSRR",
    "IPOPT_TIMESTAMP",
    "first_hop",
    "inet_current_timestamp",
    "ip_options_build",
    "ip_options_compile",
    "ip_options_fragment",
    "is_strictroute",
]

IPOPT_END = 0
IPOPT_NOOP = 1
IPOPT_RR = 7
IPOPT_TIMESTAMP = 0x44
IPOPT_LSRR = 0x83
IPOPT_SSRR = 0x89
IPOPT_RA = 0x94
IPOPT_TS_TSONLY = 0
IPOPT_TS_TSANDADDR = 1
IPOPT_TS_PRESPEC = 3
_COPY = 0x80  # In each fragment.
_SOURCE_ROUTES = (IPOPT_LSRR, IPOPT_SSRR)
_ONCE = (IPOPT_LSRR, IPOPT_RR, IPOPT_TIMESTAMP)


class IpOptions:
    """Where the options of a received packet are, in octets from its IPv4 header; 0: not there.

    Members
    -------
    srr, rr, ts : int
        Source route, record route and timestamp.
    rr_needaddr, ts_needaddr : bool
        This host has written its address there: if it forwards the packet, it is to be that of the way out.
    router_alert : int
        Router Alert, if its value is 0: each router shall look at the packet (RFC 2113).
    do_redirect : bool
        The packet's sender is to be told of a shorter way.
    frag_max_size : int
        Of a packet that was put together: its longest fragment, in octets; none longer is made of it.
    """

    __slots__ = ("do_redirect", "frag_max_size", "router_alert", "rr", "rr_needaddr", "srr", "ts", "ts_needaddr")

    def __init__(self) -> None:
        self.srr = self.rr = self.ts = self.router_alert = self.frag_max_size = 0
        self.rr_needaddr = self.ts_needaddr = self.do_redirect = False


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


def _is_malformed(option: bytes) -> bool:
    """Return whether an option of a kind that we know has a wrong length, or a pointer to no place of its own."""
    kind, length = option[0], len(option)
    if kind in _SOURCE_ROUTES:
        return length < 7 or length & 3 != 3 or option[2] != 4
    if kind == IPOPT_RR:
        return length < 3 or option[2] < 4 or option[2] <= length < option[2] + 3
    if kind == IPOPT_TIMESTAMP:
        if length < 4 or option[2] < 5:
            return True
        overflow, flag = divmod(option[3], 16)
        if option[2] > length:  # Full: other hosts only count there.
            return overflow == 15 and flag != IPOPT_TS_PRESPEC
        return option[2] + (7 if flag in (IPOPT_TS_TSANDADDR, IPOPT_TS_PRESPEC) else 3) > length
    return kind == IPOPT_RA and length < 4


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
    end = 0
    for kind, at, length in _options(octets):
        if _is_malformed(octets[at : at + length]):
            raise OSError(EINVAL, f"IP option {kind} is malformed")
        family = IPOPT_LSRR if kind in _SOURCE_ROUTES else kind
        if family in seen:
            raise OSError(EINVAL, f"IP option {kind} given twice")
        if family in _ONCE:
            seen.add(family)
        end = at + length
    return octets[:end] + bytes(len(octets) - end)


def first_hop(options: bytes) -> int:
    """Return the first address of the source route, where the packet goes at first; 0 if there is none."""
    for kind, at, _ in _options(options):
        if kind in _SOURCE_ROUTES:
            return int.from_bytes(options[at + 3 : at + 7], "big")
    return 0


def is_strictroute(options: bytes) -> bool:
    """Return whether there is a source route whose hops must be on the link each."""
    return any(kind == IPOPT_SSRR for kind, _, _ in _options(options))


def ip_options_build(skb: "SkBuff", options: bytes, daddr: int, rt: "RTable") -> None:
    """Write options behind the header of a packet that leaves this host.

    Parameters
    ----------
    skb : SkBuff
        The packet, with its header and room for the options.
    options : bytes
        As ``ip_options_compile`` returned them.
    daddr : int
        The final destination, for a source route.
    rt : RTable
        The packet's route.
    """
    octets = bytearray(options)
    header = skb.network_header
    saddr = bytes(skb.view[header + 12 : header + 16])
    for kind, at, length in _options(options):
        if kind in _SOURCE_ROUTES:
            # The first hop goes to the header, the rest moves up, and the destination is the last hop.
            octets[at + 3 : at + length] = options[at + 7 : at + length] + daddr.to_bytes(4, "big")
        elif kind in (IPOPT_RR, IPOPT_TIMESTAMP) and options[at + 2] <= length:
            slot = at + options[at + 2] - 1
            stamp = b""
            if kind == IPOPT_RR:
                stamp = saddr
            elif options[at + 3] & 15 == IPOPT_TS_TSONLY:
                stamp = inet_current_timestamp(skb.kernel)
            elif options[at + 3] & 15 == IPOPT_TS_TSANDADDR:
                stamp = saddr + inet_current_timestamp(skb.kernel)
            elif options[at + 3] & 15 == IPOPT_TS_PRESPEC:
                asked = options[slot : slot + 4]
                # Another host's turn?
                if inet_addr_type(rt.dev.net, int.from_bytes(asked, "big")) != RtType.UNICAST:
                    stamp = asked + inet_current_timestamp(skb.kernel)
            octets[slot : slot + len(stamp)] = stamp
            octets[at + 2] += len(stamp)
    skb.view[header + 20 : header + 20 + len(octets)] = octets


def inet_current_timestamp(kernel: "Kernel") -> bytes:
    """Return the time for an IP option: ms since this host was made.

    RFC 791 wants ms since midnight UT, which nobody here knows, or any other time with the high bit set.
    """
    return (kernel.now_ns() // 1_000_000 & 0x7FFFFFFF | 0x80000000).to_bytes(4, "big")


def ip_options_fragment(skb: "SkBuff") -> None:
    """Turn the options that only the first fragment has into no-operations (RFC 791: those without the copied flag)."""
    at = skb.network_header
    view = skb.view
    start = at + 20
    octets = bytes(view[start : at + ((view[at] & 15) << 2)])
    for kind, place, length in _options(octets):
        if not kind & _COPY:
            view[start + place : start + place + length] = bytes((IPOPT_NOOP,)) * length

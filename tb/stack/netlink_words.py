"""Requests of rtnetlink in few words, and what of their answers depends on the host only."""

import struct
from socket import inet_aton

from hardwire.stack.netlink.if_addr import Ifa
from hardwire.stack.netlink.if_link import Ifla
from hardwire.stack.netlink.message import Nlmsghdr
from hardwire.stack.netlink.neighbour import Nda
from hardwire.stack.netlink.rtnetlink import Rta, Rtm
from hardwire.tb.stack.netlink_peer import attr, attrs_of, nested

__all__ = ["addr", "link", "neigh", "plain", "route", "veth"]

UP = 1


def link(index: int = 0, flags: int = 0, change: int = 0, *attrs: bytes, name: str = "", kind: int = 0) -> bytes:
    """Return what is behind the header of a link message."""
    if name:
        attrs = (attr(Ifla.IFNAME, name), *attrs)
    return struct.pack("=BxHiII", 0, kind, index, flags, change) + b"".join(attrs)


def veth(name: str, peer: str, *attrs: bytes, peer_attrs: bytes = b"") -> bytes:
    """Return a link message for a pair."""
    info = nested(Ifla.LINKINFO, attr(1, "veth"), nested(2, nested(1, link(0, 0, 0, peer_attrs, name=peer))))
    return link(0, 0, 0, info, *attrs, name=name)


def addr(index: int, text: str, *attrs: bytes, flags: int = 0, scope: int = 0, broadcast: str = "") -> bytes:
    """Return an address message for ``10.0.0.1/24``."""
    address, _, length = text.partition("/")
    octets = struct.pack("=BBBBI", 2, int(length or 32), flags, scope, index)
    octets += attr(Ifa.LOCAL, inet_aton(address)) + attr(Ifa.ADDRESS, inet_aton(address))
    if broadcast:
        octets += attr(Ifa.BROADCAST, inet_aton(broadcast))
    return octets + b"".join(attrs)


def route(
    text: str,
    *attrs: bytes,
    via: str = "",
    oif: int = 0,
    table: int = 254,
    protocol: int = 3,
    scope: int = 0,
    kind: int = 1,
    tos: int = 0,
    flags: int = 0,
) -> bytes:
    """Return a route message for ``10.1.0.0/16``, or ``default``."""
    address, _, length = text.partition("/")
    octets = struct.pack("=8BI", 2, int(length or 0), 0, tos, table, protocol, scope, kind, flags)
    if address != "default":
        octets += attr(Rta.DST, inet_aton(address))
    if via:
        octets += attr(Rta.GATEWAY, inet_aton(via))
    if oif:
        octets += attr(Rta.OIF, oif)
    return octets + b"".join(attrs)


def neigh(index: int, address: str, mac: str = "", state: int = 0x80, flags: int = 0, *attrs: bytes) -> bytes:
    """Return a neighbour message."""
    octets = struct.pack("=BxxxiHBB", 2, index, state, flags, 0)
    octets += attr(Nda.DST, inet_aton(address)) if address else b""
    octets += attr(Nda.LLADDR, bytes.fromhex(mac.replace(":", ""))) if mac else b""
    return octets + b"".join(attrs)


_HEADERS = {Rtm.NEWLINK: 16, Rtm.NEWADDR: 8, Rtm.NEWROUTE: 12, Rtm.NEWNEIGH: 12}
# Of a link: numbers of CPUs, counters, and what later kernels than 6.1 tell. Of others: times.
_LINK_DIFFERS = {Ifla.NUM_TX_QUEUES, Ifla.NUM_RX_QUEUES, Ifla.STATS, Ifla.STATS64, Ifla.AF_SPEC}
_TIMES = {Rtm.NEWADDR: Ifa.CACHEINFO, Rtm.NEWNEIGH: Nda.CACHEINFO, Rtm.NEWROUTE: -1}


def plain(one: Nlmsghdr) -> tuple[object, ...]:
    """Return a message as values to compare: name, flags, fixed part, attributes."""
    base = one.type & ~1 if one.type & 3 == 1 else one.type
    start = 16 + _HEADERS[base]
    attrs = attrs_of(one.octets, start)
    if base == Rtm.NEWLINK:
        kept = {kind: attrs[kind] for kind in attrs if kind <= max(Ifla) and kind not in _LINK_DIFFERS}
        if kept.get(Ifla.ADDRESS, b"")[:5] not in (bytes(5), b"\2\0\0\0\0"):
            kept.pop(Ifla.ADDRESS, None)  # A random one.
        names = {Ifla(kind).name: value.hex() for kind, value in kept.items()}
    else:
        kinds = {Rtm.NEWADDR: Ifa, Rtm.NEWROUTE: Rta, Rtm.NEWNEIGH: Nda}[base]
        names = {kinds(kind).name: value.hex() for kind, value in attrs.items() if kind != _TIMES[base]}
        if base == Rtm.NEWADDR:
            # For ever, no more, or for some seconds.
            lifetimes = struct.unpack_from("=II", attrs[Ifa.CACHEINFO])
            names["lifetimes"] = str([one if one in (0, 0xFFFFFFFF) else "some" for one in lifetimes])
        if base == Rtm.NEWROUTE and "CACHEINFO" in names:
            names["CACHEINFO"] = names["CACHEINFO"][8:]  # Behind the number of references.
    return Rtm(one.type).name, hex(one.flags), one.octets[16:start].hex(), names

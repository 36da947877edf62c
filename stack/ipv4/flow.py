"""The flow key: what routing looks at (Linux: include/net/flow.h)."""

__all__ = ["FLOWI_FLAG_ANYSRC", "FLOWI_FLAG_KNOWN_NH", "Flowi4", "flowi4_init_output"]

FLOWI_FLAG_ANYSRC = 1  # The source address need not be one of ours.
FLOWI_FLAG_KNOWN_NH = 2  # The caller sees to the next hop (IP_HDRINCL): no shared route.


class Flowi4:
    """An IPv4 flow (Linux: ``struct flowi4``); addresses are numbers, 0 is "any".

    Routing fills in what it chose: ``saddr``, and ``daddr`` and ``oif`` where they were 0. For ICMP the ports are type
    and code. ``multipath_hash`` is the inner flow's of a tunnel, so that its flows take all paths.
    """

    __slots__ = (
        "daddr",
        "dport",
        "flags",
        "iif",
        "mark",
        "multipath_hash",
        "oif",
        "proto",
        "saddr",
        "scope",
        "sport",
        "tos",
        "uid",
    )

    def __init__(
        self,
        daddr: int = 0,
        saddr: int = 0,
        proto: int = 0,
        sport: int = 0,
        dport: int = 0,
        *,
        tos: int = 0,
        scope: int = 0,
        mark: int = 0,
        oif: int = 0,
        iif: int = 0,
        flags: int = 0,
        uid: int = 0,
    ) -> None:
        self.daddr = daddr
        self.saddr = saddr
        self.tos = tos
        self.scope = scope
        self.mark = mark
        self.oif = oif
        self.iif = iif
        self.proto = proto
        self.sport = sport
        self.dport = dport
        self.flags = flags
        self.uid = uid
        self.multipath_hash = 0


def flowi4_init_output(
    fl4: Flowi4,
    oif: int,
    mark: int,
    tos: int,
    scope: int,
    proto: int,
    flags: int,
    daddr: int,
    saddr: int,
    dport: int,
    sport: int,
) -> None:
    """Make a flow anew, in place."""
    fl4.oif = oif
    fl4.mark = mark
    fl4.tos = tos
    fl4.scope = scope
    fl4.proto = proto
    fl4.flags = flags
    fl4.daddr = daddr
    fl4.saddr = saddr
    fl4.dport = dport
    fl4.sport = sport
    fl4.iif = fl4.uid = fl4.multipath_hash = 0

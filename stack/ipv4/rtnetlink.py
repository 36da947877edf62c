"""Names of routes' types, scopes and tables (Linux: include/uapi/linux/rtnetlink.h)."""

from enum import IntEnum

__all__ = ["RtProtocol", "RtScope", "RtTable", "RtType"]


class RtType(IntEnum):
    """What a route does with a packet."""

    UNSPEC = 0
    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6  # EINVAL
    UNREACHABLE = 7  # EHOSTUNREACH
    PROHIBIT = 8  # EACCES
    THROW = 9  # Go on with the next table.


class RtScope(IntEnum):
    """How far away a destination is: the higher, the nearer."""

    UNIVERSE = 0
    SITE = 200
    LINK = 253
    HOST = 254
    NOWHERE = 255


class RtTable(IntEnum):
    """Tables with a fixed number."""

    COMPAT = 252  # Stands for a number of more than 8 bits.
    DEFAULT = 253
    MAIN = 254
    LOCAL = 255


class RtProtocol(IntEnum):
    """Who made a route."""

    UNSPEC = 0
    KERNEL = 2
    BOOT = 3
    STATIC = 4

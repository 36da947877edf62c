"""Messages about routing rules (Linux: include/uapi/linux/fib_rules.h)."""

from enum import IntEnum
from struct import Struct

__all__ = [
    "FIB_RULE_HDR",
    "FIB_RULE_IIF_DETACHED",
    "FIB_RULE_INVERT",
    "FIB_RULE_OIF_DETACHED",
    "FIB_RULE_PERMANENT",
    "FIB_RULE_PORT_RANGE",
    "FIB_RULE_UID_RANGE",
    "FIB_RULE_UNRESOLVED",
    "FrAct",
    "Fra",
]

FIB_RULE_HDR = Struct("=5BxxBI")  # Family, lengths of destination and source, TOS, table, action, flags.
FIB_RULE_PORT_RANGE = Struct("=HH")  # The first and the last.
FIB_RULE_UID_RANGE = Struct("=II")

FIB_RULE_PERMANENT = 0x01  # Flags of a rule.
FIB_RULE_INVERT = 0x02
FIB_RULE_UNRESOLVED = 0x04  # It goes to a rule that there is not.
FIB_RULE_IIF_DETACHED = 0x08  # It is about a device that there is not.
FIB_RULE_OIF_DETACHED = 0x10


class Fra(IntEnum):
    """Attributes of a rule (``FRA_*``)."""

    DST = 1
    SRC = 2
    IIFNAME = 3
    GOTO = 4
    PRIORITY = 6
    FWMARK = 10
    FLOW = 11
    TUN_ID = 12
    SUPPRESS_IFGROUP = 13
    SUPPRESS_PREFIXLEN = 14
    TABLE = 15
    FWMASK = 16
    OIFNAME = 17
    L3MDEV = 19
    UID_RANGE = 20
    PROTOCOL = 21
    IP_PROTO = 22
    SPORT_RANGE = 23
    DPORT_RANGE = 24


class FrAct(IntEnum):
    """What a rule does (``FR_ACT_*``)."""

    TO_TBL = 1
    GOTO = 2
    NOP = 3
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8

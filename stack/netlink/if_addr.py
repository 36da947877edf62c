"""Layout and attributes of address messages (Linux: include/uapi/linux/if_addr.h)."""

from enum import IntEnum
from struct import Struct

__all__ = ["IFADDRMSG", "IFA_CACHEINFO", "Ifa"]

IFADDRMSG = Struct("=BBBBI")  # Family, prefix length, flags, scope, device.
IFA_CACHEINFO = Struct("=4I")  # For how long it is preferred and valid, when it was made and changed.


class Ifa(IntEnum):
    """Attributes of an address (``IFA_*``)."""

    ADDRESS = 1
    LOCAL = 2
    LABEL = 3
    BROADCAST = 4
    ANYCAST = 5
    CACHEINFO = 6
    MULTICAST = 7
    FLAGS = 8
    RT_PRIORITY = 9
    TARGET_NETNSID = 10
    PROTO = 11

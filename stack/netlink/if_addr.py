"""Attributes of address messages (Linux: include/uapi/linux/if_addr.h)."""

from enum import IntEnum

__all__ = ["Ifa"]


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

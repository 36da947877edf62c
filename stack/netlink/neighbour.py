"""Layout and attributes of neighbour messages (Linux: include/uapi/linux/neighbour.h)."""

from enum import IntEnum
from struct import Struct

__all__ = [
    "NDA_CACHEINFO",
    "NDMSG",
    "NTF_EXT_LEARNED",
    "NTF_MASTER",
    "NTF_PROXY",
    "NTF_ROUTER",
    "NTF_SELF",
    "NTF_USE",
    "Nda",
    "Ndta",
    "Ndtpa",
]

NDMSG = Struct("=BxxxiHBB")  # Family, device, state, flags, type.
NDA_CACHEINFO = Struct("=4I")  # When confirmed, used, changed, in hundredths of a second ago; number of users.

NTF_USE = 0x01  # Flags of a neighbour message.
NTF_SELF = 0x02
NTF_MASTER = 0x04
NTF_PROXY = 0x08
NTF_EXT_LEARNED = 0x10
NTF_ROUTER = 0x80


class Nda(IntEnum):
    """Attributes of a neighbour (``NDA_*``)."""

    DST = 1
    LLADDR = 2
    CACHEINFO = 3
    PROBES = 4
    VLAN = 5
    PORT = 6
    VNI = 7
    IFINDEX = 8
    MASTER = 9
    LINK_NETNSID = 10
    SRC_VNI = 11
    PROTOCOL = 12
    NH_ID = 13
    FDB_EXT_ATTRS = 14
    FLAGS_EXT = 15
    NDM_STATE_MASK = 16
    NDM_FLAGS_MASK = 17


class Ndta(IntEnum):
    """Attributes of a table of neighbours (``NDTA_*``)."""

    NAME = 1
    THRESH1 = 2
    THRESH2 = 3
    THRESH3 = 4
    CONFIG = 5
    PARMS = 6
    STATS = 7
    GC_INTERVAL = 8
    PAD = 9


class Ndtpa(IntEnum):
    """Attributes inside ``Ndta.PARMS`` (``NDTPA_*``)."""

    IFINDEX = 1
    REFCNT = 2
    REACHABLE_TIME = 3
    BASE_REACHABLE_TIME = 4
    RETRANS_TIME = 5
    GC_STALETIME = 6
    DELAY_PROBE_TIME = 7
    QUEUE_LEN = 8
    APP_PROBES = 9
    UCAST_PROBES = 10
    MCAST_PROBES = 11
    ANYCAST_DELAY = 12
    PROXY_DELAY = 13
    PROXY_QLEN = 14
    LOCKTIME = 15
    QUEUE_LENBYTES = 16
    MCAST_REPROBES = 17
    PAD = 18
    INTERVAL_PROBE_TIME_MS = 19

"""Messages of rtnetlink, and attributes of routes and qdiscs (Linux: include/uapi/linux/rtnetlink.h)."""

from enum import IntEnum
from struct import Struct

__all__ = [
    "RTA_CACHEINFO",
    "RTMSG",
    "RTM_F_CLONED",
    "RTM_F_EQUALIZE",
    "RTM_F_FIB_MATCH",
    "RTM_F_LOOKUP_TABLE",
    "RTM_F_NOTIFY",
    "RTM_F_PREFIX",
    "RTNEXTHOP",
    "RTNH_F_DEAD",
    "RTNH_F_LINKDOWN",
    "RTNH_F_ONLINK",
    "RTNH_F_PERVASIVE",
    "TCMSG",
    "Rta",
    "Rtax",
    "Rtm",
    "Rtnlgrp",
    "Tca",
]

RTMSG = Struct("=8BI")  # Family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
RTNEXTHOP = Struct("=HBBi")  # Length, flags, weight less one, device.
RTA_CACHEINFO = Struct("=IIiIIIII")  # References, last use, expiry, error, used, id, ts, tsage.
TCMSG = Struct("=BxxxiIII")  # Family, device, handle, parent, info.

RTM_F_NOTIFY = 0x100  # Flags of a route message.
RTM_F_CLONED = 0x200
RTM_F_EQUALIZE = 0x400
RTM_F_PREFIX = 0x800
RTM_F_LOOKUP_TABLE = 0x1000
RTM_F_FIB_MATCH = 0x2000
RTNH_F_DEAD = 1  # Flags of a next hop.
RTNH_F_PERVASIVE = 2
RTNH_F_ONLINK = 4
RTNH_F_LINKDOWN = 16


class Rtm(IntEnum):
    """Types of messages (``RTM_*``)."""

    NEWLINK = 16
    DELLINK = 17
    GETLINK = 18
    SETLINK = 19
    NEWADDR = 20
    DELADDR = 21
    GETADDR = 22
    NEWROUTE = 24
    DELROUTE = 25
    GETROUTE = 26
    NEWNEIGH = 28
    DELNEIGH = 29
    GETNEIGH = 30
    NEWRULE = 32
    DELRULE = 33
    GETRULE = 34
    NEWQDISC = 36
    DELQDISC = 37
    GETQDISC = 38
    NEWTCLASS = 40
    DELTCLASS = 41
    GETTCLASS = 42
    NEWTFILTER = 44
    DELTFILTER = 45
    GETTFILTER = 46
    NEWACTION = 48
    DELACTION = 49
    GETACTION = 50
    NEWPREFIX = 52
    GETMULTICAST = 58
    GETANYCAST = 62
    NEWNEIGHTBL = 64
    GETNEIGHTBL = 66
    SETNEIGHTBL = 67
    NEWNETCONF = 80
    DELNETCONF = 81
    GETNETCONF = 82
    NEWNSID = 88
    DELNSID = 89
    GETNSID = 90
    NEWSTATS = 92
    GETSTATS = 94
    NEWCHAIN = 100
    DELCHAIN = 101
    GETCHAIN = 102


class Rtnlgrp(IntEnum):
    """Groups for notifications (``RTNLGRP_*``)."""

    NONE = 0
    LINK = 1
    NOTIFY = 2
    NEIGH = 3
    TC = 4
    IPV4_IFADDR = 5
    IPV4_MROUTE = 6
    IPV4_ROUTE = 7
    IPV4_RULE = 8
    IPV6_IFADDR = 9
    IPV6_MROUTE = 10
    IPV6_ROUTE = 11
    IPV6_IFINFO = 12
    DECNET_IFADDR = 13
    NOP2 = 14
    DECNET_ROUTE = 15
    DECNET_RULE = 16
    NOP4 = 17
    IPV6_PREFIX = 18
    IPV6_RULE = 19
    ND_USEROPT = 20
    PHONET_IFADDR = 21
    PHONET_ROUTE = 22
    DCB = 23
    IPV4_NETCONF = 24
    IPV6_NETCONF = 25
    MDB = 26
    MPLS_ROUTE = 27
    NSID = 28
    MPLS_NETCONF = 29
    IPV4_MROUTE_R = 30
    IPV6_MROUTE_R = 31
    NEXTHOP = 32
    BRVLAN = 33
    MCTP_IFADDR = 34
    TUNNEL = 35
    STATS = 36


class Rta(IntEnum):
    """Attributes of a route (``RTA_*``)."""

    DST = 1
    SRC = 2
    IIF = 3
    OIF = 4
    GATEWAY = 5
    PRIORITY = 6
    PREFSRC = 7
    METRICS = 8
    MULTIPATH = 9
    PROTOINFO = 10
    FLOW = 11
    CACHEINFO = 12
    SESSION = 13
    MP_ALGO = 14
    TABLE = 15
    MARK = 16
    MFC_STATS = 17
    VIA = 18
    NEWDST = 19
    PREF = 20
    ENCAP_TYPE = 21
    ENCAP = 22
    EXPIRES = 23
    PAD = 24
    UID = 25
    TTL_PROPAGATE = 26
    IP_PROTO = 27
    SPORT = 28
    DPORT = 29
    NH_ID = 30


class Rtax(IntEnum):
    """Attributes inside ``Rta.METRICS`` (``RTAX_*``)."""

    LOCK = 1
    MTU = 2
    WINDOW = 3
    RTT = 4
    RTTVAR = 5
    SSTHRESH = 6
    CWND = 7
    ADVMSS = 8
    REORDERING = 9
    HOPLIMIT = 10
    INITCWND = 11
    FEATURES = 12
    RTO_MIN = 13
    INITRWND = 14
    QUICKACK = 15
    CC_ALGO = 16
    FASTOPEN_NO_COOKIE = 17


class Tca(IntEnum):
    """Attributes of a qdisc, class or filter (``TCA_*``)."""

    KIND = 1
    OPTIONS = 2
    STATS = 3
    XSTATS = 4
    RATE = 5
    FCNT = 6
    STATS2 = 7
    STAB = 8
    PAD = 9
    DUMP_INVISIBLE = 10
    CHAIN = 11
    HW_OFFLOAD = 12
    INGRESS_BLOCK = 13
    EGRESS_BLOCK = 14
    DUMP_FLAGS = 15

"""Layout and attributes of link messages (Linux: include/uapi/linux/if_link.h)."""

from enum import IntEnum
from struct import Struct

__all__ = [
    "IFINFOMSG",
    "RTEXT_FILTER_BRVLAN",
    "RTEXT_FILTER_SKIP_STATS",
    "RTEXT_FILTER_VF",
    "Ifla",
    "IflaEvent",
    "IflaInet",
    "IflaInfo",
    "IflaXdp",
    "Ipv4Devconf",
    "VethInfo",
]

IFINFOMSG = Struct("=BxHiII")  # Family, type, index, flags, change.

RTEXT_FILTER_VF = 1 << 0  # In Ifla.EXT_MASK: what an answer shall have.
RTEXT_FILTER_BRVLAN = 1 << 1
RTEXT_FILTER_SKIP_STATS = 1 << 3


class Ifla(IntEnum):
    """Attributes of a link (``IFLA_*``)."""

    ADDRESS = 1
    BROADCAST = 2
    IFNAME = 3
    MTU = 4
    LINK = 5
    QDISC = 6
    STATS = 7
    COST = 8
    PRIORITY = 9
    MASTER = 10
    WIRELESS = 11
    PROTINFO = 12
    TXQLEN = 13
    MAP = 14
    WEIGHT = 15
    OPERSTATE = 16
    LINKMODE = 17
    LINKINFO = 18
    NET_NS_PID = 19
    IFALIAS = 20
    NUM_VF = 21
    VFINFO_LIST = 22
    STATS64 = 23
    VF_PORTS = 24
    PORT_SELF = 25
    AF_SPEC = 26
    GROUP = 27
    NET_NS_FD = 28
    EXT_MASK = 29
    PROMISCUITY = 30
    NUM_TX_QUEUES = 31
    NUM_RX_QUEUES = 32
    CARRIER = 33
    PHYS_PORT_ID = 34
    CARRIER_CHANGES = 35
    PHYS_SWITCH_ID = 36
    LINK_NETNSID = 37
    PHYS_PORT_NAME = 38
    PROTO_DOWN = 39
    GSO_MAX_SEGS = 40
    GSO_MAX_SIZE = 41
    PAD = 42
    XDP = 43
    EVENT = 44
    NEW_NETNSID = 45
    TARGET_NETNSID = 46
    CARRIER_UP_COUNT = 47
    CARRIER_DOWN_COUNT = 48
    NEW_IFINDEX = 49
    MIN_MTU = 50
    MAX_MTU = 51
    PROP_LIST = 52
    ALT_IFNAME = 53
    PERM_ADDRESS = 54
    PROTO_DOWN_REASON = 55
    PARENT_DEV_NAME = 56
    PARENT_DEV_BUS_NAME = 57
    GRO_MAX_SIZE = 58
    TSO_MAX_SIZE = 59
    TSO_MAX_SEGS = 60
    ALLMULTI = 61


class IflaInfo(IntEnum):
    """Attributes inside ``Ifla.LINKINFO`` (``IFLA_INFO_*``)."""

    KIND = 1
    DATA = 2
    XSTATS = 3
    SLAVE_KIND = 4
    SLAVE_DATA = 5


class IflaInet(IntEnum):
    """Attributes inside ``AF_INET`` of ``Ifla.AF_SPEC`` (``IFLA_INET_*``)."""

    CONF = 1


class IflaXdp(IntEnum):
    """Attributes inside ``Ifla.XDP`` (``IFLA_XDP_*``)."""

    FD = 1
    ATTACHED = 2
    FLAGS = 3
    PROG_ID = 4


class VethInfo(IntEnum):
    """Attributes of a veth device (``VETH_INFO_*``)."""

    PEER = 1


class IflaEvent(IntEnum):
    """What a link message is about (``IFLA_EVENT_*``)."""

    NONE = 0
    REBOOT = 1
    FEATURES = 2
    BONDING_FAILOVER = 3
    NOTIFY_PEERS = 4
    IGMP_RESEND = 5
    BONDING_OPTIONS = 6


class Ipv4Devconf(IntEnum):
    """Places in ``IflaInet.CONF``, less one (``IPV4_DEVCONF_*``; include/uapi/linux/ip.h)."""

    FORWARDING = 1
    MC_FORWARDING = 2
    PROXY_ARP = 3
    ACCEPT_REDIRECTS = 4
    SECURE_REDIRECTS = 5
    SEND_REDIRECTS = 6
    SHARED_MEDIA = 7
    RP_FILTER = 8
    ACCEPT_SOURCE_ROUTE = 9
    BOOTP_RELAY = 10
    LOG_MARTIANS = 11
    TAG = 12
    ARPFILTER = 13
    MEDIUM_ID = 14
    NOXFRM = 15
    NOPOLICY = 16
    FORCE_IGMP_VERSION = 17
    ARP_ANNOUNCE = 18
    ARP_IGNORE = 19
    PROMOTE_SECONDARIES = 20
    ARP_ACCEPT = 21
    ARP_NOTIFY = 22
    ACCEPT_LOCAL = 23
    SRC_VMARK = 24
    PROXY_ARP_PVLAN = 25
    ROUTE_LOCALNET = 26
    IGMPV2_UNSOLICITED_REPORT_INTERVAL = 27
    IGMPV3_UNSOLICITED_REPORT_INTERVAL = 28
    IGNORE_ROUTES_WITH_LINKDOWN = 29
    DROP_UNICAST_IN_L2_MULTICAST = 30
    DROP_GRATUITOUS_ARP = 31
    BC_FORWARDING = 32
    ARP_EVICT_NOCARRIER = 33

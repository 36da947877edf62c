"""Numbers of netlink itself (Linux: include/uapi/linux/netlink.h)."""

from enum import IntEnum, IntFlag

__all__ = [
    "AF_NETLINK",
    "MAX_LINKS",
    "NETLINK_ROUTE",
    "NETLINK_USERSOCK",
    "NETLINK_XFRM",
    "NLA_F_NESTED",
    "NLA_F_NET_BYTEORDER",
    "NLA_HDRLEN",
    "NLA_TYPE_MASK",
    "NLMSG_DONE",
    "NLMSG_ERROR",
    "NLMSG_HDRLEN",
    "NLMSG_MIN_TYPE",
    "NLMSG_NOOP",
    "NLMSG_OVERRUN",
    "SOL_NETLINK",
    "NetlinkOpt",
    "NlmF",
    "NlmsgerrAttr",
]

AF_NETLINK = 16
SOL_NETLINK = 270
MAX_LINKS = 32  # Number of protocols.
NETLINK_ROUTE = 0
NETLINK_USERSOCK = 2
NETLINK_XFRM = 6

NLMSG_HDRLEN = 16
NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4
NLMSG_MIN_TYPE = 0x10  # Lower ones are of netlink itself.

NLA_HDRLEN = 4
NLA_F_NESTED = 1 << 15
NLA_F_NET_BYTEORDER = 1 << 14
NLA_TYPE_MASK = 0x3FFF


class NlmF(IntFlag):
    """Flags of a message (``NLM_F_*``); the meaning of those from 0x100 on depends on its type."""

    REQUEST = 0x01
    MULTI = 0x02
    ACK = 0x04
    ECHO = 0x08
    DUMP_INTR = 0x10
    DUMP_FILTERED = 0x20
    # Of a request to get something.
    ROOT = 0x100
    MATCH = 0x200
    ATOMIC = 0x400
    DUMP = 0x300
    # Of a request to make something new.
    REPLACE = 0x100
    EXCL = 0x200
    CREATE = 0x400
    APPEND = 0x800
    # Of a request to delete something.
    NONREC = 0x100
    BULK = 0x200
    # Of an answer with an error.
    CAPPED = 0x100
    ACK_TLVS = 0x200


class NetlinkOpt(IntEnum):
    """Options of a socket at level ``SOL_NETLINK`` (``NETLINK_*``)."""

    ADD_MEMBERSHIP = 1
    DROP_MEMBERSHIP = 2
    PKTINFO = 3
    BROADCAST_ERROR = 4
    NO_ENOBUFS = 5
    LISTEN_ALL_NSID = 8
    LIST_MEMBERSHIPS = 9
    CAP_ACK = 10
    EXT_ACK = 11
    GET_STRICT_CHK = 12


class NlmsgerrAttr(IntEnum):
    """Attributes of an answer with an error (``NLMSGERR_ATTR_*``)."""

    MSG = 1
    OFFS = 2
    COOKIE = 3
    POLICY = 4
    MISS_TYPE = 5
    MISS_NEST = 6

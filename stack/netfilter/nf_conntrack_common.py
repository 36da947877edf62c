"""Numbers of connection tracking (Linux: include/uapi/linux/netfilter/nf_conntrack_common.h)."""

__all__ = [
    "CTINFO2DIR",
    "IPS_ASSURED",
    "IPS_CONFIRMED",
    "IPS_DST_NAT",
    "IPS_DST_NAT_DONE",
    "IPS_DYING",
    "IPS_NAT_DONE_MASK",
    "IPS_NAT_MASK",
    "IPS_SEEN_REPLY",
    "IPS_SRC_NAT",
    "IPS_SRC_NAT_DONE",
    "IP_CT_DIR_ORIGINAL",
    "IP_CT_DIR_REPLY",
    "IP_CT_ESTABLISHED",
    "IP_CT_ESTABLISHED_REPLY",
    "IP_CT_IS_REPLY",
    "IP_CT_NEW",
    "IP_CT_RELATED",
    "IP_CT_RELATED_REPLY",
    "IP_CT_UNTRACKED",
]

# What a packet is to its connection.
IP_CT_ESTABLISHED = 0
IP_CT_RELATED = 1
IP_CT_NEW = 2
IP_CT_IS_REPLY = 3  # From here on in the reply direction.
IP_CT_ESTABLISHED_REPLY = 3
IP_CT_RELATED_REPLY = 4
IP_CT_UNTRACKED = 7  # A rule said "notrack".

IP_CT_DIR_ORIGINAL = 0
IP_CT_DIR_REPLY = 1

# What happened to a connection.
IPS_SEEN_REPLY = 1 << 1
IPS_ASSURED = 1 << 2  # Not to be dropped early.
IPS_CONFIRMED = 1 << 3  # Its first packet has left this host, or arrived: it is in the table.
IPS_SRC_NAT = 1 << 4
IPS_DST_NAT = 1 << 5
IPS_NAT_MASK = IPS_SRC_NAT | IPS_DST_NAT
IPS_SRC_NAT_DONE = 1 << 7
IPS_DST_NAT_DONE = 1 << 8
IPS_NAT_DONE_MASK = IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE
IPS_DYING = 1 << 9


def CTINFO2DIR(ctinfo: int) -> int:  # noqa: N802 - the kernel's name
    """Return the direction of a packet."""
    return IP_CT_DIR_REPLY if ctinfo >= IP_CT_IS_REPLY else IP_CT_DIR_ORIGINAL

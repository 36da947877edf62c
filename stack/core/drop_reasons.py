"""Why an skb was dropped: the kernel's reasons, and those of our device."""

from enum import IntEnum

__all__ = ["SkbDropReason"]


class SkbDropReason(IntEnum):
    """``SKB_DROP_REASON_*``, the prefix left out; each is counted in ``Kernel.drops``."""

    NOT_SPECIFIED = 0
    CONSUMED = 1  # Not a drop: the skb did its work.
    NO_SOCKET = 2
    PKT_TOO_SMALL = 3
    SOCKET_FILTER = 4
    NETFILTER_DROP = 5
    OTHERHOST = 6
    IP_CSUM = 7
    IP_INHDR = 8
    UDP_CSUM = 9
    SOCKET_RCVBUFF = 10
    NOMEM = 11
    PKT_TOO_BIG = 12
    IP_OUTNOROUTES = 13
    BPF_CGROUP_EGRESS = 14
    NEIGH_CREATEFAIL = 15
    NEIGH_FAILED = 16
    NEIGH_QUEUEFULL = 17
    NEIGH_DEAD = 18
    QDISC_DROP = 19
    CPU_BACKLOG = 20
    UNHANDLED_PROTO = 21
    SKB_CSUM = 22
    SKB_UCOPY_FAULT = 23
    DEV_HDR = 24
    DEV_READY = 25
    FULL_RING = 26
    HDR_TRUNC = 27
    FRAG_REASM_TIMEOUT = 28
    XFRM_POLICY = 29
    IP_NOPROTO = 30
    ICMP_CSUM = 31
    INVALID_PROTO = 32
    IP_INADDRERRORS = 33
    IP_INNOROUTES = 34
    IP_RPFILTER = 35
    UNICAST_IN_L2_MULTICAST = 36
    PROTO_MEM = 37
    # Newer than 6.1, which says NOT_SPECIFIED.
    IP_LOCAL_SOURCE = 38
    IP_INVALID_SOURCE = 39
    IP_LOCALNET = 40
    IP_INVALID_DEST = 41
    ARP_PKT_TOO_SMALL = 42
    TCP_CSUM = 43
    TCP_FILTER = 44
    TCP_FLAGS = 45
    TCP_ZEROWINDOW = 46
    TCP_OLD_DATA = 47
    TCP_OVERWINDOW = 48
    TCP_OFOMERGE = 49
    TCP_RFC7323_PAWS = 50
    TCP_INVALID_SEQUENCE = 51
    TCP_RESET = 52
    TCP_INVALID_SYN = 53
    TCP_CLOSE = 54
    TCP_OLD_ACK = 55
    TCP_TOO_OLD_ACK = 56
    TCP_ACK_UNSENT_DATA = 57
    TCP_OFO_QUEUE_PRUNE = 58
    TCP_OFO_DROP = 59
    TCP_MINTTL = 60
    SOCKET_BACKLOG = 61
    TCP_LISTEN_OVERFLOW = 62
    TCP_ABORT_ON_DATA = 63
    # Of our device: its TxStatus, and what the driver itself could not do.
    HW_PAYLOAD_ERROR = 64
    HW_DESC_ERROR = 65
    HW_ABORTED = 66
    HW_BAD_LENGTH = 67
    HW_UNSUPPORTED = 68
    HW_BAD_CHECKSUM_FIELD = 70
    HW_BAD_SEQUENCE = 71
    DMA_MAPPING = 72

"""Numbers of TCP, and what it keeps with each packet (Linux: include/net/tcp.h, include/uapi/linux/tcp.h)."""

from struct import Struct

from ..core.timer import HZ

__all__ = [
    "CHECK_OFFSET",
    "HEADER",
    "ICSK_ACK_NOW",
    "ICSK_ACK_SCHED",
    "ICSK_ACK_TIMER",
    "ICSK_TIME_LOSS_PROBE",
    "ICSK_TIME_PROBE0",
    "ICSK_TIME_REO_TIMEOUT",
    "ICSK_TIME_RETRANS",
    "MAX_TCP_HEADER",
    "MAX_TCP_WINDOW",
    "TCPCB_EVER_RETRANS",
    "TCPCB_LOST",
    "TCPCB_SACKED_ACKED",
    "TCPCB_SACKED_RETRANS",
    "TCPHDR_ACK",
    "TCPHDR_CWR",
    "TCPHDR_ECE",
    "TCPHDR_FIN",
    "TCPHDR_PSH",
    "TCPHDR_RST",
    "TCPHDR_SYN",
    "TCPHDR_URG",
    "TCP_ATO_MIN",
    "TCP_CORK_NAGLE",
    "TCP_DELACK_MAX",
    "TCP_DELACK_MIN",
    "TCP_ECN_DEMAND_CWR",
    "TCP_ECN_OK",
    "TCP_ECN_QUEUE_CWR",
    "TCP_ECN_SEEN",
    "TCP_INIT_CWND",
    "TCP_MAX_QUICKACKS",
    "TCP_MAX_WSCALE",
    "TCP_MIN_MSS",
    "TCP_MSS_DEFAULT",
    "TCP_NAGLE_OFF",
    "TCP_NAGLE_PUSH",
    "TCP_PAWS_24DAYS",
    "TCP_PAWS_WINDOW",
    "TCP_RESOURCE_PROBE_INTERVAL",
    "TCP_RTO_MAX",
    "TCP_RTO_MIN",
    "TCP_TIMEOUT_INIT",
    "TCP_TIMEWAIT_LEN",
    "TcpSkbCb",
    "after",
    "before",
    "between",
]

HEADER = Struct("!HHIIBBHHH")
CHECK_OFFSET = 16  # Where the checksum is in the header.
MAX_TCP_HEADER = 256  # Headroom for the headers of TCP, IP and the link, with options.
MAX_TCP_WINDOW = 32767  # Without window scaling: some hosts took the window for a number with a sign.
TCP_MIN_MSS = 88
TCP_MSS_DEFAULT = 536  # RFC 9293 §3.7.1.
TCP_MAX_WSCALE = 14  # RFC 7323 §2.3.
TCP_INIT_CWND = 10  # RFC 6928.
TCP_MAX_QUICKACKS = 16

TCPHDR_FIN = 0x01
TCPHDR_SYN = 0x02
TCPHDR_RST = 0x04
TCPHDR_PSH = 0x08
TCPHDR_ACK = 0x10
TCPHDR_URG = 0x20
TCPHDR_ECE = 0x40
TCPHDR_CWR = 0x80

# Times in jiffies.
TCP_TIMEWAIT_LEN = 60 * HZ
TCP_TIMEOUT_INIT = HZ  # RFC 6298 §2.1.
TCP_RTO_MIN = HZ // 5
TCP_RTO_MAX = 120 * HZ
TCP_DELACK_MIN = TCP_ATO_MIN = HZ // 25
TCP_DELACK_MAX = HZ // 5
TCP_RESOURCE_PROBE_INTERVAL = HZ // 2
# PAWS (RFC 7323 §5): in ms, and how long a time stamp may be kept, in s.
TCP_PAWS_WINDOW = 1
TCP_PAWS_24DAYS = 60 * 60 * 24 * 24

# What the timer of retransmission is for.
ICSK_TIME_RETRANS = 1
ICSK_TIME_PROBE0 = 3
ICSK_TIME_REO_TIMEOUT = 6
ICSK_TIME_LOSS_PROBE = 5

# Bits of ack_pending.
ICSK_ACK_SCHED = 1
ICSK_ACK_TIMER = 2
ICSK_ACK_NOW = 8

# Bits of nonagle.
TCP_NAGLE_OFF = 1
TCP_CORK_NAGLE = 2
TCP_NAGLE_PUSH = 4

# Bits of ecn_flags (RFC 3168).
TCP_ECN_OK = 1
TCP_ECN_QUEUE_CWR = 2
TCP_ECN_DEMAND_CWR = 4
TCP_ECN_SEEN = 8

# Bits of TcpSkbCb.sacked.
TCPCB_SACKED_ACKED = 0x01
TCPCB_SACKED_RETRANS = 0x02
TCPCB_LOST = 0x04
TCPCB_EVER_RETRANS = 0x80


def before(seq1: int, seq2: int) -> bool:
    """Return whether a sequence number comes before another, modulo 2^32 (RFC 9293 §3.4)."""
    return (seq1 - seq2) & 0xFFFFFFFF > 0x7FFFFFFF


def after(seq1: int, seq2: int) -> bool:
    """Return whether a sequence number comes after another."""
    return (seq2 - seq1) & 0xFFFFFFFF > 0x7FFFFFFF


def between(seq1: int, seq2: int, seq3: int) -> bool:
    """Return whether ``seq2 <= seq1 <= seq3``."""
    return (seq3 - seq2) & 0xFFFFFFFF >= (seq1 - seq2) & 0xFFFFFFFF


class TcpSkbCb:
    """What TCP keeps with a packet (Linux: ``struct tcp_skb_cb``).

    Members
    -------
    seq, end_seq : int
        Its sequence numbers; SYN and FIN count one each.
    tcp_flags : int
        ``TCPHDR_*``.
    sacked : int
        ``TCPCB_*``: what is known of a sent one.
    ack_seq, window, urg_ptr, doff : int
        Of the header of a received one.
    ip_dsfield : int
        TOS octet of a received one.
    segs : int
        As how many packets a sent one goes.
    tx_us : int
        When it was sent last, in µs.
    delivered : int
        How many packets had been delivered when it was sent.
    app_limited : bool
        The program had no more to send then.
    """

    __slots__ = (
        "ack_seq",
        "app_limited",
        "delivered",
        "doff",
        "end_seq",
        "ip_dsfield",
        "sacked",
        "segs",
        "seq",
        "tcp_flags",
        "tx_us",
        "urg_ptr",
        "window",
    )

    def __init__(self, seq: int, end_seq: int, tcp_flags: int) -> None:
        self.seq = seq
        self.end_seq = end_seq
        self.tcp_flags = tcp_flags
        self.sacked = self.ack_seq = self.window = self.urg_ptr = self.ip_dsfield = 0
        self.doff = 20
        self.segs = 1
        self.tx_us = self.delivered = 0
        self.app_limited = False

"""What connection tracking keeps in a namespace, and how many need it (Linux: ``struct netns_ct``)."""

from collections import defaultdict
from typing import TYPE_CHECKING

from ..core.timer import TimerList
from .nf_conntrack_core import NfConn, NfTupleHash, gc_worker

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["NetnsCt"]

_HTABLE_SIZE = 262144


class NetnsCt:
    """The connections of a namespace.

    Linux has one table for all namespaces, with the namespace in each tuple.

    Members
    -------
    hash : dict[int, list[NfTupleHash]]
        Buckets that are not empty; each connection is in two, by its two tuples.
    conntracks : dict[NfConn, None]
        Confirmed connections, in the order in which they were.
    stat : defaultdict[str, int]
        Counters, by the names of ``/proc/net/stat/nf_conntrack``.
    users : int
        How many rules need connections.
    htable_size : int
        Number of buckets, to be set before there are connections.
    sysctl_* : int
        As under ``/proc/sys/net/netfilter``; timeouts are in s, by state.
    """

    def __init__(self, net: "Net") -> None:
        self.hash: dict[int, list[NfTupleHash]] = {}
        self.conntracks: dict[NfConn, None] = {}
        self.count = 0
        self.stat: defaultdict[str, int] = defaultdict(int)
        self.users = 0
        self.hash_rnd = net.kernel.platform.random_u32()
        self.htable_size = _HTABLE_SIZE
        self.gc_timer = TimerList(net.kernel, lambda: gc_worker(self, self.gc_timer))
        self.sysctl_acct = 0
        self.sysctl_checksum = 1
        self.sysctl_max = _HTABLE_SIZE
        self.sysctl_generic_timeout = 600
        self.sysctl_icmp_timeout = 30
        self.sysctl_udp_timeout = 30
        self.sysctl_udp_timeout_stream = 120
        self.sysctl_tcp_loose = 1
        self.sysctl_tcp_timeouts = {
            "SYN_SENT": 120,
            "SYN_RECV": 60,
            "ESTABLISHED": 432000,
            "FIN_WAIT": 120,
            "CLOSE_WAIT": 60,
            "LAST_ACK": 30,
            "TIME_WAIT": 120,
            "CLOSE": 10,
            "SYN_SENT2": 120,
            "UNACK": 300,
        }

"""How many ICMP messages a host sends (Linux: net/ipv4/icmp.c, net/ipv4/inetpeer.c; RFC 1812 §4.3.2.8)."""

from typing import TYPE_CHECKING

from ..core.netdevice import IFF_LOOPBACK
from ..core.timer import HZ, jiffies
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, NR_ICMP_TYPES

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from .route import RTable

__all__ = ["IcmpGlobal", "icmpv4_global_allow", "icmpv4_xrlim_allow", "inet_peer_allow", "inet_peer_xrlim_allow"]

_XRLIM_BURST_FACTOR = 6  # Messages to one peer in a row.
_PEERS_MAX = 1024


class IcmpGlobal:
    """The buckets of tokens, one token a message: of all messages, and of each peer (Linux: ``icmp_global``).

    Times are in jiffies.
    """

    __slots__ = ("credit", "peers", "stamp")

    def __init__(self) -> None:
        self.credit = 0
        self.stamp = -HZ
        self.peers: dict[int, tuple[int, int]] = {}  # Tokens, in jiffies, and when they were counted.


def _is_limited(net: "Net", type: int, code: int) -> bool:
    """Return whether messages of a type count (``icmp_ratemask``); those for path MTU discovery never do."""
    if type > NR_ICMP_TYPES or (type == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED):
        return False
    return net.ipv4.sysctl_icmp_ratemask >> type & 1 != 0


def icmp_global_allow(net: "Net", kernel: "Kernel") -> bool:
    """Take a token of the host's bucket; return whether there was one."""
    bucket = net.ipv4.icmp_global
    now = jiffies(kernel)
    delta = min(now - bucket.stamp, HZ)
    if delta >= HZ // 50:
        earned = net.ipv4.sysctl_icmp_msgs_per_sec * delta // HZ
        if earned:
            bucket.stamp = now
            bucket.credit = min(bucket.credit + earned, net.ipv4.sysctl_icmp_msgs_burst)
    if not bucket.credit:
        return False
    bucket.credit -= 1
    return True


def icmpv4_global_allow(net: "Net", type: int, code: int) -> bool:
    """Return whether the host as a whole may send one more message of a type."""
    return not _is_limited(net, type, code) or icmp_global_allow(net, net.kernel)


def icmpv4_xrlim_allow(net: "Net", rt: "RTable", daddr: int, type: int, code: int) -> bool:
    """Return whether one more message of a type may go to a peer; to this host itself any may."""
    if not _is_limited(net, type, code) or rt.dev.flags & IFF_LOOPBACK:
        return True
    timeout = net.ipv4.sysctl_icmp_ratelimit * HZ // 1000
    return not timeout or inet_peer_xrlim_allow(net, daddr, timeout)


def inet_peer_xrlim_allow(net: "Net", peer: int, timeout: int) -> bool:
    """Take the token of a message, worth ``timeout`` jiffies, of a peer's bucket; return whether there was one."""
    return inet_peer_allow(net, peer, timeout, _XRLIM_BURST_FACTOR * timeout)


def inet_peer_allow(net: "Net", peer: int, cost: int, burst: int) -> bool:
    """Take a token, worth ``cost`` jiffies, of a peer's bucket, which holds ``burst``; return whether there was one."""
    peers = net.ipv4.icmp_global.peers
    now = jiffies(net.kernel)
    token, last = peers.pop(peer, (0, now - 60 * HZ))
    token = min(token + now - last, burst)
    allowed = token >= cost
    if allowed:
        token -= cost
    # A peer that was not heard of for long has a full bucket again, so the oldest may be forgotten.
    if len(peers) >= _PEERS_MAX:
        del peers[next(iter(peers))]
    peers[peer] = (token, now)
    return allowed

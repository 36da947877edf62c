"""How many ICMP messages a host sends (Linux: net/ipv4/icmp.c, net/ipv4/inetpeer.c; RFC 1812 §4.3.2.8)."""

from typing import TYPE_CHECKING

from ..core.netdevice import IFF_LOOPBACK
from ..core.timer import HZ, jiffies
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, NR_ICMP_TYPES
from .inetpeer import inet_peer_xrlim_allow

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from .route import RTable

__all__ = ["IcmpGlobal", "icmpv4_global_allow", "icmpv4_xrlim_allow"]


class IcmpGlobal:
    """The bucket of tokens, one token a message, and when it was counted, in jiffies (Linux: ``icmp_global``)."""

    __slots__ = ("credit", "stamp")

    def __init__(self) -> None:
        self.credit = 0
        self.stamp = -HZ


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

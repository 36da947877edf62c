"""What a host remembers of others, by address (Linux: net/ipv4/inetpeer.c)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ, jiffies

if TYPE_CHECKING:
    from ..core.net import Net
    from .route import RTable

__all__ = ["InetPeer", "inet_getid", "inet_getpeer", "inet_peer_allow", "inet_peer_xrlim_allow"]

_XRLIM_BURST_FACTOR = 6  # Messages to one peer in a row.
_PEERS_MAX = 1024


class InetPeer:
    """One of the others (Linux: ``struct inet_peer``).

    Members
    -------
    daddr : int
        Its address.
    ip_id_count : int
        Identification of the next packet to it, while there is a route cache.
    rate_tokens, rate_last : int
        The bucket of messages to it, in jiffies, and when that was counted.
    routes : dict[RTable, None]
        Cached routes to it: it is not forgotten while there are any.
    """

    __slots__ = ("daddr", "ip_id_count", "rate_last", "rate_tokens", "routes")

    def __init__(self, daddr: int, ip_id_count: int, now: int) -> None:
        self.daddr = daddr
        self.ip_id_count = ip_id_count
        self.rate_tokens = 0
        self.rate_last = now - 60 * HZ
        self.routes: dict[RTable, None] = {}


def inet_getpeer(net: "Net", daddr: int) -> InetPeer:
    """Return what is known of an address; the one that was not heard of for longest may be forgotten for it."""
    ipv4 = net.ipv4
    peers = ipv4.peers
    peer = peers.pop(daddr, None)
    if peer is None:
        # One that was not heard of for long has a full bucket again.
        for _ in range(len(peers)):
            if len(peers) < _PEERS_MAX:
                break
            oldest = peers.pop(next(iter(peers)))
            if oldest.routes:
                peers[oldest.daddr] = oldest
        peer = InetPeer(daddr, hash((daddr, ipv4.hash_secret)) & 0xFFFF, jiffies(net.kernel))
    peers[daddr] = peer
    return peer


def inet_getid(peer: InetPeer, segs: int) -> int:
    """Return the identification for the next packet to a peer, and reserve ``segs`` of them."""
    first = peer.ip_id_count
    peer.ip_id_count = first + segs & 0xFFFF
    return first


def inet_peer_xrlim_allow(net: "Net", daddr: int, timeout: int) -> bool:
    """Take the token of a message, worth ``timeout`` jiffies, of a peer's bucket; return whether there was one."""
    return inet_peer_allow(net, daddr, timeout, _XRLIM_BURST_FACTOR * timeout)


def inet_peer_allow(net: "Net", daddr: int, cost: int, burst: int) -> bool:
    """Take a token, worth ``cost`` jiffies, of a peer's bucket, which holds ``burst``; return whether there was one."""
    peer = inet_getpeer(net, daddr)
    now = jiffies(net.kernel)
    peer.rate_tokens = min(peer.rate_tokens + now - peer.rate_last, burst)
    peer.rate_last = now
    if peer.rate_tokens < cost:
        return False
    peer.rate_tokens -= cost
    return True

"""Where connections, listeners and ports of TCP are found (Linux: net/ipv4/inet_hashtables.c)."""

from errno import EADDRNOTAVAIL
from typing import TYPE_CHECKING, Any

from ..core.secure_seq import secure_ipv4_port_ephemeral
from ..core.tcp_states import TCP_LISTEN, TCP_TIME_WAIT
from .inet_timewait_sock import InetTimewaitSock, inet_twsk_deschedule_put
from .tcp_ipv4_twsk import tcp_twsk_unique

if TYPE_CHECKING:
    from ..core.net import Net
    from .request_sock import TcpRequestSock
    from .tcp_sock import TcpSock

__all__ = [
    "InetBindBucket",
    "InetHashinfo",
    "__inet_hash_connect",
    "__inet_inherit_port",
    "__inet_lookup",
    "__inet_lookup_established",
    "__inet_lookup_listener",
    "inet_bind_conflict",
    "inet_ehash_insert",
    "inet_ehash_nolisten",
    "inet_hash",
    "inet_hash_connect",
    "inet_lhash2_lookup",
    "inet_put_port",
    "inet_sk_get_local_port_range",
    "inet_unhash",
]

# Remote address and port, local address and port.
Tuple = tuple[int, int, int, int]


class InetBindBucket:
    """A local port in use, and who has it (Linux: ``struct inet_bind_bucket``).

    Members
    -------
    owners : list[TcpSock or InetTimewaitSock]
        Sockets.
    bound : bool
        One of them has asked for it by ``bind``: then no other connection gets it by itself.
    """

    __slots__ = ("bound", "owners")

    def __init__(self) -> None:
        self.owners: list[Any] = []
        self.bound = False


class InetHashinfo:
    """The tables of a namespace (Linux: ``struct inet_hashinfo``).

    Members
    -------
    ehash : dict[Tuple, TcpSock or TcpRequestSock or InetTimewaitSock]
        Connections.
    lhash : dict[int, list[TcpSock]]
        Listeners by port.
    bhash : dict[int, InetBindBucket]
        Ports.
    orphan_count, tw_count : int
        Connections without a program, and those in TIME_WAIT.
    """

    __slots__ = ("bhash", "ehash", "lhash", "orphan_count", "tw_count")

    def __init__(self) -> None:
        self.ehash: dict[Tuple, TcpSock | TcpRequestSock | InetTimewaitSock] = {}
        self.lhash: dict[int, list[TcpSock]] = {}
        self.bhash: dict[int, InetBindBucket] = {}
        self.orphan_count = self.tw_count = 0


def __inet_lookup(
    net: "Net", saddr: int, sport: int, daddr: int, dport: int, dif: int
) -> "TcpSock | TcpRequestSock | InetTimewaitSock | None":
    """Return the socket for a segment: its connection's, else a listener's."""
    sk = __inet_lookup_established(net, saddr, sport, daddr, dport, dif)
    return sk if sk is not None else __inet_lookup_listener(net, saddr, sport, daddr, dport, dif)


def __inet_lookup_established(
    net: "Net", saddr: int, sport: int, daddr: int, dport: int, dif: int
) -> "TcpSock | TcpRequestSock | InetTimewaitSock | None":
    """Return a segment's connection."""
    sk = net.ipv4.tcp_hashinfo.ehash.get((saddr, sport, daddr, dport))
    return sk if sk is None or sk.sk_bound_dev_if in (0, dif) else None


def __inet_lookup_listener(net: "Net", saddr: int, sport: int, daddr: int, dport: int, dif: int) -> "TcpSock | None":
    """Return who listens for a segment: on its local address, else on any."""
    sks = net.ipv4.tcp_hashinfo.lhash.get(dport, [])
    found = inet_lhash2_lookup(sks, saddr, sport, daddr, daddr, dport, dif)
    return found if found is not None else inet_lhash2_lookup(sks, saddr, sport, daddr, 0, dport, dif)


def inet_lhash2_lookup(
    sks: "list[TcpSock]", saddr: int, sport: int, daddr: int, bound: int, dport: int, dif: int
) -> "TcpSock | None":
    """Return the listener that fits best, among those of a port with one local address.

    Of several that share the port (``SO_REUSEPORT``) each flow has its own.
    """
    result: TcpSock | None = None
    best = 0
    for sk in sks:
        if sk.inet_rcv_saddr != bound or sk.sk_bound_dev_if not in (0, dif):
            continue
        score = 2 if sk.sk_bound_dev_if else 1
        if score > best:
            best = score
            result = sk
    if result is not None and result.sk_reuseport:
        first = result
        group = [
            sk
            for sk in sks
            if sk.sk_reuseport and sk.inet_rcv_saddr == bound and sk.sk_bound_dev_if == first.sk_bound_dev_if
        ]
        flow = (saddr, daddr, sport, dport, first.net.ipv4.hash_secret)
        result = group[(hash(flow) & 0xFFFFFFFF) * len(group) >> 32]
    return result


def inet_ehash_insert(hashinfo: InetHashinfo, key: Tuple, sk: "TcpSock | TcpRequestSock | InetTimewaitSock") -> bool:
    """Make a connection known; return whether there was none between these two ends."""
    if key in hashinfo.ehash:
        return False
    hashinfo.ehash[key] = sk
    return True


def inet_ehash_nolisten(sk: "TcpSock", old: "TcpRequestSock | None" = None) -> bool:
    """Make a connection known, in place of the request that it was; return whether it could be done."""
    hashinfo = sk.net.ipv4.tcp_hashinfo
    key = (sk.inet_daddr, sk.inet_dport, sk.inet_rcv_saddr, sk.inet_num)
    if old is not None and hashinfo.ehash.get(key) is old:
        del hashinfo.ehash[key]
    return inet_ehash_insert(hashinfo, key, sk)


def inet_hash(sk: "TcpSock") -> int:
    """Make a listener known; return 0 (``Proto.hash``)."""
    # At the head: of listeners that fit equally well, the last one gets the connections.
    sk.net.ipv4.tcp_hashinfo.lhash.setdefault(sk.inet_num, []).insert(0, sk)
    return 0


def inet_unhash(sk: "TcpSock") -> None:
    """Make a connection or a listener unknown; it keeps its port."""
    hashinfo = sk.net.ipv4.tcp_hashinfo
    key = (sk.inet_daddr, sk.inet_dport, sk.inet_rcv_saddr, sk.inet_num)
    if hashinfo.ehash.get(key) is sk:
        del hashinfo.ehash[key]
    listeners = hashinfo.lhash.get(sk.inet_num)
    if listeners is not None and sk in listeners:
        listeners.remove(sk)
        if not listeners:
            del hashinfo.lhash[sk.inet_num]


def inet_put_port(sk: "TcpSock") -> None:
    """Take a socket's port away."""
    _leave_bucket(sk.net, sk.inet_num, sk)
    sk.tcp_bind_hash = False
    sk.inet_num = 0


def _leave_bucket(net: "Net", port: int, owner: Any) -> None:
    bhash = net.ipv4.tcp_hashinfo.bhash
    bucket = bhash.get(port)
    if bucket is not None and owner in bucket.owners:
        bucket.owners.remove(owner)
        if not bucket.owners:
            del bhash[port]


def inet_bind_conflict(sk: "TcpSock", bucket: InetBindBucket, *, reuse: bool = True) -> bool:
    """Return whether a socket cannot share a port with those that have it.

    With ``SO_REUSEADDR`` it can if none listens; with ``SO_REUSEPORT``, or on another address or device, in any case.
    """
    for other in bucket.owners:
        if other is sk:
            continue
        if sk.sk_bound_dev_if and other.sk_bound_dev_if and sk.sk_bound_dev_if != other.sk_bound_dev_if:
            continue
        if reuse and sk.sk_reuse and other.sk_reuse and other.sk_state != TCP_LISTEN:
            continue
        if sk.sk_reuseport and other.sk_reuseport:
            continue
        if not sk.inet_rcv_saddr or not other.inet_rcv_saddr or sk.inet_rcv_saddr == other.inet_rcv_saddr:
            return True
    return False


def inet_sk_get_local_port_range(sk: "TcpSock") -> tuple[int, int]:
    """Return the ports to choose from: those of the namespace, narrowed by the socket (``IP_LOCAL_PORT_RANGE``)."""
    low, high = sk.net.ipv4.sysctl_ip_local_port_range
    if sk.local_port_range:
        own_low, own_high = sk.local_port_range & 0xFFFF, sk.local_port_range >> 16 & 0xFFFF
        low, high = (own_low if low <= own_low <= high else low), (own_high if low <= own_high <= high else high)
    return low, high


def __inet_inherit_port(sk: "TcpSock", child: "TcpSock") -> None:
    """Let a new connection share its listener's port."""
    child.net.ipv4.tcp_hashinfo.bhash.setdefault(child.inet_num, InetBindBucket()).owners.append(child)
    child.tcp_bind_hash = True


def _check_established(sk: "TcpSock", port: int) -> bool:
    """Make room for a connection from a port, and return whether there is (``__inet_check_established``).

    One in TIME_WAIT is given up if that is safe.
    """
    hashinfo = sk.net.ipv4.tcp_hashinfo
    other = hashinfo.ehash.get((sk.inet_daddr, sk.inet_dport, sk.inet_rcv_saddr, port))
    if other is None:
        return True
    if other.sk_state == TCP_TIME_WAIT and isinstance(other, InetTimewaitSock) and tcp_twsk_unique(sk, other):
        inet_twsk_deschedule_put(other)
        sk.net.mib["TcpExt:TWRecycled"] += 1
        return True
    return False


def inet_hash_connect(sk: "TcpSock") -> None:
    """Give a socket that connects a port, if it has none, and make it known; as ``__inet_hash_connect``."""
    offset = 0
    if not sk.inet_num:
        offset = secure_ipv4_port_ephemeral(sk.net, sk.inet_rcv_saddr, sk.inet_daddr, sk.inet_dport)
    __inet_hash_connect(sk, offset)


def __inet_hash_connect(sk: "TcpSock", port_offset: int) -> None:
    """Find a port from which there is no connection to the peer yet; the search begins at an offset into the range.

    Raises
    ------
    OSError
        ``EADDRNOTAVAIL`` if there is none.
    """
    hashinfo = sk.net.ipv4.tcp_hashinfo
    if sk.inet_num:
        if not _check_established(sk, sk.inet_num):
            raise OSError(EADDRNOTAVAIL, "there is such a connection")
        inet_ehash_nolisten(sk)
        return
    low, high = inet_sk_get_local_port_range(sk)
    reserved = sk.net.ipv4.sysctl_ip_local_reserved_ports
    count = high - low + 1
    for step in range(count):
        port = low + (port_offset + step) % count
        if port in reserved:
            continue
        bucket = hashinfo.bhash.get(port)
        if bucket is not None and bucket.bound:
            continue
        if not _check_established(sk, port):
            continue
        sk.inet_num = port
        hashinfo.bhash.setdefault(port, InetBindBucket()).owners.append(sk)
        sk.tcp_bind_hash = True
        inet_ehash_nolisten(sk)
        return
    raise OSError(EADDRNOTAVAIL, "no free port")

"""Connection tracking: which packets belong together (Linux: net/netfilter/nf_conntrack_core.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.timer import HZ, TimerList, jiffies, mod_timer, timer_pending
from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from . import (  # As modules: they need the functions here, too.
    nf_conntrack_proto_generic,
    nf_conntrack_proto_icmp,
    nf_conntrack_proto_tcp,
    nf_conntrack_proto_udp,
)
from .core import NF_ACCEPT, NF_DROP, NF_REPEAT
from .nf_conntrack_common import (
    CTINFO2DIR,
    IP_CT_DIR_ORIGINAL,
    IP_CT_DIR_REPLY,
    IP_CT_ESTABLISHED,
    IP_CT_ESTABLISHED_REPLY,
    IP_CT_NEW,
    IPS_ASSURED,
    IPS_CONFIRMED,
    IPS_DYING,
    IPS_SEEN_REPLY,
)
from .nf_conntrack_tuple import NfConntrackTuple, get_l4proto, nf_ct_get_tuple, nf_ct_invert_tuple

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .core import NfHookState
    from .nf_conntrack_netns import NetnsCt

__all__ = [
    "NfConn",
    "__nf_conntrack_alloc",
    "__nf_conntrack_confirm",
    "__nf_conntrack_find_get",
    "__nf_ct_refresh_acct",
    "early_drop",
    "gc_worker",
    "hash_conntrack_raw",
    "init_conntrack",
    "nf_conntrack_alter_reply",
    "nf_conntrack_find_get",
    "nf_conntrack_in",
    "nf_conntrack_tuple_taken",
    "nf_ct_delete",
    "nf_ct_ext_add",
    "nf_ct_get",
    "nf_ct_is_expired",
    "nf_ct_iterate_cleanup_net",
    "resolve_normal_ct",
]

T = TypeVar("T")

_EVICTION_RANGE = 8  # Buckets that are searched for something to drop early.
_GC_MIN, _GC_MAX = 1 * HZ, 60 * HZ


class NfConn:
    """A connection (Linux: ``struct nf_conn``).

    Members
    -------
    tuples : list[NfConntrackTuple]
        What its packets look like when they come: in the original direction, and in that of replies.
    status : int
        ``IPS_*``.
    timeout : int
        When it ends, in jiffies; before it is confirmed, how long it may live from then on.
    proto : object
        What its protocol remembers.
    ext : dict
        Further parts, by their type.
    counters : list[list[int]]
        Packets and octets by direction; kept if ``nf_conntrack_acct`` was set when it began.
    """

    __slots__ = ("__weakref__", "counters", "ext", "hash", "mark", "net", "proto", "status", "timeout", "tuples")

    def __init__(self, net: "Net", orig: NfConntrackTuple, reply: NfConntrackTuple, hash: int) -> None:
        self.net = net
        self.tuples = [orig, reply]
        self.hash = hash
        self.status = self.timeout = self.mark = 0
        self.proto: Any = None
        self.ext: dict[type, Any] = {}
        self.counters: list[list[int]] = []


def nf_ct_get(skb: "SkBuff") -> tuple[NfConn | None, int]:
    """Return the connection of a packet, and what the packet is to it."""
    return skb.nfct or (None, 0)


def nf_ct_ext_add(ct: NfConn, kind: type[T]) -> T:
    """Give a connection a further part, and return it."""
    part = ct.ext[kind] = kind()
    return part


def nf_ct_is_expired(ct: NfConn) -> bool:
    """Return whether a confirmed connection's time is over."""
    return ct.timeout <= jiffies(ct.net.kernel)


def hash_conntrack_raw(tuple: NfConntrackTuple, ctnet: "NetnsCt") -> int:
    """Return a tuple's bucket, one that others cannot foresee."""
    mixed = hash((tuple, ctnet.hash_rnd)) & 0xFFFFFFFF
    return mixed * ctnet.htable_size >> 32


def _find(ctnet: "NetnsCt", tuple: NfConntrackTuple, hash: int) -> "NfTupleHash | None":
    for entry in ctnet.hash.get(hash, ())[:]:
        if entry[0] == tuple:
            if not nf_ct_is_expired(entry[2]):
                return entry
            nf_ct_delete(entry[2])
    return None


def __nf_conntrack_find_get(ctnet: "NetnsCt", tuple: NfConntrackTuple, hash: int) -> "NfTupleHash | None":
    """Return the connection and direction that a tuple is of; those whose time is over go."""
    return _find(ctnet, tuple, hash)


NfTupleHash = tuple[NfConntrackTuple, int, NfConn]  # A tuple, its direction, its connection.


def nf_conntrack_find_get(ctnet: "NetnsCt", tuple: NfConntrackTuple) -> NfTupleHash | None:
    """Return the connection and direction that a tuple is of."""
    return __nf_conntrack_find_get(ctnet, tuple, hash_conntrack_raw(tuple, ctnet))


def nf_conntrack_tuple_taken(tuple: NfConntrackTuple, ignored: NfConn) -> bool:
    """Return whether another connection has a tuple; one that began with the same packet is the same."""
    ctnet = ignored.net.nf.conntrack
    entry = _find(ctnet, tuple, hash_conntrack_raw(tuple, ctnet))
    return entry is not None and entry[2].tuples[IP_CT_DIR_ORIGINAL] != ignored.tuples[IP_CT_DIR_ORIGINAL]


def early_drop(ctnet: "NetnsCt", hash: int) -> bool:
    """End a connection near a bucket that nobody would miss, and return whether there was one."""
    for bucket in range(hash, hash + _EVICTION_RANGE):
        for _, _, ct in ctnet.hash.get(bucket % ctnet.htable_size, ())[:]:
            expired = nf_ct_is_expired(ct)
            if not expired and ct.status & IPS_ASSURED:
                continue
            nf_ct_delete(ct)
            if not expired:
                ctnet.stat["early_drop"] += 1
            return True
    return False


def __nf_conntrack_alloc(net: "Net", orig: NfConntrackTuple, reply: NfConntrackTuple, hash: int) -> NfConn | None:
    """Return a new connection; None if there are too many."""
    ctnet = net.nf.conntrack
    if ctnet.sysctl_max and ctnet.count >= ctnet.sysctl_max and not early_drop(ctnet, hash):
        where = "" if net is net.kernel.init_net else " in netns"
        net.kernel.log.append(f"nf_conntrack: nf_conntrack: table full{where}, dropping packet")
        return None
    return NfConn(net, orig, reply, hash)


def init_conntrack(net: "Net", tuple: NfConntrackTuple, hash: int) -> NfConn | None:
    """Begin a connection with the tuple of its first packet.

    Returns
    -------
    NfConn or None
        None if it is no packet that begins one.

    Raises
    ------
    MemoryError
        If there are too many connections.
    """
    reply = nf_ct_invert_tuple(tuple)
    if reply is None:
        return None
    ct = __nf_conntrack_alloc(net, tuple, reply, hash)
    if ct is None:
        raise MemoryError
    ctnet = net.nf.conntrack
    if ctnet.sysctl_acct:
        ct.counters = [[0, 0], [0, 0]]
    ctnet.stat["new"] += 1
    return ct


def resolve_normal_ct(skb: "SkBuff", dataoff: int, protonum: int, state: "NfHookState") -> None:
    """Find a packet's connection, or begin one, and note it in the packet.

    Raises
    ------
    MemoryError
        As ``init_conntrack``.
    """
    tuple = nf_ct_get_tuple(skb, 0, dataoff, protonum)
    if tuple is None:
        return
    ctnet = state.net.nf.conntrack
    hash = hash_conntrack_raw(tuple, ctnet)
    found = __nf_conntrack_find_get(ctnet, tuple, hash)
    if found is None:
        ct = init_conntrack(state.net, tuple, hash)
        if ct is not None:
            skb.nfct = ct, IP_CT_NEW
        return
    _, dir, ct = found
    if dir == IP_CT_DIR_REPLY:
        skb.nfct = ct, IP_CT_ESTABLISHED_REPLY
    else:
        skb.nfct = ct, IP_CT_ESTABLISHED if ct.status & IPS_SEEN_REPLY else IP_CT_NEW


def _packet(protonum: int) -> Callable[[NfConn, "SkBuff", int, int, "NfHookState"], int]:
    if protonum == IPPROTO_TCP:
        return nf_conntrack_proto_tcp.nf_conntrack_tcp_packet
    if protonum == IPPROTO_UDP:
        return nf_conntrack_proto_udp.nf_conntrack_udp_packet
    if protonum == IPPROTO_ICMP:
        return nf_conntrack_proto_icmp.nf_conntrack_icmp_packet
    return nf_conntrack_proto_generic.nf_conntrack_generic_packet


def nf_conntrack_in(skb: "SkBuff", state: "NfHookState") -> int:
    """Give a packet its connection; its data starts at the IPv4 header. Return a verdict.

    A packet without one that it could belong to passes, as invalid.
    """
    if skb.nfct is not None:
        return NF_ACCEPT  # Seen before, as what comes back over loopback; or not to be tracked.
    stat = state.net.nf.conntrack.stat
    dataoff, protonum = get_l4proto(skb, 0)
    if not dataoff:
        stat["invalid"] += 1
        return NF_ACCEPT
    if protonum == IPPROTO_ICMP:
        ret = nf_conntrack_proto_icmp.nf_conntrack_icmpv4_error(skb, dataoff, state)
        if ret <= 0:
            stat["error"] += 1
            stat["invalid"] += 1
            return -ret
        if skb.nfct is not None:
            return ret
    while True:
        try:
            resolve_normal_ct(skb, dataoff, protonum, state)
        except MemoryError:
            stat["drop"] += 1
            return NF_DROP
        ct, ctinfo = nf_ct_get(skb)
        if ct is None:
            stat["invalid"] += 1
            return NF_ACCEPT
        ret = _packet(protonum)(ct, skb, dataoff, ctinfo, state)
        if ret > 0:
            break
        skb.nfct = None
        if ret == -NF_REPEAT:
            continue
        stat["invalid"] += 1
        if ret == -NF_DROP:
            stat["drop"] += 1
        return -ret
    if ctinfo == IP_CT_ESTABLISHED_REPLY:
        ct.status |= IPS_SEEN_REPLY
    return ret


def __nf_conntrack_confirm(skb: "SkBuff") -> int:
    """Put the connection of a packet that has got through into the table; return a verdict.

    Meanwhile another packet, which waited less, may have begun the same one: then this packet joins that. If it is
    one that only looks the same from one side, the packet is dropped.
    """
    ct, ctinfo = nf_ct_get(skb)
    assert ct is not None
    if CTINFO2DIR(ctinfo) != IP_CT_DIR_ORIGINAL:
        return NF_ACCEPT
    ctnet = ct.net.nf.conntrack
    reply_hash = hash_conntrack_raw(ct.tuples[IP_CT_DIR_REPLY], ctnet)
    if ct.status & IPS_DYING:
        ctnet.stat["insert_failed"] += 1
        return NF_DROP
    for dir, hash in ((IP_CT_DIR_ORIGINAL, ct.hash), (IP_CT_DIR_REPLY, reply_hash)):
        other = _find(ctnet, ct.tuples[dir], hash)
        if other is not None:
            return _resolve_clash(skb, other[2])
    __nf_conntrack_insert_prepare(ct)
    __nf_conntrack_hash_insert(ct, reply_hash)
    return NF_ACCEPT


def _resolve_clash(skb: "SkBuff", winner: NfConn) -> int:
    """Let a packet join the connection that another packet began first, if it is the same (``nf_ct_resolve_clash``)."""
    loser, ctinfo = nf_ct_get(skb)
    assert loser is not None
    ctnet = winner.net.nf.conntrack
    if loser.tuples != winner.tuples or loser.tuples[0].protonum == IPPROTO_TCP:
        ctnet.stat["insert_failed"] += 1
        ctnet.stat["drop"] += 1
        return NF_DROP
    ctnet.stat["clash_resolve"] += 1
    skb.nfct = winner, ctinfo
    return NF_ACCEPT


def __nf_conntrack_insert_prepare(ct: NfConn) -> None:
    """Let a connection's time run, and say that it is confirmed."""
    ct.timeout += jiffies(ct.net.kernel)
    ct.status |= IPS_CONFIRMED


def __nf_conntrack_hash_insert(ct: NfConn, reply_hash: int) -> None:
    """Put both directions of a connection into their buckets."""
    ctnet = ct.net.nf.conntrack
    for dir, hash in ((IP_CT_DIR_ORIGINAL, ct.hash), (IP_CT_DIR_REPLY, reply_hash)):
        ctnet.hash.setdefault(hash, []).append((ct.tuples[dir], dir, ct))
    ctnet.conntracks[ct] = None
    ctnet.count += 1
    ctnet.stat["insert"] += 1
    if not timer_pending(ctnet.gc_timer):
        mod_timer(ctnet.gc_timer, jiffies(ct.net.kernel) + _GC_MAX)


def nf_conntrack_alter_reply(ct: NfConn, newreply: NfConntrackTuple) -> None:
    """Expect other answers: addresses of an unconfirmed connection are translated."""
    assert not ct.status & IPS_CONFIRMED
    ct.tuples[IP_CT_DIR_REPLY] = newreply


def nf_ct_delete(ct: NfConn) -> None:
    """End a connection."""
    if not ct.status & IPS_CONFIRMED or ct.status & IPS_DYING:
        return
    ct.status |= IPS_DYING
    ctnet = ct.net.nf.conntrack
    for dir, hash in (
        (IP_CT_DIR_ORIGINAL, ct.hash),
        (IP_CT_DIR_REPLY, hash_conntrack_raw(ct.tuples[IP_CT_DIR_REPLY], ctnet)),
    ):
        bucket = [entry for entry in ctnet.hash[hash] if entry[2] is not ct or entry[1] != dir]
        if bucket:
            ctnet.hash[hash] = bucket
        else:
            del ctnet.hash[hash]
    del ctnet.conntracks[ct]
    ctnet.count -= 1
    ctnet.stat["delete"] += 1


def __nf_ct_refresh_acct(ct: NfConn, ctinfo: int, skb: "SkBuff", extra_jiffies: int) -> None:
    """Let a connection live so much longer from now on, and count the packet."""
    ct.timeout = extra_jiffies + jiffies(ct.net.kernel) if ct.status & IPS_CONFIRMED else extra_jiffies
    nf_ct_acct_add(ct, CTINFO2DIR(ctinfo), skb.len)


def nf_ct_acct_add(ct: NfConn, dir: int, octets: int) -> None:
    """Count a packet of a direction, if the connection's are counted."""
    if ct.counters:
        counter = ct.counters[dir]
        counter[0] += 1
        counter[1] += octets


def nf_ct_iterate_cleanup_net(net: "Net", ends: Callable[[NfConn], bool]) -> None:
    """End those connections of a namespace for which a function says so."""
    for ct in [ct for ct in net.nf.conntrack.conntracks if ends(ct)]:
        nf_ct_delete(ct)


def gc_worker(ctnet: "NetnsCt", timer: TimerList) -> None:
    """End connections whose time is over; look again after as long as the others live on average."""
    for ct in [ct for ct in ctnet.conntracks if nf_ct_is_expired(ct)]:
        nf_ct_delete(ct)
    if ctnet.count:
        now = jiffies(timer.kernel)
        average = sum(ct.timeout - now for ct in ctnet.conntracks) // ctnet.count
        mod_timer(timer, now + min(max(average, _GC_MIN), _GC_MAX))

"""Reassembling IPv4 packets (Linux: net/ipv4/ip_fragment.c, inet_fragment.c; RFC 791 §3.2, RFC 1122 §3.3.2).

A fragment that overlaps another takes all of its packet with it, as RFC 5722 §4 wants it of IPv6.
"""

from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import CHECKSUM_COMPLETE, CHECKSUM_NONE, CHECKSUM_UNNECESSARY, SkBuff, kfree_skb_reason, skb_headlen
from ..core.skbuff_csum import pskb_trim_rcsum
from ..core.skbuff_data import pskb_may_pull, skb_cloned, skb_cow_head, skb_hang_frags, skb_linearize, skb_share_check
from ..core.timer import HZ, TimerList, del_timer, jiffies, mod_timer
from ..ethernet.eth import ETH_P_IP
from ..wire.checksum import csum_add
from . import route_input  # As a module, and first: it and icmp need each other.
from .icmp import icmp_send
from .icmp_defs import ICMP_EXC_FRAGTIME, ICMP_TIME_EXCEEDED
from .ip import IP_DF, IP_MF, IP_OFFSET, ip_send_check
from .ip_options import IpOptions

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = [
    "IP_DEFRAG_LOCAL_DELIVER",
    "IP_DEFRAG_MACVLAN",
    "FragQueue",
    "ip_check_defrag",
    "ip_defrag",
    "ip_expire",
    "ip_is_fragment",
]

IP_DEFRAG_LOCAL_DELIVER = 0
IP_DEFRAG_MACVLAN = 0x20009
_HEADER = Struct("!BBHHHBBHII")
_NOT_ECT, _CE = 1 << 0, 1 << 3  # Of the codepoints that fragments have had (RFC 3168 §5.3).


def ip_is_fragment(skb: SkBuff) -> bool:
    """Return whether a packet is one of several: more follow, or its offset is not 0."""
    at = skb.network_header + 6
    return bool(skb.view[at] & 0x3F or skb.view[at + 1])


class FragRun:
    """Fragments that came one after the other and lie so."""

    __slots__ = ("end", "skbs", "start")

    def __init__(self, start: int, end: int, skb: SkBuff) -> None:
        self.start = start
        self.end = end
        self.skbs = [skb]


class FragQueue:
    """A packet of which not all fragments are here (Linux: ``struct ipq``).

    Members
    -------
    key : tuple
        What its fragments have in common: addresses, identification, protocol, and who reassembles.
    runs : list[FragRun]
        Its octets, in order.
    len : int
        Octets that it has behind its header, as far as is known; all if ``last_in``.
    meat : int
        Octets that are here.
    memory : int
        What they cost (``truesize``).
    max_size, max_df_size : int
        The longest fragment, and the longest one with DF.
    rid : int
        How many fragments its sender had sent to this host when the last one of this packet came.
    """

    def __init__(self, net: "Net", key: tuple[int, ...]) -> None:
        self.net = net
        self.key = key
        self.runs: list[FragRun] = []
        self.timer = TimerList(net.kernel, lambda: ip_expire(self))
        self.rid = 0
        self.dev: NetDevice | None = None
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.len = self.meat = self.memory = self.ecn = self.max_size = self.max_df_size = 0
        self.last_in = False

    def drop(self, reason: SkbDropReason) -> None:
        """Free what is here."""
        skbs = [skb for run in self.runs for skb in run.skbs]
        self.runs = []
        self.net.ipv4.frag_mem -= self.memory
        self.clear()
        for skb in skbs:
            kfree_skb_reason(skb, reason)


def ip_defrag(net: "Net", skb: SkBuff, user: int) -> SkBuff | None:
    """Take a fragment; its data starts at its header.

    Returns
    -------
    SkBuff or None
        The whole packet, if this was what it lacked; else None: the fragment waits, or was dropped.
    """
    net.mib["Ip:ReasmReqds"] += 1
    qp = ip_find(net, skb, user)
    if qp is None:
        net.mib["Ip:ReasmFails"] += 1
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return None
    return ip_frag_queue(qp, skb)


def ip_check_defrag(net: "Net", skb: SkBuff, user: int) -> SkBuff | None:
    """Take a frame that may be a fragment, before IPv4 has it; as ``ip_defrag``, but others come back as they are."""
    at, room = skb.data, skb_headlen(skb)
    if skb.protocol != ETH_P_IP or room < _HEADER.size or skb.view[at] >> 4 != 4:
        return skb
    ihl = (skb.view[at] & 15) << 2
    total = skb.view[at + 2] << 8 | skb.view[at + 3]
    if not _HEADER.size <= ihl <= total <= skb.len or not ip_is_fragment(skb):
        return skb
    skb = skb_share_check(skb)
    try:
        if not pskb_may_pull(skb, ihl):
            return skb
        pskb_trim_rcsum(skb, total)
    except OSError:
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return None
    return ip_defrag(net, skb, user)


def ip_find(net: "Net", skb: SkBuff, user: int) -> FragQueue | None:
    """Return the queue of a fragment, made if needed; None if fragments have too much memory already."""
    _, _, _, ident, _, _, protocol, _, saddr, daddr = _HEADER.unpack_from(skb.view, skb.network_header)
    ipv4 = net.ipv4
    key = (saddr, daddr, ident, protocol, user)
    qp = ipv4.frag_queues.get(key)
    if qp is None:
        if ipv4.frag_mem > ipv4.sysctl_ipfrag_high_thresh:
            return None
        qp = ipv4.frag_queues[key] = FragQueue(net, key)
        ipv4.frag_sources.setdefault(saddr, [0, 0])[0] += 1
        mod_timer(qp.timer, jiffies(net.kernel) + ipv4.sysctl_ipfrag_time * HZ)
    return qp


def ipq_kill(qp: FragQueue) -> None:
    """Take a queue out of the table; what is in it stays."""
    del_timer(qp.timer)
    ipv4 = qp.net.ipv4
    del ipv4.frag_queues[qp.key]
    source = ipv4.frag_sources[qp.key[0]]
    source[0] -= 1
    if not source[0]:
        del ipv4.frag_sources[qp.key[0]]


def ip_frag_too_far(qp: FragQueue) -> bool:
    """Return whether so many fragments of other packets came meanwhile that the identification may be used anew."""
    ipv4 = qp.net.ipv4
    source = ipv4.frag_sources[qp.key[0]]
    source[1] += 1
    start, qp.rid = qp.rid, source[1]
    limit = ipv4.sysctl_ipfrag_max_dist
    return bool(limit and qp.runs and qp.rid - start > limit)


def ip_frag_queue(qp: FragQueue, skb: SkBuff) -> SkBuff | None:
    """Put a fragment where it belongs; as ``ip_defrag``."""
    net = qp.net
    if ip_frag_too_far(qp):
        net.mib["Ip:ReasmFails"] += 1
        qp.drop(SkbDropReason.NOT_SPECIFIED)
        mod_timer(qp.timer, jiffies(net.kernel) + net.ipv4.sysctl_ipfrag_time * HZ)
    first, tos, _, _, frag_off, _, _, _, _, _ = _HEADER.unpack_from(skb.view, skb.network_header)
    ihl = (first & 15) << 2
    offset = (frag_off & IP_OFFSET) << 3
    end = offset + skb.len - ihl
    if frag_off & IP_MF:
        if end & 7:
            end &= ~7
            if skb.ip_summed != CHECKSUM_UNNECESSARY:
                skb.ip_summed = CHECKSUM_NONE
        fits = end <= qp.len or not qp.last_in
        qp.len = max(qp.len, end)
    else:
        fits = end >= qp.len and (not qp.last_in or end == qp.len)
        qp.last_in = True
        qp.len = end
    if not fits or end == offset:
        _discard(qp, skb)
        return None
    skb.data += ihl
    skb.len -= ihl
    try:
        if skb.frag_list is not None:
            skb_linearize(skb)
        pskb_trim_rcsum(skb, end - offset)
    except OSError:
        _discard(qp, skb)
        return None
    place = _place(qp, offset, end)
    if place == _DUPLICATE:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return None
    if place == _OVERLAP:
        net.mib["IpExt:ReasmOverlaps"] += 1
        _discard(qp, skb)
        return None
    if place < len(qp.runs) or not qp.runs or qp.runs[-1].end != offset:
        qp.runs.insert(place, FragRun(offset, end, skb))
    else:
        qp.runs[-1].skbs.append(skb)
        qp.runs[-1].end = end
    qp.dev = skb.dev
    qp.meat += skb.len
    qp.ecn |= 1 << (tos & 3)
    qp.memory += skb.truesize
    net.ipv4.frag_mem += skb.truesize
    qp.max_size = max(qp.max_size, skb.len + ihl)
    if frag_off & IP_DF:
        qp.max_df_size = max(qp.max_df_size, skb.len + ihl)
    if qp.last_in and qp.meat == qp.len:
        return ip_frag_reasm(qp, skb)
    skb.dst = None
    return None


_DUPLICATE, _OVERLAP = -1, -2


def _place(qp: FragQueue, offset: int, end: int) -> int:
    """Return where octets go among the runs (``inet_frag_queue_insert``): a number, or why they do not."""
    if not qp.runs or qp.runs[-1].end < end:
        return len(qp.runs) if not qp.runs or offset >= qp.runs[-1].end else _OVERLAP
    for at, run in enumerate(qp.runs):
        if end <= run.start:
            return at
        if offset < run.end:
            return _DUPLICATE if offset >= run.start and end <= run.end else _OVERLAP
    raise AssertionError("the last run ends behind these octets")


def _discard(qp: FragQueue, skb: SkBuff) -> None:
    """Give a packet up."""
    ipq_kill(qp)
    qp.net.mib["Ip:ReasmFails"] += 1
    qp.drop(SkbDropReason.NOT_SPECIFIED)
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)


def ip_frag_reasm(qp: FragQueue, last: SkBuff) -> SkBuff | None:
    """Make one packet of its fragments, ``last`` the one that came last; None if that cannot be."""
    net = qp.net
    ipq_kill(qp)
    head, *rest = [skb for run in qp.runs for skb in run.skbs]
    header = head.network_header
    length = head.data - header + qp.len
    fits = length <= 0xFFFF and (not qp.ecn & _NOT_ECT or qp.ecn == _NOT_ECT)
    with suppress(OSError):
        skb_cow_head(head, 0)
    if not fits or skb_cloned(head):
        net.mib["Ip:ReasmFails"] += 1
        qp.drop(SkbDropReason.NOT_SPECIFIED)
        return None
    header = head.network_header
    head.dst, head.dev = last.dst, last.dev
    head.len += head.data - header
    head.data = header
    _join(head, rest)
    net.ipv4.frag_mem -= qp.memory
    view = head.view
    if qp.ecn & _CE:
        view[header + 1] |= 3
    view[header + 2 : header + 4] = length.to_bytes(2, "big")
    view[header + 6 : header + 8] = (IP_DF if qp.max_df_size == qp.max_size else 0).to_bytes(2, "big")
    ip_send_check(head)
    if not isinstance(head.cb, IpOptions):
        head.cb = IpOptions()
    head.cb.frag_max_size = max(qp.max_df_size, qp.max_size)
    net.mib["Ip:ReasmOKs"] += 1
    return head


def _join(head: SkBuff, rest: list[SkBuff]) -> None:
    """Hang the other fragments on the first one (``inet_frag_reasm_finish``)."""
    skb_hang_frags(head, rest)
    for skb in rest:
        if head.ip_summed != skb.ip_summed:
            head.ip_summed = CHECKSUM_NONE
        elif head.ip_summed == CHECKSUM_COMPLETE:
            head.csum = csum_add(head.csum, skb.csum)


def ip_expire(qp: FragQueue) -> None:
    """Give up a packet that is not whole after so long, and tell its sender if its first fragment is here."""
    net = qp.net
    ipq_kill(qp)
    net.mib["Ip:ReasmFails"] += 1
    net.mib["Ip:ReasmTimeout"] += 1
    if qp.runs and qp.runs[0].start == 0 and qp.dev is not None:
        head = qp.runs[0].skbs[0]
        head.dev = qp.dev
        _, tos, _, _, _, _, _, _, saddr, daddr = _HEADER.unpack_from(head.view, head.network_header)
        if route_input.ip_route_input_noref(head, daddr, saddr, tos, qp.dev) is None:
            icmp_send(head, ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME)
    qp.drop(SkbDropReason.FRAG_REASM_TIMEOUT)

"""Fragmenting IPv4 packets (Linux: net/ipv4/ip_output.c; RFC 791 §3.2)."""

from collections.abc import Callable
from errno import ENOMEM
from typing import TYPE_CHECKING

from ..core.dev_validate import skb_checksum_help
from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import (
    CHECKSUM_NONE,
    CHECKSUM_PARTIAL,
    SkBuff,
    __alloc_skb,
    consume_skb,
    kfree_skb_list_reason,
    kfree_skb_reason,
    skb_put,
    skb_reserve,
)
from ..core.skbuff_data import skb_cloned, skb_copy_bits, skb_walk_frags
from ..core.sock import skb_set_owner_w, sock_wfree
from .ip import IP_DF, IP_MF, IP_OFFSET, LL_RESERVED_SPACE, ip_send_check, ip_skb_dst_mtu
from .ip_options import IpOptions, ip_options_fragment

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.sock import Sock
    from .route import RTable

__all__ = [
    "FragIter",
    "FragState",
    "ip_copy_metadata",
    "ip_do_fragment",
    "ip_frag_init",
    "ip_frag_max_size",
    "ip_frag_next",
    "ip_fraglist_init",
    "ip_fraglist_next",
    "ip_fraglist_prepare",
]

Output = Callable[["Net", "Sock | None", SkBuff], int]


class FragIter:
    """Where the fast path is: the next skb of the list, and its offset (Linux: ``struct ip_fraglist_iter``)."""

    __slots__ = ("frag", "hlen", "offset")

    def __init__(self, frag: SkBuff | None, hlen: int) -> None:
        self.frag = frag
        self.hlen = hlen
        self.offset = 0


class FragState:
    """Where the slow path is: what is left, and where it goes (Linux: ``struct ip_frag_state``).

    Members
    -------
    left, ptr : int
        Octets still to be sent, and the offset in the skb of the first of them.
    offset : int
        The same in the whole datagram, if the skb is itself a fragment.
    mtu : int
        Room for payload in a fragment.
    df : int
        ``IP_DF`` or 0, for the fragments.
    not_last_frag : int
        The skb is itself a fragment with more to come.
    """

    __slots__ = ("df", "hlen", "left", "ll_rs", "mtu", "not_last_frag", "offset", "ptr")

    def __init__(self, hlen: int, ll_rs: int, mtu: int, left: int, frag_off: int, df: int) -> None:
        self.hlen = hlen
        self.ll_rs = ll_rs
        self.mtu = mtu
        self.left = left
        self.ptr = hlen
        self.offset = (frag_off & IP_OFFSET) << 3
        self.not_last_frag = frag_off & IP_MF
        self.df = df


def ip_do_fragment(net: "Net", sk: "Sock | None", skb: SkBuff, mtu: int, output: Output) -> int:
    """Send a packet as fragments, each with ``output``; return 0 or the first error, when the rest is dropped."""
    if skb.ip_summed == CHECKSUM_PARTIAL:
        try:
            skb_checksum_help(skb)
        except OSError:
            kfree_skb_reason(skb, SkbDropReason.NOMEM)
            net.mib["Ip:FragFails"] += 1
            return -ENOMEM
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    at = skb.network_header
    hlen = (skb.view[at] & 15) << 2
    frag_max_size = ip_frag_max_size(skb)
    mtu = min(ip_skb_dst_mtu(sk, rt), frag_max_size or 0xFFFF) - hlen
    ll_rs = LL_RESERVED_SPACE(rt.dev)
    if skb.frag_list is not None and _is_prepared(skb, hlen, mtu, ll_rs):
        error = _send_fraglist(net, sk, skb, hlen, output)
    else:
        error = _send_copies(net, sk, skb, ip_frag_init(skb, hlen, ll_rs, mtu), output)
    net.mib["Ip:FragFails" if error else "Ip:FragOKs"] += 1
    return error


def ip_frag_max_size(skb: SkBuff) -> int:
    """Return the length of the longest fragment that a packet was put together from; 0 if it was not."""
    opt = skb.cb
    return opt.frag_max_size if isinstance(opt, IpOptions) else 0


def _is_prepared(skb: SkBuff, hlen: int, mtu: int, ll_rs: int) -> bool:
    """Return whether the skbs of the list can be sent as they are, with a header put in front."""
    first = skb.len - sum(frag.len for frag in skb_walk_frags(skb)) - hlen
    frag_off = int.from_bytes(skb.view[skb.network_header + 6 : skb.network_header + 8], "big")
    if first > mtu or first & 7 or frag_off & (IP_MF | IP_OFFSET) or skb_cloned(skb) or skb.data < ll_rs:
        return False
    return not any(
        frag.len > mtu
        or (frag.len & 7 and frag.next is not None)
        or frag.data < hlen + ll_rs
        or frag.users != 1
        or skb_cloned(frag)
        for frag in skb_walk_frags(skb)
    )


def _send_fraglist(net: "Net", sk: "Sock | None", skb: SkBuff, hlen: int, output: Output) -> int:
    """Send head and list as they are."""
    for frag in skb_walk_frags(skb):
        # Their memory counted with the head's; from now on each counts for itself.
        if skb.sk is not None:
            frag.sk = skb.sk
            frag.destructor = sock_wfree
        skb.truesize -= frag.truesize
    walk = ip_fraglist_init(skb, hlen)
    while True:
        # The next header is made from this one's before this one goes.
        if walk.frag is not None:
            first = walk.offset == 0
            ip_fraglist_prepare(skb, walk)
            if first and hlen > 20:
                ip_options_fragment(walk.frag)
                ip_send_check(walk.frag)
        error = output(net, sk, skb)
        if error:
            kfree_skb_list_reason(walk.frag, SkbDropReason.NOT_SPECIFIED)
            return error
        net.mib["Ip:FragCreates"] += 1
        if walk.frag is None:
            return 0
        skb = ip_fraglist_next(walk)


def ip_fraglist_init(skb: SkBuff, hlen: int) -> FragIter:
    """Take the list off the head and make that the first fragment."""
    walk = FragIter(skb.frag_list, hlen)
    in_list = sum(frag.len for frag in skb_walk_frags(skb))
    skb.frag_list = None
    skb.data_len -= in_list
    skb.len -= in_list
    _set_length_and_offset(skb, IP_MF)
    ip_send_check(skb)
    return walk


def ip_fraglist_prepare(skb: SkBuff, walk: FragIter) -> None:
    """Put a header in front of the next fragment, made from the one of the fragment before it."""
    frag = walk.frag
    assert frag is not None
    hlen = walk.hlen
    frag.ip_summed = CHECKSUM_NONE
    frag.transport_header = frag.data
    frag.data -= hlen
    frag.len += hlen
    frag.network_header = frag.data
    frag.view[frag.data : frag.data + hlen] = skb.view[skb.network_header : skb.network_header + hlen]
    ip_copy_metadata(frag, skb)
    walk.offset += skb.len - hlen
    _set_length_and_offset(frag, walk.offset >> 3 | (IP_MF if frag.next is not None else 0))
    ip_send_check(frag)


def ip_fraglist_next(walk: FragIter) -> SkBuff:
    """Return the fragment that was prepared, and go on to the one behind it."""
    skb = walk.frag
    assert skb is not None
    walk.frag = skb.next
    skb.next = None
    return skb


def _set_length_and_offset(skb: SkBuff, frag_off: int) -> None:
    at = skb.network_header
    skb.view[at + 2 : at + 4] = skb.len.to_bytes(2, "big")
    skb.view[at + 6 : at + 8] = frag_off.to_bytes(2, "big")


def ip_copy_metadata(to: SkBuff, source: SkBuff) -> None:
    """Give a fragment what does not lie in its octets."""
    to.pkt_type = source.pkt_type
    to.priority = source.priority
    to.protocol = source.protocol
    to.dst = source.dst
    to.dev = source.dev
    to.mark = source.mark
    to.hash = source.hash
    to.ignore_df = source.ignore_df


def _send_copies(net: "Net", sk: "Sock | None", skb: SkBuff, state: FragState, output: Output) -> int:
    """Copy the packet into fragments and send those."""
    while state.left > 0:
        try:
            fragment = ip_frag_next(skb, state)
        except OSError:
            kfree_skb_reason(skb, SkbDropReason.NOMEM)
            return -ENOMEM
        sent = output(net, sk, fragment)
        if sent:
            kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
            return sent
        net.mib["Ip:FragCreates"] += 1
    consume_skb(skb)
    return 0


def ip_frag_init(skb: SkBuff, hlen: int, ll_rs: int, mtu: int) -> FragState:
    """Begin to copy a packet into fragments with ``mtu`` octets of payload."""
    frag_off = int.from_bytes(skb.view[skb.network_header + 6 : skb.network_header + 8], "big")
    keeps_df = not skb.ignore_df or ip_frag_max_size(skb)
    return FragState(hlen, ll_rs, mtu, skb.len - hlen, frag_off, frag_off & IP_DF if keeps_df else 0)


def ip_frag_next(skb: SkBuff, state: FragState) -> SkBuff:
    """Return the next fragment, a copy.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    hlen = state.hlen
    length = min(state.left, state.mtu)
    if length < state.left:
        length &= ~7  # Every fragment but the last ends on a multiple of 8 octets.
    fragment = __alloc_skb(skb.kernel, state.ll_rs + hlen + length)
    ip_copy_metadata(fragment, skb)
    skb_reserve(fragment, state.ll_rs)
    at = skb_put(fragment, hlen + length)
    fragment.network_header = at
    fragment.transport_header = at + hlen
    if skb.sk is not None:
        skb_set_owner_w(fragment, skb.sk)
    view = fragment.view
    view[at : at + hlen] = skb.view[skb.network_header : skb.network_header + hlen]
    view[at + hlen : at + hlen + length] = skb_copy_bits(skb, state.ptr, length)
    state.left -= length
    more = IP_MF if state.left > 0 or state.not_last_frag else 0
    _set_length_and_offset(fragment, state.offset >> 3 | more | state.df)
    if state.offset == 0 and hlen > 20:
        # The first fragment has all options; those behind it, made from this header, only the ones to be copied.
        ip_options_fragment(skb)
    ip_send_check(fragment)
    state.ptr += length
    state.offset += length
    return fragment

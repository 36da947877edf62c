"""Segments in one packet, cut on their way out (Linux: net/ipv4/tcp_offload.c)."""

from errno import EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import SKB_GSO_TCPV4, SkBuff
from ..core.skbuff_segment import gso_make_checksum, skb_segment
from ..uapi import IPPROTO_TCP
from .tcp_defs import CHECK_OFFSET, TCPHDR_CWR, TCPHDR_FIN, TCPHDR_PSH
from .tcp_output import tcp_wfree

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["tcp4_gso_segment", "tcp_gso_segment"]

_ADDRESSES = Struct("!II")
_SEQ = Struct("!I")


def tcp4_gso_segment(skb: SkBuff, features: int) -> list[SkBuff]:
    """Cut segments apart; the packet's data starts at the TCP header.

    Raises
    ------
    OSError
        ``EINVAL`` for another kind of packet; ``ENOMEM``.
    """
    if skb.gso_type != SKB_GSO_TCPV4 or skb.tail - skb.data < 20:
        raise OSError(EINVAL, "these are no segments of a stream")
    return tcp_gso_segment(skb, features)


def tcp_gso_segment(skb: SkBuff, features: int) -> list[SkBuff]:
    """Cut segments apart, and give each its sequence number, flags and checksum.

    FIN and PSH are the last one's, CWR is the first one's (RFC 3168 §6.1.2).
    """
    at = skb.data
    doff = skb.view[at + 12] >> 4 << 2
    if doff < 20 or skb.tail - at < doff:
        raise OSError(EINVAL, "no TCP header")
    (seq,) = _SEQ.unpack_from(skb.view, at + 4)
    sk: TcpSock | None = skb.sk if skb.destructor is tcp_wfree else None  # type: ignore[assignment]
    mss = skb.gso_size
    skb.data += doff
    skb.len -= doff
    segs = skb_segment(skb, features)
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    for number, seg in enumerate(segs):
        start = seg.transport_header
        view = seg.view
        _SEQ.pack_into(view, start + 4, seq + number * mss & 0xFFFFFFFF)
        if number:
            view[start + 13] &= ~TCPHDR_CWR
        if number < len(segs) - 1:
            view[start + 13] &= ~(TCPHDR_FIN | TCPHDR_PSH)
        gso_make_checksum(seg, CHECK_OFFSET, saddr, daddr, IPPROTO_TCP, features)
        if sk is not None:
            seg.sk, seg.destructor = sk, tcp_wfree
            sk.sk_wmem_alloc += seg.truesize
    return segs

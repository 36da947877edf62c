"""Segments in one packet: cut on their way out, joined on their way in (Linux: net/ipv4/tcp_offload.c)."""

from errno import EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.gro import skb_gro_checksum_validate, skb_gro_len, skb_gro_receive
from ..core.skbuff import CHECKSUM_PARTIAL, SKB_GSO_TCP_ECN, SKB_GSO_TCP_FIXEDID, SKB_GSO_TCPV4, SkBuff
from ..core.skbuff_data import pskb_may_pull
from ..core.skbuff_segment import gso_make_checksum, skb_segment
from ..uapi import IPPROTO_TCP
from ..wire.checksum import csum_tcpudp_nofold
from .tcp_defs import (
    CHECK_OFFSET,
    TCPHDR_CWR,
    TCPHDR_FIN,
    TCPHDR_PSH,
    TCPHDR_RST,
    TCPHDR_SYN,
    TCPHDR_URG,
)
from .tcp_output import tcp_wfree

if TYPE_CHECKING:
    from ..core.gro import NapiGroCb
    from .tcp_sock import TcpSock

__all__ = [
    "tcp4_gro_complete",
    "tcp4_gro_receive",
    "tcp4_gso_segment",
    "tcp_gro_complete",
    "tcp_gro_receive",
    "tcp_gso_segment",
]

_ADDRESSES = Struct("!II")
_SEQ = Struct("!I")
_CHECK = Struct("!H")
_PORTS_TO_FLAGS = Struct("!IIII")  # Ports; sequence number; ACK; data offset, flags and window (tcp_flag_word()).
_LAST_ONLY = (TCPHDR_FIN | TCPHDR_PSH) << 16
_FIRST_ONLY = TCPHDR_CWR << 16
_ENDS = (TCPHDR_URG | TCPHDR_PSH | TCPHDR_RST | TCPHDR_SYN | TCPHDR_FIN) << 16


def tcp4_gso_segment(skb: SkBuff, features: int) -> list[SkBuff]:
    """Cut segments apart; the packet's data starts at the TCP header.

    Raises
    ------
    OSError
        ``EINVAL`` for another kind of packet; ``ENOMEM``.
    """
    if not skb.gso_type & SKB_GSO_TCPV4 or skb.tail - skb.data < 20:
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


def tcp4_gro_receive(held: list[SkBuff], skb: SkBuff) -> SkBuff | None:
    """Join a segment with one that is held, if its checksum is right."""
    cb: NapiGroCb = skb.cb
    if not cb.flush:
        saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
        if not skb_gro_checksum_validate(skb, csum_tcpudp_nofold(saddr, daddr, skb_gro_len(skb), IPPROTO_TCP)):
            cb.flush = True
            return None
    return tcp_gro_receive(held, skb)


def tcp_gro_receive(held: list[SkBuff], skb: SkBuff) -> SkBuff | None:
    """Join a segment with the held one that it follows; its data begins at ``data_offset`` behind ``data``.

    Only FIN and PSH, on the last one, and CWR, on the first one, may differ: what was joined can be cut again. What is
    shorter than those before it, or has one of those flags, is the last.

    Returns
    -------
    SkBuff or None
        A held packet that has to go on now.
    """
    cb: NapiGroCb = skb.cb
    offset = cb.data_offset
    if not pskb_may_pull(skb, offset + 20):
        cb.flush = True
        return None
    at = skb.transport_header
    thlen = skb.view[at + 12] >> 4 << 2
    if thlen < 20 or not pskb_may_pull(skb, offset + thlen):
        cb.flush = True
        return None
    ports, seq, ack, flags = _PORTS_TO_FLAGS.unpack_from(skb.view, at)
    cb.data_offset = offset + thlen
    length = skb_gro_len(skb)
    for p in held:
        before: NapiGroCb = p.cb
        if not before.same_flow:
            continue
        p_at = p.transport_header
        p_ports, p_seq, p_ack, p_flags = _PORTS_TO_FLAGS.unpack_from(p.view, p_at)
        if p_ports == ports:
            break
        before.same_flow = False
    else:
        cb.flush |= length < 1 or flags & _ENDS != 0
        return None
    mss = p.gso_size
    apart = (
        before.flush
        or flags & _FIRST_ONLY != 0
        or (flags ^ p_flags) & ~(_FIRST_ONLY | _LAST_ONLY) != 0
        or ack != p_ack
        or skb.view[at + 20 : at + thlen] != p.view[p_at + 20 : p_at + thlen]
        or not 0 < length <= mss
        or p_seq + skb_gro_len(p) & 0xFFFFFFFF != seq
    )
    # The second one shows whether identifications go up though they say nothing.
    if before.flush_id == 1 and before.count == 1 and before.is_atomic:
        before.is_atomic = False
    else:
        apart |= before.flush_id != 0
    if apart or not skb_gro_receive(p, skb):
        mss = 1
    else:
        p.view[p_at + 13] |= (flags & _LAST_ONLY) >> 16
    last = length < mss or flags & _ENDS != 0
    cb.flush |= last
    return p if last or not cb.same_flow else None


def tcp4_gro_complete(skb: SkBuff, cb: "NapiGroCb") -> None:
    """Make the TCP header right for all segments that were joined: the checksum is that of a packet to be cut."""
    at = skb.transport_header
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    length = skb.len - (at - skb.data)
    _CHECK.pack_into(skb.view, at + CHECK_OFFSET, csum_tcpudp_nofold(saddr, daddr, length, IPPROTO_TCP))
    skb.gso_type = SKB_GSO_TCPV4
    if cb.is_atomic:
        skb.gso_type |= SKB_GSO_TCP_FIXEDID
    tcp_gro_complete(skb)


def tcp_gro_complete(skb: SkBuff) -> None:
    """Say that the checksum need not be looked at, and is still to be made if the packet is sent on."""
    at = skb.transport_header
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = at
    skb.csum_offset = CHECK_OFFSET
    if skb.view[at + 13] & TCPHDR_CWR:
        skb.gso_type |= SKB_GSO_TCP_ECN

"""Cutting a packet that stands for many into those (Linux: net/core/skbuff.c, net/core/gso.c)."""

from errno import EPROTONOSUPPORT
from struct import Struct

from ..wire.checksum import csum_fold, csum_tcpudp_nofold
from .drop_reasons import SkbDropReason
from .netdevice import NETIF_F_CSUM_MASK, NETIF_F_GSO_SHIFT, NETIF_F_SG
from .skbuff import (
    CHECKSUM_NONE,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNNECESSARY,
    SKB_GSO_UDP_L4,
    SkBuff,
    __alloc_skb,
    kfree_skb_reason,
    skb_headlen,
)
from .skbuff_data import __copy_skb_header, skb_checksum, skb_copy_bits

__all__ = [
    "gso_make_checksum",
    "netif_needs_gso",
    "skb_gso_segment",
    "skb_gso_validate_mac_len",
    "skb_gso_validate_network_len",
    "skb_mac_gso_segment",
    "skb_segment",
]

_CHECK = Struct("!H")
_TAGS = (0x8100, 0x88A8)  # eth_type_vlan()


def netif_needs_gso(skb: SkBuff, features: int) -> bool:
    """Return whether a packet with a ``gso_size`` must be cut before a device with these features can have it."""
    able = features >> NETIF_F_GSO_SHIFT & skb.gso_type == skb.gso_type  # net_gso_ok()
    return not able or skb.ip_summed not in (CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY)


def _seglen(skb: SkBuff, start: int) -> int:
    """Return how long the longest packet is that it stands for, from one of its headers on."""
    at = skb.transport_header
    return at - start + (8 if skb.gso_type == SKB_GSO_UDP_L4 else skb.view[at + 12] >> 4 << 2) + skb.gso_size


def skb_gso_validate_network_len(skb: SkBuff, mtu: int) -> bool:
    """Return whether the packets that it stands for fit an MTU."""
    return _seglen(skb, skb.network_header) <= mtu


def skb_gso_validate_mac_len(skb: SkBuff, length: int) -> bool:
    """Return whether the frames that it stands for are not longer than that."""
    return _seglen(skb, skb.mac_header) <= length


def skb_gso_segment(skb: SkBuff, features: int) -> SkBuff:
    """Cut a packet, whose data starts at its first header, as the features of a device allow.

    Returns
    -------
    SkBuff
        The first packet of the list; the caller still has the one that was cut.

    Raises
    ------
    OSError
        ``ENOMEM``; ``EPROTONOSUPPORT``, ``EINVAL`` for what cannot be cut.
    """
    skb.mac_header = skb.data
    segs = skb_mac_gso_segment(skb, features)
    for seg, following in zip(segs, segs[1:], strict=False):
        seg.next = following
    return segs[0]


def skb_network_protocol(skb: SkBuff) -> int:
    """Return the protocol behind the tags of VLANs in a frame."""
    protocol = skb.protocol
    at = skb.mac_header + 12
    while protocol in _TAGS:
        at += 4
        protocol = skb.view[at] << 8 | skb.view[at + 1]
    return protocol


def skb_mac_gso_segment(skb: SkBuff, features: int) -> list[SkBuff]:
    """Have a packet cut by its protocol (``packet_type.gso_segment``)."""
    assert skb.dev is not None
    protocol = skb_network_protocol(skb)
    for ptype in skb.dev.net.ptype_base[protocol & 15]:
        if ptype.type == protocol and ptype.gso_segment is not None:
            skb.len -= skb.network_header - skb.data
            skb.data = skb.network_header
            try:
                if ptype.gso_send_check is not None:
                    ptype.gso_send_check(skb)
                segs = ptype.gso_segment(skb, features)
            finally:
                skb.len += skb.data - skb.mac_header
                skb.data = skb.mac_header
            return segs
    raise OSError(EPROTONOSUPPORT, f"packets of protocol {protocol:#06x} cannot be cut")


def skb_segment(head: SkBuff, features: int) -> list[SkBuff]:
    """Cut a packet, whose data starts behind its headers, into those of ``gso_size`` octets each with a copy of them.

    Data in fragments is shared on devices that gather, else copied.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    mss = head.gso_size
    headers = head.view[head.mac_header : head.data]
    room = head.mac_header
    share = features & NETIF_F_SG and head.frag_list is None
    segs: list[SkBuff] = []
    try:
        for offset in range(0, head.len, mss):
            size = min(mss, head.len - offset)
            linear = min(max(skb_headlen(head) - offset, 0), size) if share else size
            seg = __alloc_skb(head.kernel, room + len(headers) + linear)
            segs.append(seg)
            __copy_skb_header(seg, head)
            seg.gso_size = 0
            seg.data = room
            seg.tail = room + len(headers) + linear
            seg.view[room : room + len(headers)] = headers
            seg.view[room + len(headers) : seg.tail] = skb_copy_bits(head, offset, linear)
            seg.len = len(headers) + size
            seg.data_len = size - linear
            if seg.data_len:
                _share_frags(head, seg, offset + linear - skb_headlen(head), seg.data_len)
    except OSError:
        for seg in segs:
            kfree_skb_reason(seg, SkbDropReason.NOMEM)
        raise
    return segs


def gso_make_checksum(
    seg: SkBuff, offset: int, saddr: int, daddr: int, proto: int, features: int, *, zero: int = 0
) -> None:
    """Give a packet that was cut off its checksum, or leave it to a device that can.

    Parameters
    ----------
    seg : SkBuff
        With its transport header.
    offset : int
        Where the checksum is in that.
    saddr, daddr, proto : int
        The pseudo header's.
    features : int
        ``NETIF_F_*`` bits of the device.
    zero : int
        What stands for a sum of 0: UDP says with that that there is none.
    """
    start = seg.transport_header
    at = start + offset
    length = seg.len - (start - seg.data)
    pseudo = csum_tcpudp_nofold(saddr, daddr, length, proto)
    if features & NETIF_F_CSUM_MASK:
        seg.ip_summed = CHECKSUM_PARTIAL
        seg.csum_start, seg.csum_offset = start, offset
        _CHECK.pack_into(seg.view, at, pseudo)
    else:
        seg.ip_summed = CHECKSUM_NONE
        _CHECK.pack_into(seg.view, at, 0)
        check = csum_fold(skb_checksum(seg, start - seg.data, length, pseudo)) or zero
        _CHECK.pack_into(seg.view, at, check)


def _share_frags(head: SkBuff, seg: SkBuff, offset: int, length: int) -> None:
    """Let a packet refer to octets of another one's fragments."""
    for page, start, size in head.frags:
        if offset >= size:
            offset -= size
            continue
        part = min(size - offset, length)
        page.count += 1
        seg.frags.append((page, start + offset, part))
        seg.truesize += part
        length -= part
        if not length:
            return
        offset = 0

"""The User Datagram Protocol, datagrams in one packet (Linux: net/ipv4/udp_offload.c)."""

from errno import EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import SKB_GSO_UDP_L4, SkBuff
from ..core.skbuff_segment import gso_make_checksum, skb_segment
from ..core.sock import sock_wfree
from ..uapi import IPPROTO_UDP

if TYPE_CHECKING:
    from ..core.sock import Sock

__all__ = ["__udp_gso_segment", "udp4_ufo_fragment"]

_HEADER_OCTETS = 8
_CHECK_OFFSET = 6
_ADDRESSES = Struct("!II")
_LENGTH = Struct("!H")


def udp4_ufo_fragment(skb: SkBuff, features: int) -> list[SkBuff]:
    """Cut datagrams apart; the packet's data starts at the UDP header.

    Raises
    ------
    OSError
        ``EINVAL`` for another kind of packet; ``ENOMEM``.
    """
    if skb.gso_type != SKB_GSO_UDP_L4 or skb.len < _HEADER_OCTETS:
        raise OSError(EINVAL, "these are no datagrams")
    return __udp_gso_segment(skb, features)


def __udp_gso_segment(skb: SkBuff, features: int) -> list[SkBuff]:
    """Cut datagrams apart, and give each its length and checksum; all count against the sender's buffer until sent."""
    sk: Sock | None = skb.sk if skb.destructor is sock_wfree else None
    skb.data += _HEADER_OCTETS
    skb.len -= _HEADER_OCTETS
    segs = skb_segment(skb, features)
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    for seg in segs:
        at = seg.transport_header
        length = seg.len - (at - seg.data)
        _LENGTH.pack_into(seg.view, at + 4, length)
        gso_make_checksum(seg, _CHECK_OFFSET, saddr, daddr, IPPROTO_UDP, features, zero=0xFFFF)
        if sk is not None:
            seg.sk, seg.destructor = sk, sock_wfree
            sk.sk_wmem_alloc += seg.truesize
    return segs

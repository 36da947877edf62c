"""The User Datagram Protocol, datagrams in one packet (Linux: net/ipv4/udp_offload.c)."""

from errno import EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.netdevice import NETIF_F_CSUM_MASK
from ..core.skbuff import CHECKSUM_NONE, CHECKSUM_PARTIAL, SKB_GSO_UDP_L4, SkBuff
from ..core.skbuff_data import skb_checksum
from ..core.skbuff_segment import skb_segment
from ..core.sock import sock_wfree
from ..uapi import IPPROTO_UDP
from ..wire.checksum import csum_fold, csum_tcpudp_nofold

if TYPE_CHECKING:
    from ..core.sock import Sock

__all__ = ["__udp_gso_segment", "udp4_ufo_fragment"]

_HEADER_OCTETS = 8
_CHECK_OFFSET = 6
_ADDRESSES = Struct("!II")
_LENGTH_AND_CHECK = Struct("!HH")


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
        pseudo = csum_tcpudp_nofold(saddr, daddr, length, IPPROTO_UDP)
        if features & NETIF_F_CSUM_MASK:
            seg.ip_summed = CHECKSUM_PARTIAL
            seg.csum_start, seg.csum_offset = at, _CHECK_OFFSET
            _LENGTH_AND_CHECK.pack_into(seg.view, at + 4, length, pseudo)
        else:
            seg.ip_summed = CHECKSUM_NONE
            _LENGTH_AND_CHECK.pack_into(seg.view, at + 4, length, 0)
            check = csum_fold(skb_checksum(seg, at - seg.data, length, pseudo)) or 0xFFFF
            _LENGTH_AND_CHECK.pack_into(seg.view, at + 4, length, check)
        if sk is not None:
            seg.sk, seg.destructor = sk, sock_wfree
            sk.sk_wmem_alloc += seg.truesize
    return segs

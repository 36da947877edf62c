"""Checksums of segments over IPv4 (Linux: net/ipv4/tcp_ipv4.c; RFC 9293 §3.1)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import CHECKSUM_PARTIAL
from ..core.skbuff_csum import skb_checksum_init
from ..uapi import IPPROTO_TCP
from ..wire.checksum import csum_tcpudp_nofold
from .tcp_defs import CHECK_OFFSET

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .inet_sock import InetSock

__all__ = ["__tcp_v4_send_check", "tcp_v4_csum_init", "tcp_v4_send_check"]

_CHECK = Struct("!H")


def tcp_v4_send_check(sk: "InetSock", skb: "SkBuff") -> None:
    """Leave the checksum of a socket's segment to the device."""
    _leave_to_device(skb, sk.inet_saddr, sk.inet_daddr)


def __tcp_v4_send_check(skb: "SkBuff", saddr: int, daddr: int) -> None:
    """Leave the checksum of a segment, whose data starts at its header, to the device (``CHECKSUM_PARTIAL``)."""
    _leave_to_device(skb, saddr, daddr)


def _leave_to_device(skb: "SkBuff", saddr: int, daddr: int) -> None:
    at = skb.transport_header
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = at
    skb.csum_offset = CHECK_OFFSET
    check = csum_tcpudp_nofold(saddr, daddr, skb.len - (at - skb.data), IPPROTO_TCP)
    _CHECK.pack_into(skb.view, at + CHECK_OFFSET, check)


def tcp_v4_csum_init(skb: "SkBuff", saddr: int, daddr: int) -> bool:
    """Take over what the device says about a checksum, or sum; a long segment is summed once its socket is known.

    Returns
    -------
    bool
        False if the checksum is known to be wrong.
    """
    return skb_checksum_init(skb, saddr, daddr, skb.len, IPPROTO_TCP)

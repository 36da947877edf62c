"""IPv4 packets that stand for many (Linux: net/ipv4/af_inet.c)."""

from errno import EINVAL, EPROTONOSUPPORT
from struct import Struct
from typing import TYPE_CHECKING

from .ip import ip_send_check

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff

__all__ = ["inet_gso_segment", "inet_gso_send_check"]

_LENGTH_AND_ID = Struct("!HH")


def inet_gso_send_check(skb: "SkBuff") -> None:
    """See whether a packet can be cut: it is whole, and its protocol knows how.

    Raises
    ------
    OSError
        ``EINVAL``, ``EPROTONOSUPPORT``.
    """
    assert skb.dev is not None
    at = skb.network_header
    if skb.tail - skb.data < 20 or skb.view[at] >> 4 != 4:
        raise OSError(EINVAL, "no IPv4 header")
    prot = skb.dev.net.ipv4.inet_protos[skb.view[at + 9]]
    if prot is None or prot.gso_segment is None:
        raise OSError(EPROTONOSUPPORT, f"packets of protocol {skb.view[at + 9]} cannot be cut")


def inet_gso_segment(skb: "SkBuff", features: int) -> "list[SkBuff]":
    """Cut an IPv4 packet, whose data starts at its header; each part gets length, identification and checksum.

    Raises
    ------
    OSError
        What the protocol raises.
    """
    assert skb.dev is not None
    at = skb.network_header
    prot = skb.dev.net.ipv4.inet_protos[skb.view[at + 9]]
    assert prot is not None
    assert prot.gso_segment is not None
    ihl = (skb.view[at] & 15) << 2
    _, ident = _LENGTH_AND_ID.unpack_from(skb.view, at + 2)
    skb.data += ihl
    skb.len -= ihl
    segs = prot.gso_segment(skb, features)
    for number, seg in enumerate(segs):
        length = seg.len - (seg.network_header - seg.data)
        _LENGTH_AND_ID.pack_into(seg.view, seg.network_header + 2, length, ident + number & 0xFFFF)
        ip_send_check(seg)
    return segs

"""IPv4 packets that stand for many: cutting and joining them (Linux: net/ipv4/af_inet.c)."""

from errno import EINVAL, EPROTONOSUPPORT
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import SKB_GSO_TCP_FIXEDID
from ..core.skbuff_data import pskb_may_pull
from ..wire.checksum import csum_replace2
from .ip import IP_DF, ip_send_check

if TYPE_CHECKING:
    from ..core.gro import NapiGroCb
    from ..core.skbuff import SkBuff

__all__ = ["inet_gro_complete", "inet_gro_receive", "inet_gso_segment", "inet_gso_send_check"]

_LENGTH_AND_ID = Struct("!HH")
_LENGTH_TO_TTL = Struct("!HHHB")
_WORD = Struct("!H")


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

    Identifications go up by one, but for those that came joined with all the same (``SKB_GSO_TCP_FIXEDID``).

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
    step = 0 if skb.gso_type & SKB_GSO_TCP_FIXEDID else 1
    skb.data += ihl
    skb.len -= ihl
    segs = prot.gso_segment(skb, features)
    for number, seg in enumerate(segs):
        length = seg.len - (seg.network_header - seg.data)
        _LENGTH_AND_ID.pack_into(seg.view, seg.network_header + 2, length, ident + number * step & 0xFFFF)
        ip_send_check(seg)
    return segs


def inet_gro_receive(held: "list[SkBuff]", skb: "SkBuff") -> "SkBuff | None":
    """See which held packets a new one, whose data starts at its header, may follow; its protocol joins them.

    Those of its flow whose TTL, TOS or DF is another one may not be joined with it. Identifications go up by one, or
    all are the same where fragmenting is forbidden (RFC 6864).
    """
    cb: NapiGroCb = skb.cb
    at = skb.data
    if not pskb_may_pull(skb, 20):
        cb.flush = True
        return None
    view = skb.view
    assert skb.dev is not None
    length, ident, frag_off, ttl = _LENGTH_TO_TTL.unpack_from(view, at + 2)
    prot = skb.dev.net.ipv4.inet_protos[skb.view[at + 9]]
    if (
        prot is None
        or prot.gro_receive is None
        or view[at] != 0x45
        or int.from_bytes(view[at : at + 20], "big") % 0xFFFF
    ):
        cb.flush = True
        return None
    flush = length != skb.len or frag_off & ~IP_DF != 0
    tos, protocol, addresses = view[at + 1], view[at + 9], view[at + 12 : at + 20]
    for p in held:
        before: NapiGroCb = p.cb
        if not before.same_flow:
            continue
        p_at = p.network_header
        _, p_ident, p_frag_off, p_ttl = _LENGTH_TO_TTL.unpack_from(p.view, p_at + 2)
        if p.view[p_at + 9] != protocol or p.view[p_at + 12 : p_at + 20] != addresses:
            before.same_flow = False
            continue
        before.flush = flush or ttl != p_ttl or tos != p.view[p_at + 1] or (frag_off ^ p_frag_off) & IP_DF != 0
        before.flush_id = ident - p_ident & 0xFFFF
        if not before.is_atomic or not frag_off & IP_DF:
            before.flush_id = 0 if before.flush_id == before.count else 0xFFFF
    cb.is_atomic = frag_off & IP_DF != 0
    cb.flush |= flush
    skb.network_header = at
    skb.transport_header = at + 20
    cb.data_offset = 20
    return prot.gro_receive(held, skb)


def inet_gro_complete(skb: "SkBuff", cb: "NapiGroCb") -> None:
    """Say in the IPv4 header how long a packet is that others were joined with."""
    assert skb.dev is not None
    at = skb.network_header
    (length,) = _WORD.unpack_from(skb.view, at + 2)
    (check,) = _WORD.unpack_from(skb.view, at + 10)
    _WORD.pack_into(skb.view, at + 2, skb.len)
    _WORD.pack_into(skb.view, at + 10, csum_replace2(check, length, skb.len))
    prot = skb.dev.net.ipv4.inet_protos[skb.view[at + 9]]
    assert prot is not None
    assert prot.gro_complete is not None
    prot.gro_complete(skb, cb)

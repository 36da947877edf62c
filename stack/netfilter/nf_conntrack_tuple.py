"""Tuples: what the packets of one direction of a connection have in common (Linux: nf_conntrack_tuple.h, _core.c)."""

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from ..core.skbuff_data import skb_header_pointer
from ..ipv4.icmp_defs import (
    ICMP_ADDRESS,
    ICMP_ADDRESSREPLY,
    ICMP_ECHO,
    ICMP_ECHOREPLY,
    ICMP_TIMESTAMP,
    ICMP_TIMESTAMPREPLY,
)
from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff

__all__ = ["NfConntrackTuple", "get_l4proto", "nf_ct_get_tuple", "nf_ct_invert_tuple"]

_ADDRESSES = Struct("!II")
_PORTS = Struct("!HH")
_ICMP = Struct("!BBHH")
_WITH_PORTS = (IPPROTO_TCP, IPPROTO_UDP)
_ICMP_INFO_REQUEST, _ICMP_INFO_REPLY = 15, 16

# The type that answers each type.
_REPLY_TO = {
    ICMP_ECHO: ICMP_ECHOREPLY,
    ICMP_TIMESTAMP: ICMP_TIMESTAMPREPLY,
    _ICMP_INFO_REQUEST: _ICMP_INFO_REPLY,
    ICMP_ADDRESS: ICMP_ADDRESSREPLY,
}
_INVERSE = _REPLY_TO | {reply: request for request, reply in _REPLY_TO.items()}


class NfConntrackTuple(NamedTuple):
    """Addresses and ports of a direction; of ICMP ``sport`` is the identifier, ``dport`` type and code."""

    saddr: int
    sport: int
    daddr: int
    dport: int
    protonum: int


def get_l4proto(skb: "SkBuff", nhoff: int) -> tuple[int, int]:
    """Return where the transport header of a packet is and which it has; 0 and 0 for fragments behind the first.

    ``nhoff`` is the place of the IPv4 header, in octets from ``data``.
    """
    header = skb_header_pointer(skb, nhoff, 20)
    if header is None or (header[6] << 8 | header[7]) & 0x1FFF:
        return 0, 0
    dataoff = nhoff + ((header[0] & 15) << 2)
    return (dataoff, header[9]) if dataoff <= skb.len else (0, 0)


def nf_ct_get_tuple(skb: "SkBuff", nhoff: int, dataoff: int, protonum: int) -> NfConntrackTuple | None:
    """Return the tuple of a packet; None if it is too short to have one."""
    addresses = skb_header_pointer(skb, nhoff + 12, 8)
    if addresses is None:
        return None
    saddr, daddr = _ADDRESSES.unpack(addresses)
    sport = dport = 0
    if protonum in _WITH_PORTS:
        ports = skb_header_pointer(skb, dataoff, 4)
        if ports is None:
            return None
        sport, dport = _PORTS.unpack(ports)
    elif protonum == IPPROTO_ICMP:
        header = skb_header_pointer(skb, dataoff, 8)
        if header is None:
            return None
        kind, code, _, sport = _ICMP.unpack(header[:6])
        dport = kind << 8 | code
    return NfConntrackTuple(saddr, sport, daddr, dport, protonum)


def nf_ct_invert_tuple(orig: NfConntrackTuple) -> NfConntrackTuple | None:
    """Return the tuple of the answers; None for an ICMP type that has none."""
    saddr, sport, daddr, dport, protonum = orig
    if protonum != IPPROTO_ICMP:
        return NfConntrackTuple(daddr, dport, saddr, sport, protonum)
    answer = _INVERSE.get(dport >> 8)
    return None if answer is None else NfConntrackTuple(daddr, sport, saddr, answer << 8 | dport & 0xFF, protonum)

"""Which flow a packet belongs to, and where its headers are (Linux: net/core/flow_dissector.c)."""

from struct import Struct
from typing import NamedTuple

from ..ethernet.eth import ETH_P_IP, ETH_P_IPV6
from .netdevice import NetDevice
from .skbuff import SkBuff
from .skbuff_data import skb_copy_bits

__all__ = [
    "FlowKeysBasic",
    "__skb_flow_dissect",
    "skb_flow_dissect_flow_keys",
    "skb_get_hash",
    "skb_get_poff",
    "skb_tx_hash",
]

_WITH_PORTS = (6, 17)  # TCP, UDP.
_PORTS = Struct("!HH")
_FRAGMENT = 0x3FFF  # Offset, and "more fragments".
_VLAN = (0x8100, 0x88A8)
_ARP = (0x0806, 0x8035)  # ARP, RARP.
_IPV6_EXTENSIONS = (0, 43, 60)  # Hop-by-hop options, routing, destination options.
_IPV6_FRAGMENT = 44
_TCP = 6
# Lengths of other transport headers: ICMP, IGMP, UDP, DCCP, ICMPv6, SCTP, UDP-Lite.
_HEADER_OCTETS = {1: 8, 2: 8, 17: 8, 33: 12, 58: 8, 132: 12, 136: 8}


class FlowKeysBasic(NamedTuple):
    """What a packet is (Linux: ``struct flow_keys_basic``).

    Members
    -------
    ip_proto : int
        Its transport protocol; 0: none that is known.
    thoff : int
        Where that starts, counted from ``skb.data``; at most the packet's end, if a header says that it is longer.
    first : bool
        It is no fragment but the first.
    """

    ip_proto: int
    thoff: int
    first: bool = True


def _header(skb: SkBuff, offset: int, length: int) -> bytes:
    """Return octets of a packet, perhaps from headers that were pulled; those behind its end are missing."""
    at = skb.data + offset
    if at + length <= skb.tail:
        return bytes(skb.view[at : at + length])
    length = min(length, skb.len - offset)
    return skb_copy_bits(skb, offset, length) if length > 0 else b""


def __skb_flow_dissect(skb: SkBuff, protocol: int, nhoff: int) -> FlowKeysBasic | None:
    """Look through VLAN tags and IP headers from ``nhoff`` on; None if one is cut short or wrong, or not known.

    Tunnels are not looked into.
    """
    keys = _dissect(skb, protocol, nhoff)
    return keys if keys is None or keys.thoff <= skb.len else keys._replace(thoff=skb.len)


def _dissect(skb: SkBuff, protocol: int, nhoff: int) -> FlowKeysBasic | None:
    while protocol in _VLAN:
        tag = _header(skb, nhoff, 4)
        if len(tag) < 4:
            return None
        protocol = tag[2] << 8 | tag[3]
        nhoff += 4
    if protocol == ETH_P_IP:
        header = _header(skb, nhoff, 20)
        if len(header) < 20 or header[0] & 15 < 5:
            return None
        first = not (header[6] & 0x1F or header[7])
        return FlowKeysBasic(header[9], nhoff + 4 * (header[0] & 15), first)
    if protocol == ETH_P_IPV6:
        header = _header(skb, nhoff, 40)
        return None if len(header) < 40 else _ipv6_extensions(skb, header[6], nhoff + 40)
    return FlowKeysBasic(0, nhoff) if protocol in _ARP else None


def _ipv6_extensions(skb: SkBuff, protocol: int, offset: int) -> FlowKeysBasic | None:
    while protocol in _IPV6_EXTENSIONS or protocol == _IPV6_FRAGMENT:
        header = _header(skb, offset, 8)
        if len(header) < 8:
            return None
        offset += 8 if protocol == _IPV6_FRAGMENT else 8 * (header[1] + 1)
        if protocol == _IPV6_FRAGMENT and (header[2] or header[3] & 0xF8):
            return FlowKeysBasic(header[0], offset, first=False)
        protocol = header[0]
    return FlowKeysBasic(protocol, offset)


def skb_get_poff(skb: SkBuff) -> int:
    """Return where the payload behind the transport header starts, as far as headers are known; 0: nowhere."""
    keys = __skb_flow_dissect(skb, skb.protocol, skb.network_header - skb.data)
    if keys is None:
        return 0
    if not keys.first:
        return keys.thoff
    if keys.ip_proto == _TCP:
        octet = _header(skb, keys.thoff + 12, 1)
        return keys.thoff + max(20, octet[0] >> 2 & 0x3C) if octet else keys.thoff
    return keys.thoff + _HEADER_OCTETS.get(keys.ip_proto, 0)


def skb_get_hash(skb: SkBuff) -> int:
    """Return a number of 32 bits that all packets of a flow share, and keep it in the skb.

    A flow is IPv4 addresses and protocol, and for TCP and UDP the ports, which fragments have not; other packets are
    one flow. The host's secret makes it unpredictable.
    """
    if not skb.hash:
        assert skb.dev is not None
        flow: tuple[int, ...] = (skb.protocol,)
        at = skb.network_header
        if skb.protocol == ETH_P_IP and skb.tail - at >= 20:
            flow = (*skb_flow_dissect_flow_keys(skb), int.from_bytes(skb.view[at + 12 : at + 20], "big"))
        # 0 means that it is not known yet.
        skb.hash = hash((flow, skb.dev.net.ipv4.hash_secret)) & 0xFFFFFFFF or 1
    return skb.hash


def skb_flow_dissect_flow_keys(skb: SkBuff) -> tuple[int, int, int]:
    """Return an IPv4 packet's protocol and, unless it is a fragment or has none, its source and destination port."""
    view, at = skb.view, skb.network_header
    protocol = view[at + 9]
    ports = at + ((view[at] & 15) << 2)
    if protocol not in _WITH_PORTS or int.from_bytes(view[at + 6 : at + 8], "big") & _FRAGMENT or ports + 4 > skb.tail:
        return protocol, 0, 0
    return (protocol, *_PORTS.unpack_from(view, ports))


def skb_tx_hash(dev: NetDevice, skb: SkBuff) -> int:
    """Return the number of the TX queue for a packet's flow."""
    return skb_get_hash(skb) * len(dev.tx) >> 32

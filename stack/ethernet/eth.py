"""Ethernet headers (Linux: net/ethernet/eth.c)."""

from typing import TYPE_CHECKING
from zlib import crc32

from ..core.netdevice import ARPHRD_ETHER, HeaderOps, HhCache, NetDevice
from ..core.skbuff import (
    PACKET_BROADCAST,
    PACKET_HOST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    SkBuff,
    skb_push,
)
from ..core.skbuff_data import skb_header_pointer

if TYPE_CHECKING:
    from ..core.neighbour import Neighbour
    from ..core.net import Kernel

__all__ = [
    "ETH_HLEN",
    "ETH_P_ALL",
    "ETH_P_ARP",
    "ETH_P_IP",
    "ETH_P_IPV6",
    "ETH_ZLEN",
    "eth_header",
    "eth_header_cache",
    "eth_header_cache_update",
    "eth_header_ops",
    "eth_header_parse",
    "eth_header_parse_protocol",
    "eth_hw_addr_random",
    "eth_type_trans",
    "ether_crc",
    "ether_setup",
]

ETH_HLEN = 14
ETH_ZLEN = 60  # Shortest frame, without FCS.
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
ETH_P_ALL = 0x0003
ETH_P_802_3 = 0x0001
ETH_P_802_2 = 0x0004
ETH_P_802_3_MIN = 0x0600


def eth_header(
    skb: SkBuff, dev: NetDevice, protocol: int, daddr: bytes | None, saddr: bytes | None, length: int
) -> int:
    """Push an Ethernet header; ``length`` goes in for ``ETH_P_802_3`` and ``ETH_P_802_2`` (IEEE Std 802.3 §3.2.6).

    Returns
    -------
    int
        14, or -14 if the destination is missing and has to be written later.
    """
    at = skb_push(skb, ETH_HLEN)
    view = skb.view
    if protocol == ETH_P_802_3 or protocol == ETH_P_802_2:
        view[at + 12 : at + 14] = length.to_bytes(2, "big")
    else:
        view[at + 12 : at + 14] = protocol.to_bytes(2, "big")
    view[at + 6 : at + 12] = saddr or dev.dev_addr
    if daddr is not None:
        view[at : at + 6] = daddr
        return ETH_HLEN
    if dev.flags & 0x88:  # IFF_LOOPBACK | IFF_NOARP
        view[at : at + 6] = bytes(6)
        return ETH_HLEN
    return -ETH_HLEN


def eth_header_cache(neigh: "Neighbour", hh: HhCache, protocol: int) -> None:
    """Prebuild the header for a neighbour."""
    if protocol < ETH_P_802_3_MIN:
        return
    hh.hh_data = neigh.ha + neigh.dev.dev_addr + protocol.to_bytes(2, "big")
    hh.hh_len = ETH_HLEN


def eth_header_cache_update(hh: HhCache, dev: NetDevice, haddr: bytes) -> None:
    """Put another destination address into a prebuilt header."""
    hh.hh_data = haddr + hh.hh_data[6:]


def eth_header_parse(skb: SkBuff) -> bytes:
    """Return the source address in a packet's header."""
    at = skb.mac_header + 6
    return bytes(skb.view[at : at + 6])


def eth_header_parse_protocol(skb: SkBuff) -> int:
    """Return the EtherType in a packet's header, or the length that is there."""
    at = skb.mac_header + 12
    return skb.view[at] << 8 | skb.view[at + 1]


def eth_type_trans(skb: SkBuff, dev: NetDevice) -> int:
    """Take the header off a received frame, set for whom it is, and return its protocol."""
    skb.dev = dev
    at = skb.data
    skb.mac_header = at
    skb.data = at + ETH_HLEN
    skb.len -= ETH_HLEN
    view = skb.view
    daddr = bytes(view[at : at + 6])
    if daddr == dev.dev_addr:
        skb.pkt_type = PACKET_HOST
    elif daddr == dev.broadcast:
        skb.pkt_type = PACKET_BROADCAST
    elif daddr[0] & 1:
        skb.pkt_type = PACKET_MULTICAST
    else:
        skb.pkt_type = PACKET_OTHERHOST
    protocol = view[at + 12] << 8 | view[at + 13]
    if protocol >= ETH_P_802_3_MIN:
        return protocol
    if skb_header_pointer(skb, 0, 2) == b"\xff\xff":
        return ETH_P_802_3  # A length, with Novell's IPX behind it: no LLC header begins so.
    return ETH_P_802_2  # A length, with an LLC header behind it.


def ether_crc(octets: bytes) -> int:
    """Return the CRC-32 of Ethernet, not complemented, whose highest bit belongs to the first one on the wire.

    The filters of many devices select a bit by the highest of it (Linux: include/linux/crc32.h).

    Examples
    --------
    >>> hex(ether_crc(bytes.fromhex("01005e000001")))
    '0x7fa32d9b'
    """
    return int(f"{crc32(octets) ^ 0xFFFFFFFF:032b}"[::-1], 2)


eth_header_ops = HeaderOps(
    eth_header, eth_header_cache, eth_header_cache_update, eth_header_parse, eth_header_parse_protocol
)


def eth_hw_addr_random(kernel: "Kernel") -> bytes:
    """Return a random address that is locally administered and of one station (IEEE Std 802-2014 8.2)."""
    octets = bytearray(b"".join(kernel.platform.random_u32().to_bytes(4, "big") for _ in range(2))[:6])
    octets[0] = octets[0] & 0xFE | 0x02
    return bytes(octets)


def ether_setup(dev: NetDevice) -> None:
    """Make a device an Ethernet one."""
    dev.header_ops = eth_header_ops
    dev.type = ARPHRD_ETHER
    dev.hard_header_len = ETH_HLEN
    dev.addr_len = 6
    dev.broadcast = b"\xff" * 6

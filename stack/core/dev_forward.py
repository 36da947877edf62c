"""Handing a packet that one device sends to another device of this host (Linux: net/core/dev.c, skbuff.c)."""

from ..ethernet.eth import eth_type_trans
from .dev_napi import netif_rx_internal
from .drop_reasons import SkbDropReason
from .netdevice import IFF_UP, NET_RX_DROP, NET_RX_SUCCESS, NetDevice
from .skbuff import PACKET_HOST, SkBuff, kfree_skb_reason
from .skbuff_csum import skb_postpull_rcsum

__all__ = ["__dev_forward_skb", "__is_skb_forwardable", "dev_forward_skb", "is_skb_forwardable", "skb_scrub_packet"]

_VLAN_HLEN = 4


def __is_skb_forwardable(dev: NetDevice, skb: SkBuff) -> bool:
    """Return whether a device could receive a frame: it is up, and the frame is not too long, or will be cut."""
    return dev.flags & IFF_UP != 0 and (skb.len <= dev.mtu + dev.hard_header_len + _VLAN_HLEN or skb.gso_size != 0)


def is_skb_forwardable(dev: NetDevice, skb: SkBuff) -> bool:
    """Return whether a device could take a frame that another one received."""
    return __is_skb_forwardable(dev, skb)


def skb_scrub_packet(skb: SkBuff, xnet: bool) -> None:
    """Forget what belongs to the way that a packet came; with ``xnet``, what belongs to its namespace, too."""
    skb.pkt_type = PACKET_HOST
    skb.skb_iif = 0
    skb.tstamp_ns = 0
    skb.ignore_df = False
    skb.dst = None
    skb.nfct = None
    skb.sp = ()
    skb.cb = None
    if xnet:
        skb.mark = 0


def __dev_forward_skb(dev: NetDevice, skb: SkBuff) -> int:
    """Make a sent frame one that ``dev`` has received, or drop it; return ``NET_RX_*``."""
    return __dev_forward_skb2(dev, skb)


def dev_forward_skb(dev: NetDevice, skb: SkBuff) -> int:
    """Have ``dev`` receive a sent frame; return ``NET_RX_*``."""
    verdict = __dev_forward_skb(dev, skb)
    return verdict if verdict != NET_RX_SUCCESS else netif_rx_internal(skb)


def __dev_forward_skb2(dev: NetDevice, skb: SkBuff) -> int:
    """The same; frames that are longer than the device's MTU allows are dropped."""
    if not __is_skb_forwardable(dev, skb):
        dev.core_stats.rx_dropped += 1
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NET_RX_DROP
    skb_scrub_packet(skb, skb.dev is None or dev.net is not skb.dev.net)
    skb.priority = 0
    skb.protocol = eth_type_trans(skb, dev)
    skb_postpull_rcsum(skb, skb.mac_header, dev.hard_header_len)
    return NET_RX_SUCCESS

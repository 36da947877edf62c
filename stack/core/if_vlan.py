"""802.1Q tags, beside a frame and in it (Linux: include/linux/if_vlan.h, net/core/skbuff.c)."""

from ..vlan.vlan_core import VLAN_VID_MASK
from .drop_reasons import SkbDropReason
from .skbuff import SkBuff, kfree_skb_reason, skb_push
from .skbuff_csum import skb_postpull_rcsum
from .skbuff_data import pskb_expand_head, pskb_may_pull, skb_cloned, skb_cow_head

__all__ = [
    "ETH_P_8021AD",
    "ETH_P_8021Q",
    "VLAN_HLEN",
    "VLAN_VID_MASK",
    "__vlan_hwaccel_clear_tag",
    "__vlan_hwaccel_push_inside",
    "__vlan_hwaccel_put_tag",
    "eth_type_vlan",
    "skb_vlan_tag_get_id",
    "skb_vlan_tag_present",
    "skb_vlan_untag",
]

ETH_P_8021Q = 0x8100
ETH_P_8021AD = 0x88A8
VLAN_HLEN = 4


def eth_type_vlan(protocol: int) -> bool:
    """Return whether an EtherType is that of a VLAN tag."""
    return protocol == ETH_P_8021Q or protocol == ETH_P_8021AD


def __vlan_hwaccel_put_tag(skb: SkBuff, proto: int, tci: int) -> None:
    """Note a tag that the device took off a frame, or shall put in."""
    skb.vlan_proto = proto
    skb.vlan_tci = tci


def __vlan_hwaccel_clear_tag(skb: SkBuff) -> None:
    """Forget the tag beside a frame."""
    skb.vlan_proto = skb.vlan_tci = 0


def skb_vlan_tag_present(skb: SkBuff) -> bool:
    """Return whether a tag travels beside the frame."""
    return skb.vlan_proto != 0


def skb_vlan_tag_get_id(skb: SkBuff) -> int:
    """Return the number of the VLAN in the tag beside the frame."""
    return skb.vlan_tci & VLAN_VID_MASK


def __vlan_hwaccel_push_inside(skb: SkBuff) -> SkBuff | None:
    """Put the tag beside a frame that is to be sent into it; None if there was no memory, and it was dropped."""
    try:
        skb_cow_head(skb, VLAN_HLEN)
    except OSError:
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return None
    at = skb_push(skb, VLAN_HLEN)
    view = skb.view
    view[at : at + 12] = bytes(view[at + VLAN_HLEN : at + VLAN_HLEN + 12])
    view[at + 12 : at + 16] = (skb.vlan_proto << 16 | skb.vlan_tci).to_bytes(4, "big")
    skb.mac_header = at
    skb.protocol = skb.vlan_proto
    __vlan_hwaccel_clear_tag(skb)
    return skb


def skb_vlan_untag(skb: SkBuff) -> SkBuff | None:
    """Take the tag out of a received frame whose protocol is one, and put it beside; None if it was cut short."""
    if skb.vlan_proto:
        return skb  # One at a time: this one stays inside.
    if not pskb_may_pull(skb, VLAN_HLEN + 2):  # The tag, and the EtherType that follows.
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return None
    at = skb.data
    view = skb.view
    __vlan_hwaccel_put_tag(skb, skb.protocol, view[at] << 8 | view[at + 1])
    protocol = view[at + 2] << 8 | view[at + 3]
    # Taps shall see the frame as it would be without the tag, so the addresses move up.
    mac = skb.mac_header
    skb_postpull_rcsum(skb, at, VLAN_HLEN)
    if skb_cloned(skb):
        pskb_expand_head(skb, 0, 0)
        at, mac, view = skb.data, skb.mac_header, skb.view
    view[mac + VLAN_HLEN : mac + VLAN_HLEN + 12] = bytes(view[mac : mac + 12])
    skb.mac_header = mac + VLAN_HLEN
    skb.data = at + VLAN_HLEN
    skb.len -= VLAN_HLEN
    skb.network_header = skb.transport_header = skb.data
    # vlan_set_encap_proto(): below 0x600 it is a length, with an LLC header behind it.
    skb.protocol = protocol if protocol >= 0x600 else 0x0004
    return skb

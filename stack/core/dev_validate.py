"""Making a packet one that its device can send (Linux: net/core/dev.c)."""

from ..ethernet.eth import ETH_P_IP
from ..wire.checksum import csum_fold
from ..xfrm.xfrm_device import validate_xmit_xfrm
from .drop_reasons import SkbDropReason
from .if_vlan import ETH_P_8021Q, __vlan_hwaccel_push_inside
from .netdevice import (
    NETIF_F_CSUM_MASK,
    NETIF_F_FRAGLIST,
    NETIF_F_GSO_MASK,
    NETIF_F_HW_CSUM,
    NETIF_F_HW_VLAN_CTAG_TX,
    NETIF_F_IP_CSUM,
    NETIF_F_SG,
    NETIF_F_TSO_MANGLEID,
    NetDevice,
)
from .skbuff import CHECKSUM_NONE, CHECKSUM_PARTIAL, SkBuff, consume_skb, kfree_skb_reason
from .skbuff_data import pskb_expand_head, pskb_may_pull, skb_checksum, skb_cloned, skb_linearize
from .skbuff_segment import netif_needs_gso, skb_gso_segment

__all__ = [
    "gso_features_check",
    "netif_skb_features",
    "skb_checksum_help",
    "skb_csum_hwoffload_help",
    "validate_xmit_skb",
    "validate_xmit_skb_list",
]

_TCP_CHECK = 16  # Places of the checksum field that a device with NETIF_F_IP_CSUM knows.
_UDP_CHECK = 6


def netif_skb_features(skb: SkBuff, dev: NetDevice) -> int:
    """Return the device's features that apply to this packet."""
    features = dev.features
    if skb.gso_size:
        features = gso_features_check(skb, dev, features)
    if (
        skb.ip_summed != CHECKSUM_NONE
        and not features & NETIF_F_HW_CSUM
        and not (features & NETIF_F_IP_CSUM and skb.protocol == ETH_P_IP and not _is_encapsulated(skb))
    ):
        features &= ~(NETIF_F_CSUM_MASK | NETIF_F_GSO_MASK)
    return features


def gso_features_check(skb: SkBuff, dev: NetDevice, features: int) -> int:
    """Return what of a device's features applies to a packet that stands for many.

    It does not cut what is too long for it, or tagged; nor what has the same identification in all packets though those
    may be fragmented.
    """
    if skb.gso_segs > dev.gso_max_segs or skb.len >= dev.gso_max_size or skb.vlan_proto:
        return features & ~NETIF_F_GSO_MASK
    if skb.protocol == ETH_P_IP and not skb.view[skb.network_header + 6] & 0x40:  # IP_DF
        features &= ~NETIF_F_TSO_MANGLEID
    return features


def _is_encapsulated(skb: SkBuff) -> bool:
    """Return whether the checksum is not of what lies behind the packet's own header, but of a packet in it."""
    return skb.csum_start != skb.network_header + ((skb.view[skb.network_header] & 15) << 2)


def skb_checksum_help(skb: SkBuff) -> None:
    """Do the work that ``CHECKSUM_PARTIAL`` leaves to the device.

    Raises
    ------
    OSError
        ``ENOMEM``; the packet is as it was.
    ValueError
        If the checksum does not lie inside the packet.
    """
    start = skb.csum_start - skb.data
    field = start + skb.csum_offset
    csum = csum_fold(skb_checksum(skb, start, skb.len - start)) or 0xFFFF
    if not pskb_may_pull(skb, field + 2):
        raise ValueError(f"checksum at {field} of {skb!r}")
    if skb_cloned(skb):
        pskb_expand_head(skb, 0, 0)
    at = skb.csum_start + skb.csum_offset
    skb.view[at] = csum >> 8
    skb.view[at + 1] = csum & 0xFF
    skb.ip_summed = CHECKSUM_NONE


def skb_csum_hwoffload_help(skb: SkBuff, features: int) -> None:
    """Compute the checksum unless the device will.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    if features & NETIF_F_HW_CSUM:
        return
    if features & NETIF_F_IP_CSUM and skb.csum_offset in (_TCP_CHECK, _UDP_CHECK):
        return
    skb_checksum_help(skb)


def validate_xmit_vlan(skb: SkBuff, features: int) -> SkBuff | None:
    """Put the tag beside a frame into it, unless the device will; return None if it had to be dropped."""
    if features & NETIF_F_HW_VLAN_CTAG_TX and skb.vlan_proto == ETH_P_8021Q:
        return skb
    return __vlan_hwaccel_push_inside(skb)


def validate_xmit_skb(skb: SkBuff, dev: NetDevice) -> SkBuff | None:
    """Do in software what the device cannot; return the packet, or the list that it was cut into.

    None: it had to be dropped.
    """
    features = netif_skb_features(skb, dev)
    if skb.vlan_proto:
        tagged = validate_xmit_vlan(skb, features)
        if tagged is None:
            dev.stats.tx_dropped += 1
            return None
        skb = tagged
    try:
        if skb.gso_size and netif_needs_gso(skb, features):
            segs = skb_gso_segment(skb, features)
            consume_skb(skb)
            return validate_xmit_xfrm(segs, features)
        if skb.data_len and (
            not features & NETIF_F_SG or (skb.frag_list is not None and not features & NETIF_F_FRAGLIST)
        ):
            skb_linearize(skb)
        if skb.ip_summed == CHECKSUM_PARTIAL:
            skb.transport_header = skb.csum_start
            skb_csum_hwoffload_help(skb, features)
    except OSError:
        dev.stats.tx_dropped += 1
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return None
    return validate_xmit_xfrm(skb, features)


def validate_xmit_skb_list(skb: SkBuff | None, dev: NetDevice) -> SkBuff | None:
    """Validate each packet of a list, and return the list of those that are left."""
    if skb is None or skb.next is None:
        return None if skb is None else validate_xmit_skb(skb, dev)
    first = last = None
    while skb is not None:
        following = skb.next
        skb.next = None
        valid = validate_xmit_skb(skb, dev)
        if valid is not None:
            if last is None:
                first = valid
            else:
                last.next = valid
            while valid.next is not None:  # It was cut.
                valid = valid.next
            last = valid
        skb = following
    return first

"""Socket buffers: making them of what a device received, without a copy (Linux: net/core/skbuff.c)."""

from typing import TYPE_CHECKING

from .skbuff import SHINFO_OCTETS, STRUCT_OCTETS, Page, SkBuff, __alloc_skb

if TYPE_CHECKING:
    from .dev_napi import Napi
    from .netdevice import NetDevice
    from .platform import Buffer

__all__ = ["NET_IP_ALIGN", "NET_SKB_PAD", "napi_alloc_skb", "napi_build_skb", "skb_add_rx_frag"]

NET_SKB_PAD = 64
NET_IP_ALIGN = 2  # The IP header behind 14 octets of Ethernet lies at a multiple of 4.


def napi_build_skb(dev: "NetDevice", block: "Buffer") -> SkBuff:
    """Return an empty skb whose head is a receive buffer; ``block``, from ``kmalloc``, belongs to it from now on.

    The driver says where the frame is: ``skb_reserve(skb, headroom)``, then ``skb_put(skb, length)``.
    """
    size = len(block.view)
    skb = SkBuff(dev.kernel, block, size)
    skb.truesize = size + SHINFO_OCTETS + STRUCT_OCTETS
    skb.dev = dev
    return skb


def napi_alloc_skb(napi: "Napi", length: int) -> SkBuff:
    """Return an empty skb with room for a frame of ``length`` octets to be copied into, for short ones.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    skb = __alloc_skb(napi.kernel, NET_SKB_PAD + NET_IP_ALIGN + length)
    skb.data = skb.tail = NET_SKB_PAD + NET_IP_ALIGN
    skb.dev = napi.dev
    return skb


def skb_add_rx_frag(skb: SkBuff, block: "Buffer", offset: int, length: int) -> None:
    """Append ``length`` octets of a further receive buffer; ``block``, from ``kmalloc``, belongs to the skb now."""
    skb.frags.append((Page(block), offset, length))
    skb.len += length
    skb.data_len += length
    skb.truesize += len(block.view)

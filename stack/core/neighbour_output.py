"""Neighbours: sending a packet to one (Linux: net/core/neighbour.c, include/net/neighbour.h)."""

from errno import EINVAL
from typing import TYPE_CHECKING

from .dev import dev_queue_xmit
from .drop_reasons import SkbDropReason
from .neighbour import NUD_CONNECTED, Neighbour, neigh_event_send
from .netdevice import NET_XMIT_DROP
from .skbuff import kfree_skb, kfree_skb_reason

if TYPE_CHECKING:
    from .dst import DstEntry
    from .netdevice import HhCache, NetDevice
    from .skbuff import SkBuff

__all__ = [
    "dev_hard_header",
    "dst_neigh_output",
    "hh_output",
    "neigh_connected_output",
    "neigh_direct_output",
    "neigh_hh_init",
    "neigh_hh_output",
    "neigh_hw_miss",
    "neigh_output",
    "neigh_resolve_output",
]


def dev_hard_header(
    skb: "SkBuff", dev: "NetDevice", protocol: int, daddr: bytes | None, saddr: bytes | None, length: int
) -> int:
    """Push a device's link header; return its length, 0 if the device has none, negative if it is not complete."""
    header_ops = dev.header_ops
    if header_ops is None or header_ops.create is None:
        return 0
    return header_ops.create(skb, dev, protocol, daddr, saddr, length)


def neigh_output(neigh: Neighbour, skb: "SkBuff") -> int:
    """Send a packet to a neighbour: with the prebuilt header if it is known to be there, else by its own function."""
    hh = neigh.hh
    if hh.hh_len and neigh.nud_state & NUD_CONNECTED:
        return neigh_hh_output(hh, skb)
    return neigh.output(neigh, skb)


def neigh_hh_output(hh: "HhCache", skb: "SkBuff") -> int:
    """Put a prebuilt link header in front of a packet and send it."""
    data = skb.data
    start = data - hh.hh_len
    if start < 0:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NET_XMIT_DROP
    skb.view[start:data] = hh.hh_data
    skb.data = start
    skb.len += hh.hh_len
    return dev_queue_xmit(skb)


hh_output = neigh_hh_output  # Of hh_cache in Linux 2.6: what its own member did.


def dst_neigh_output(dst: "DstEntry", neigh: Neighbour, skb: "SkBuff") -> int:
    """Send a packet of a route to a neighbour: ``neigh_output`` in Linux 3.1 to 4.10."""
    return neigh_output(neigh, skb)


def neigh_hh_init(neigh: Neighbour, protocol: int) -> None:
    """Prebuild the neighbour's link header."""
    header_ops = neigh.dev.header_ops
    if not neigh.hh.hh_len and header_ops is not None and header_ops.cache is not None:
        header_ops.cache(neigh, neigh.hh, protocol)


def neigh_resolve_output(neigh: Neighbour, skb: "SkBuff") -> int:
    """Send a packet to a neighbour whose address may have to be found first; it waits for that."""
    if neigh_event_send(neigh, skb):
        return 0
    neigh_hh_init(neigh, skb.protocol)
    return _xmit(neigh, skb)


def neigh_connected_output(neigh: Neighbour, skb: "SkBuff") -> int:
    """Send a packet to a neighbour whose address is known, on a device that prebuilds no headers."""
    return _xmit(neigh, skb)


def _xmit(neigh: Neighbour, skb: "SkBuff") -> int:
    # A packet that was here before (it waited, or the device had a miss) still has its old link header.
    at = skb.network_header
    skb.len -= at - skb.data
    skb.data = at
    if dev_hard_header(skb, neigh.dev, skb.protocol, neigh.ha, None, skb.len) < 0:
        kfree_skb(skb)
        return -EINVAL
    return dev_queue_xmit(skb)


def neigh_direct_output(neigh: Neighbour, skb: "SkBuff") -> int:
    """Send a packet on a device that has no link header."""
    return dev_queue_xmit(skb)


def neigh_hw_miss(skb: "SkBuff") -> int:
    """Take back a packet whose next hop the device was to resolve but did not know.

    The driver calls it with the skb as it was given to ``ndo_start_xmit``, which still has its route
    (``netif_keep_dst``). The packet gets a new link header and is sent again if the stack knows the neighbour, else it
    waits in ``arp_queue``; it is neither lost nor tapped twice.

    Returns
    -------
    int
        0, a ``NET_XMIT_*`` code or a negative errno.
    """
    dst = skb.dst
    neigh = dst.ops.neigh_lookup(dst, skb) if dst is not None else None
    if neigh is None:
        kfree_skb_reason(skb, SkbDropReason.NEIGH_CREATEFAIL)
        return -EINVAL
    skb.tapped = True
    return neigh.output(neigh, skb)

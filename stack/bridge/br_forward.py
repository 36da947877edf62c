"""Frames that leave by a bridge's ports (Linux: net/bridge/br_forward.c)."""

from ..core.dev import dev_queue_xmit
from ..core.dev_forward import is_skb_forwardable
from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import SkBuff, kfree_skb_reason, skb_push
from ..core.skbuff_csum import skb_forward_csum
from ..core.skbuff_data import skb_clone
from ..ethernet.eth import ETH_HLEN
from .br_private import (
    BR_BCAST_FLOOD,
    BR_FLOOD,
    BR_HAIRPIN_MODE,
    BR_ISOLATED,
    BR_MCAST_FLOOD,
    BR_STATE_FORWARDING,
    NetBridge,
    NetBridgePort,
)

__all__ = ["br_dev_queue_push_xmit", "br_flood", "br_forward", "br_forward_finish"]


def should_deliver(p: NetBridgePort, skb: SkBuff) -> bool:
    """Return whether a frame may leave by a port: not where it came from, nor from isolated to isolated."""
    return (
        p.state == BR_STATE_FORWARDING
        and (skb.dev is not p.dev or p.flags & BR_HAIRPIN_MODE != 0)
        and not (p.flags & BR_ISOLATED and skb.cb.src_port_isolated)
    )


def br_dev_queue_push_xmit(skb: SkBuff) -> int:
    """Send a frame by the device of a port, or drop it if it is too long for that."""
    skb_push(skb, ETH_HLEN)
    assert skb.dev is not None
    if not is_skb_forwardable(skb.dev, skb):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return 0
    return dev_queue_xmit(skb)


def br_forward_finish(skb: SkBuff) -> int:
    """Send a frame; it is no received one any more."""
    skb.tstamp_ns = 0
    return br_dev_queue_push_xmit(skb)


def __br_forward(to: NetBridgePort, skb: SkBuff, local_orig: bool) -> None:
    """Send a frame by a port."""
    skb.dev = to.dev
    if not local_orig:
        skb_forward_csum(skb)
    br_forward_finish(skb)


def deliver_clone(prev: NetBridgePort, skb: SkBuff, local_orig: bool) -> None:
    """Send a clone of a frame by a port."""
    __br_forward(prev, skb_clone(skb), local_orig)


def br_forward(to: NetBridgePort | None, skb: SkBuff, *, local_rcv: bool = False, local_orig: bool = False) -> None:
    """Send a frame by the port where its destination is, if it may leave there.

    Parameters
    ----------
    to : NetBridgePort or None
        The port; None drops the frame.
    skb : SkBuff
        The frame, without its Ethernet header.
    local_rcv : bool
        This host wants it, too: the skb stays the caller's.
    local_orig : bool
        This host sent it.
    """
    if to is not None and should_deliver(to, skb):
        if local_rcv:
            deliver_clone(to, skb, local_orig)
        else:
            __br_forward(to, skb, local_orig)
    elif not local_rcv:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)


def br_flood(br: NetBridge, skb: SkBuff, dest: bytes, *, local_rcv: bool = False, local_orig: bool = False) -> None:
    """Send a frame by all ports that it may leave by; the last one gets the skb itself, unless it is ``local_rcv``."""
    if not dest[0] & 1:
        wanted = BR_FLOOD
    elif local_orig:
        wanted = 0  # What this host sends to groups leaves by all.
    else:
        wanted = BR_BCAST_FLOOD if dest == b"\xff" * 6 else BR_MCAST_FLOOD
    prev: NetBridgePort | None = None
    for p in tuple(br.port_list):
        if p.flags & wanted == wanted and should_deliver(p, skb):
            if prev is not None:
                deliver_clone(prev, skb, local_orig)
            prev = p
    if prev is None:
        if not local_rcv:
            kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    elif local_rcv:
        deliver_clone(prev, skb, local_orig)
    else:
        __br_forward(prev, skb, local_orig)

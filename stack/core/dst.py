"""Destinations: what a route says about a packet's further way (Linux: net/core/dst.c, include/net/dst.h)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .skbuff import kfree_skb

if TYPE_CHECKING:
    from .neighbour import Neighbour
    from .net import Net
    from .netdevice import NetDevice
    from .skbuff import SkBuff
    from .sock import Sock

__all__ = ["DstEntry", "DstOps", "dst_discard", "dst_input", "dst_link_failure", "dst_output"]

DstOutput = Callable[["Net", "Sock | None", "SkBuff"], int]
DstInput = Callable[["SkBuff"], int]


class DstOps:
    """What a protocol does with its destinations (Linux: ``struct dst_ops``)."""

    __slots__ = ("check", "link_failure", "mtu", "neigh_lookup", "update_pmtu")

    def __init__(
        self,
        check: Callable[[Any], "DstEntry | None"],
        mtu: Callable[[Any], int],
        link_failure: Callable[["SkBuff"], None],
        neigh_lookup: Callable[[Any, "SkBuff"], "Neighbour | None"],
        update_pmtu: Callable[[Any, "Sock | None", "SkBuff", int], None],
    ) -> None:
        self.check = check
        self.mtu = mtu
        self.link_failure = link_failure
        self.neigh_lookup = neigh_lookup
        self.update_pmtu = update_pmtu


class DstEntry:
    """A destination that packets point to; ``output`` sends one on (Linux: ``struct dst_entry``).

    Members
    -------
    dev : NetDevice
        Where packets leave.
    obsolete : int
        0 while good, -1 when it must be asked through ``ops.check``, 2 when it is dead.
    gw : int
        The gateway's IPv4 address, or 0 when the destination is on the link.
    input : callable
        What happens to a received packet that has this destination.
    error : int
        Why packets cannot be received for it, as a positive errno; 0 if they can.
    """

    __slots__ = ("dev", "error", "gw", "input", "obsolete", "ops", "output")

    def __init__(self, ops: DstOps, dev: "NetDevice", output: DstOutput) -> None:
        self.ops = ops
        self.dev = dev
        self.output = output
        self.input: DstInput = dst_discard
        self.error = 0
        self.obsolete = -1
        self.gw = 0


def dst_discard(skb: "SkBuff") -> int:
    """Drop a received packet whose destination receives none."""
    kfree_skb(skb)
    return 0


def dst_input(skb: "SkBuff") -> int:
    """Receive a packet as its destination says; return ``NET_RX_*``."""
    dst = skb.dst
    assert dst is not None
    return dst.input(skb)


def dst_output(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Send a packet on as its destination says; return 0, an ``NET_XMIT_*`` code or a negative errno."""
    dst = skb.dst
    assert dst is not None
    return dst.output(net, sk, skb)


def dst_link_failure(skb: "SkBuff") -> None:
    """Say that a packet's next hop does not answer."""
    if skb.dst is not None:
        skb.dst.ops.link_failure(skb)

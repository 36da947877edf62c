"""Destinations: what a route says about a packet's further way (Linux: net/core/dst.c, include/net/dst.h)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .skbuff import kfree_skb

if TYPE_CHECKING:
    from ..xfrm.xfrm_state import XfrmState
    from .neighbour import Neighbour
    from .net import Net
    from .netdevice import NetDevice
    from .skbuff import SkBuff
    from .sock import Sock

__all__ = [
    "DstEntry",
    "DstOps",
    "dst_discard",
    "dst_hold",
    "dst_ifdown",
    "dst_input",
    "dst_link_failure",
    "dst_metric_advmss",
    "dst_mtu",
    "dst_negative_advice",
    "dst_output",
    "dst_output_sk",
    "dst_pop",
    "dst_release",
    "dst_use",
]

DstOutput = Callable[["Net", "Sock | None", "SkBuff"], int]
DstInput = Callable[["SkBuff"], int]


class DstOps:
    """What a protocol does with its destinations (Linux: ``struct dst_ops``).

    Members
    -------
    check : callable
        Takes a destination; returns it if it is still good, else None.
    mtu : callable
        Returns its MTU.
    link_failure : callable
        Takes a packet whose next hop does not answer.
    neigh_lookup : callable
        Returns the neighbour that a packet goes to.
    update_pmtu : callable
        Takes a destination, a socket or None, a packet, and the MTU of its way.
    gc : callable
        Takes a namespace, and makes room in its cache; returns whether there is none.
    gc_thresh : callable
        Takes a namespace; returns how many there may be before that, 0 for any number.
    destroy : callable
        Takes one that nobody uses any more.
    ifdown : callable
        Takes one whose device goes, and the device.
    negative_advice : callable
        Takes one that leads nowhere, it seems; returns it or None if it is better to look for another.
    default_advmss : callable
        Returns the largest TCP segment that a peer shall send.
    """

    __slots__ = (
        "check",
        "default_advmss",
        "destroy",
        "gc",
        "gc_thresh",
        "ifdown",
        "link_failure",
        "mtu",
        "negative_advice",
        "neigh_lookup",
        "update_pmtu",
    )

    def __init__(
        self,
        check: Callable[[Any], "DstEntry | None"],
        mtu: Callable[[Any], int],
        link_failure: Callable[["SkBuff"], None],
        neigh_lookup: Callable[[Any, "SkBuff"], "Neighbour | None"],
        update_pmtu: Callable[[Any, "Sock | None", "SkBuff", int], None],
        gc: Callable[["Net"], bool],
        gc_thresh: Callable[["Net"], int],
        destroy: Callable[[Any], None],
        ifdown: Callable[[Any, "NetDevice"], None],
        negative_advice: Callable[[Any], "DstEntry | None"],
        default_advmss: Callable[[Any], int],
    ) -> None:
        self.check = check
        self.mtu = mtu
        self.link_failure = link_failure
        self.neigh_lookup = neigh_lookup
        self.update_pmtu = update_pmtu
        self.gc = gc
        self.gc_thresh = gc_thresh
        self.destroy = destroy
        self.ifdown = ifdown
        self.negative_advice = negative_advice
        self.default_advmss = default_advmss


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
    refcnt : int
        How many sockets and tunnels keep it; packets, which go soon, are not counted.
    xfrm, child : XfrmState or None, DstEntry or None
        The transform that a packet gets here, and where it goes on from then; None on a plain route.
    header_len, trailer_len : int
        Room that this and further transforms need in front of a packet, and behind it.
    use, lastuse : int
        How often a cache has given it out, and when last, in jiffies.
    """

    __slots__ = (
        *("child", "dev", "error", "gw", "header_len", "input", "lastuse", "obsolete", "ops", "output", "refcnt"),
        *("trailer_len", "use", "xfrm"),
    )

    def __init__(self, ops: DstOps, dev: "NetDevice", output: DstOutput) -> None:
        self.ops = ops
        self.dev = dev
        self.output = output
        self.input: DstInput = dst_discard
        self.error = 0
        self.obsolete = -1
        self.gw = 0
        self.refcnt = self.use = self.lastuse = self.header_len = self.trailer_len = 0
        self.xfrm: XfrmState | None = None
        self.child: DstEntry | None = None


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


dst_output_sk = dst_output  # Its name in Linux 4.1 to 4.3.


def dst_link_failure(skb: "SkBuff") -> None:
    """Say that a packet's next hop does not answer."""
    if skb.dst is not None:
        skb.dst.ops.link_failure(skb)


def dst_use(dst: DstEntry, now: int) -> None:
    """Note that a cache gives a destination out."""
    dst.use += 1
    dst.lastuse = now


def dst_hold(dst: DstEntry) -> None:
    """Keep a destination, until ``dst_release``."""
    dst.refcnt += 1


def dst_release(dst: DstEntry | None) -> None:
    """Keep it no longer; one that is in no cache any more goes with the last that kept it."""
    if dst is not None:
        dst.refcnt -= 1
        if not dst.refcnt and dst.obsolete > 0:
            dst.ops.destroy(dst)


def dst_ifdown(dst: DstEntry, dev: "NetDevice", unregister: bool) -> None:
    """Have a destination whose device went down, or away, drop packets, and let go of the device."""
    dst.ops.ifdown(dst, dev)
    dst.input = dst_discard
    dst.output = dst_discard_out
    if unregister:
        dst.dev = dev.net.loopback_dev


def dst_discard_out(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Drop a packet whose destination's device is gone."""
    kfree_skb(skb)
    return 0


def dst_mtu(dst: DstEntry) -> int:
    """Return the IP MTU of a destination: what fits its way, with what its transforms add."""
    return dst.ops.mtu(dst)


def dst_pop(dst: DstEntry) -> DstEntry | None:
    """Return where a packet goes on from a transform that was done; None behind the last."""
    return dst.child


def dst_metric_advmss(dst: DstEntry) -> int:
    """Return the largest TCP segment to ask a peer for."""
    return dst.ops.default_advmss(dst)


def dst_negative_advice(sk: "Sock") -> None:
    """Say that a socket's packets do not arrive: it may have to look for another way."""
    dst = sk.sk_dst_cache
    if dst is not None and dst.ops.negative_advice(dst) is None:
        sk.sk_dst_cache = None
        dst_release(dst)

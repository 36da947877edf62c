"""What a route leads to: next hops, and the choice between them (Linux: net/ipv4/fib_semantics.c)."""

from errno import EACCES, EAGAIN, EHOSTUNREACH, EINVAL
from typing import TYPE_CHECKING

from ..netlink.rtnetlink import Rtax
from .devinet import inet_select_addr
from .rtnetlink import RtProtocol, RtScope, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from .fib_exception import FibNhException
    from .fib_trie import FibResult
    from .flow import Flowi4
    from .route import RTable

__all__ = [
    "FIB_ERRORS",
    "FibInfo",
    "FibNh",
    "fib_multipath_hash",
    "fib_rebalance",
    "fib_result_prefsrc",
    "fib_select_multipath",
    "fib_select_path",
]

# What a lookup that ends at such a route returns.
FIB_ERRORS: dict[int, int] = {
    RtType.BLACKHOLE: -EINVAL,
    RtType.UNREACHABLE: -EHOSTUNREACH,
    RtType.PROHIBIT: -EACCES,
    RtType.THROW: -EAGAIN,
}


class FibNh:
    """A next hop (Linux: ``struct fib_nh``).

    Members
    -------
    dev : NetDevice
        Where packets leave.
    gw : int
        Address of the gateway, 0 if the destination is on the link.
    scope : int
        How far the gateway may be away; ``NOWHERE`` for a local address.
    weight : int
        Share of the flows, among several next hops.
    upper_bound : int
        Hash values up to this one choose the hop (31 bits); -1 while it is not used.
    flags : int
        ``RTNH_F_ONLINK``: the gateway is on the link, whatever the addresses say.
    dead : bool
        The device is down.
    exceptions : dict[int, FibNhException]
        What was learned of single destinations, by address.
    rth_input, rth_output : RTable or None
        The routes that packets received for this hop, and sends through it, use while they stay good
        (``nhc_rth_input``, ``nhc_pcpu_rth_output``).
    """

    __slots__ = (
        "dead",
        "dev",
        "exceptions",
        "flags",
        "gw",
        "rth_input",
        "rth_output",
        "saddr",
        "saddr_genid",
        "scope",
        "upper_bound",
        "weight",
    )

    def __init__(
        self, dev: "NetDevice", gw: int = 0, weight: int = 1, scope: int = RtScope.HOST, flags: int = 0
    ) -> None:
        self.dev = dev
        self.gw = gw
        self.flags = flags
        self.weight = weight
        self.scope = scope
        self.dead = False
        self.upper_bound = -1
        self.exceptions: dict[int, FibNhException] = {}
        self.rth_input: RTable | None = None
        self.rth_output: RTable | None = None
        self.saddr = 0  # Preferred source, valid while saddr_genid is the namespace's.
        self.saddr_genid = -1


class FibInfo:
    """What one route leads to (Linux: ``struct fib_info``); made by ``fib_create_info``.

    Members
    -------
    metrics : dict[int, int | str]
        What is known of the way, by ``Rtax``; ``mtu`` is one of them.
    """

    __slots__ = ("dead", "metrics", "mtu", "nhs", "prefsrc", "priority", "protocol", "scope", "type")

    def __init__(
        self,
        nhs: tuple[FibNh, ...],
        *,
        type: int = RtType.UNICAST,
        scope: int = RtScope.UNIVERSE,
        prefsrc: int = 0,
        priority: int = 0,
        protocol: int = RtProtocol.BOOT,
        metrics: "dict[int, int | str] | None" = None,
    ) -> None:
        self.nhs = nhs
        self.type = type
        self.scope = scope
        self.prefsrc = prefsrc
        self.priority = priority
        self.protocol = protocol
        self.metrics = metrics or {}
        self.mtu = int(self.metrics.get(Rtax.MTU, 0))
        self.dead = False


def fib_rebalance(fi: FibInfo) -> None:
    """Share the hash values out among the living next hops, by weight."""
    total = sum(nh.weight for nh in fi.nhs if not nh.dead)
    weight = 0
    for nh in fi.nhs:
        if nh.dead:
            nh.upper_bound = -1
        else:
            weight += nh.weight
            nh.upper_bound = ((weight << 31) + total // 2) // total - 1


def fib_result_prefsrc(net: "Net", res: "FibResult") -> int:
    """Return the source address for a route: its own, or the best of its device's."""
    if res.fi.prefsrc:
        return res.fi.prefsrc
    nh = res.nh
    if nh.saddr_genid != net.ipv4.dev_addr_genid:
        nh.saddr = inet_select_addr(net, nh.dev, nh.gw, res.fi.scope)
        nh.saddr_genid = net.ipv4.dev_addr_genid
    return nh.saddr


def fib_select_multipath(res: "FibResult", hash31: int) -> None:
    """Choose the next hop by a hash of 31 bits."""
    for nh in res.fi.nhs:
        if hash31 <= nh.upper_bound:
            res.nh = nh
            return


def fib_multipath_hash(net: "Net", fl4: "Flowi4") -> int:
    """Return the hash of a flow's addresses and protocol (policy 0: layer 3)."""
    return hash((fl4.saddr, fl4.daddr, fl4.proto, net.ipv4.hash_secret)) & 0x7FFFFFFF


def fib_select_path(net: "Net", res: "FibResult", fl4: "Flowi4") -> None:
    """Choose among a route's next hops, and fill in the flow's source address."""
    if len(res.fi.nhs) > 1 and not fl4.oif:
        fib_select_multipath(res, fib_multipath_hash(net, fl4))
    if not fl4.saddr:
        fl4.saddr = fib_result_prefsrc(net, res)

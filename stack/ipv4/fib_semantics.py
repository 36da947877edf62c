"""What a route leads to: next hops, and the choice between them (Linux: net/ipv4/fib_semantics.c)."""

from errno import EACCES, EAGAIN, EHOSTUNREACH, EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.flow_dissector import skb_flow_dissect_flow_keys
from ..core.neighbour import NUD_INCOMPLETE, NUD_REACHABLE, NUD_VALID
from ..core.neighbour_table import neigh_lookup
from ..netlink.rtnetlink import Rtax
from ..uapi import IPPROTO_ICMP
from .devinet import inet_select_addr
from .icmp_defs import ICMP_ERRORS
from .rtnetlink import RtProtocol, RtScope, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
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
    "fib_select_default",
    "fib_select_multipath",
    "fib_select_path",
]

_ADDRESSES = Struct("!II")

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


def fib_select_default(net: "Net", res: "FibResult") -> None:
    """Choose, among default routes as good as the one found, a gateway that is not known to be dead (RFC 1122 §3.3.1).

    One that answers, or has not been asked, is best; of those that are only believed to be there another than the one
    in use, so that they take turns.
    """
    first = res.alias
    choices = [
        alias
        for alias in res.table
        if not alias.prefixlen
        and alias.order == first.order
        and not alias.info.dead
        and alias.type == RtType.UNICAST
        and alias.info.scope == res.fi.scope
        and alias.info.nhs[0].gw
        and alias.info.nhs[0].scope == RtScope.LINK
    ]
    if len(choices) < 2 or choices[0] is not first:
        return
    last_resort = -1
    for order, alias in enumerate(choices):
        alive, is_resort = fib_detect_death(net, alias.info, order, first.default, last_resort)
        if alive:
            last_resort = order
            break
        if is_resort:
            last_resort = order
    if last_resort >= 0:
        res.alias = choices[last_resort]
        res.fi = res.alias.info
        res.nh = res.fi.nhs[0]
    first.default = last_resort


def fib_detect_death(net: "Net", fi: FibInfo, order: int, default: int, last_resort: int) -> tuple[bool, bool]:
    """Return whether a route's gateway lives, and whether it is the one to use if none does.

    ``order`` is its number among the default routes, ``default`` that of the one in use, ``last_resort`` the best yet.
    """
    nh = fi.nhs[0]
    neigh = neigh_lookup(net.ipv4.arp_tbl, nh.gw, nh.dev)
    if neigh is None:
        return True, False  # Nothing says that it does not.
    state = neigh.nud_state
    valid = state & NUD_VALID
    if state == NUD_REACHABLE or (valid and order != default):
        return True, False
    return False, bool(valid) or (last_resort < 0 and order > default and state != NUD_INCOMPLETE)


def fib_multipath_hash(net: "Net", fl4: "Flowi4", skb: "SkBuff | None" = None) -> int:
    """Return the hash of 31 bits that chooses the path of a flow, of a received packet if it is given.

    ``fib_multipath_hash_policy`` 0 takes the addresses (of what an ICMP error is about), 1 protocol and ports, too.
    """
    keys: tuple[int, ...]
    if net.ipv4.sysctl_fib_multipath_hash_policy == 1:
        ports = (fl4.proto, fl4.sport, fl4.dport) if skb is None else skb_flow_dissect_flow_keys(skb)
        keys = (fl4.saddr, fl4.daddr, *ports)
    else:
        keys = (fl4.saddr, fl4.daddr) if skb is None else ip_multipath_l3_keys(skb, fl4)
    mhash = hash((keys, net.ipv4.hash_secret))
    if fl4.multipath_hash:
        mhash = hash((mhash, fl4.multipath_hash))
    return mhash & 0x7FFFFFFF


def ip_multipath_l3_keys(skb: "SkBuff", fl4: "Flowi4") -> tuple[int, int]:
    """Return the addresses that choose a received packet's path: an error goes the way of what it is about."""
    view, at = skb.view, skb.network_header
    inner = at + ((view[at] & 15) << 2) + 8
    whole = not (view[at + 6] & 0x1F or view[at + 7])
    if view[at + 9] == IPPROTO_ICMP and whole and inner + 20 <= skb.tail and view[inner - 8] in ICMP_ERRORS:
        saddr, daddr = _ADDRESSES.unpack_from(view, inner + 12)
        return daddr, saddr
    return fl4.saddr, fl4.daddr


def fib_select_path(net: "Net", res: "FibResult", fl4: "Flowi4") -> None:
    """Choose among a route's next hops, and fill in the flow's source address."""
    if not fl4.oif:
        if len(res.fi.nhs) > 1:
            fib_select_multipath(res, fib_multipath_hash(net, fl4))
        elif res.table.num_default > 1 and not res.alias.prefixlen and res.type == RtType.UNICAST:
            fib_select_default(net, res)
    if not fl4.saddr:
        fl4.saddr = fib_result_prefsrc(net, res)

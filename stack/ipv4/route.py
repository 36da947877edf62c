"""Routes for packets: from a flow key to a destination (Linux: net/ipv4/route.c)."""

from errno import EINVAL, ENETUNREACH, ENODEV
from os import strerror
from typing import TYPE_CHECKING

from ..core.dst import DstEntry, DstOps
from ..core.neighbour_table import __neigh_create
from ..core.netdevice import IFF_LOOPBACK, IFF_POINTOPOINT, IFF_UP
from ..core.timer import jiffies
from ..uapi import INADDR_LOOPBACK
from ..xfrm.xfrm_policy import xfrm_lookup_route
from . import ip_output  # As a module: it needs routes, and routes need its functions.
from .devinet import __ip_dev_find, inet_select_addr
from .fib_exception import FibNhException, find_exception
from .fib_semantics import FibNh, fib_select_path
from .fib_trie import FibResult, fib_lookup
from .flow import FLOWI_FLAG_ANYSRC, FLOWI_FLAG_KNOWN_NH, Flowi4, flowi4_init_output
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_HOST_UNREACH
from .igmp import ip_check_mc_rcu
from .inet_sock import inet_sk_flowi_flags
from .inetpeer import inet_getid, inet_getpeer
from .ip import DADDR, IP_MAX_MTU
from .netns import IP_IDENTS
from .rtnetlink import RtScope, RtType

if TYPE_CHECKING:
    from ..core.dst import DstOutput
    from ..core.neighbour import Neighbour
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .inet_sock import InetSock
    from .inetpeer import InetPeer

__all__ = [
    "IPTOS_RT_MASK",
    "IPV4_DST_OPS",
    "RTCF_BROADCAST",
    "RTCF_LOCAL",
    "RTCF_MULTICAST",
    "RTable",
    "__ip_select_ident",
    "__mkroute_output",
    "ip_neigh_for_gw",
    "ip_route_output_flow",
    "ip_route_output_flow",
    "ip_route_output_key",
    "ip_route_output_key_hash",
    "ip_route_output_key_hash_rcu",
    "ip_route_output_ports",
    "ip_rt_update_pmtu",
    "ipv4_dst_check",
    "ipv4_mtu",
    "ipv4_neigh_lookup",
    "rt_cache_valid",
    "rt_dst_alloc",
    "rt_nexthop",
    "rt_set_nexthop",
]

RTCF_BROADCAST = 0x10000000
RTCF_MULTICAST = 0x20000000
RTCF_LOCAL = 0x80000000

_MIN_ADVMSS = 256  # ip_rt_min_advmss.

# Plain numbers: looking a member of an enum up costs more than all else in a comparison.
_UNICAST = int(RtType.UNICAST)
_LOCAL = int(RtType.LOCAL)
_BROADCAST = int(RtType.BROADCAST)
_MULTICAST = int(RtType.MULTICAST)

IPTOS_RT_MASK = 0x1C  # The bits of the TOS that routes are chosen by.


class RTable(DstEntry):
    """A route in use (Linux: ``struct rtable``).

    Members
    -------
    flags : int
        ``RTCF_*`` bits.
    type : int
        What kind of destination (``RtType``).
    is_input : bool
        It is for received packets.
    mtu : int
        MTU that the routing table gives it, or 0.
    pmtu, expires, mtu_locked : int, int, bool
        MTU of the way as it was learned, or 0; until when, in jiffies; and if packets are to be fragmented on their
        way all the same.
    rt_key : tuple[int, ...]
        Of a cached route: the flow that it is for. Then ``rt_src``, ``rt_dst`` and ``rt_oif`` are the addresses and the
        device that were chosen for it, ``rt_iif`` where it comes from, ``rt_spec_dst`` the address of this host that
        its packets mean, and ``peer`` what is known of ``rt_dst``.
    """

    __slots__ = (
        "expires",
        "flags",
        "genid",
        "iif",
        "is_input",
        "mtu",
        "mtu_locked",
        "peer",
        "pmtu",
        "rt_dst",
        "rt_iif",
        "rt_key",
        "rt_oif",
        "rt_spec_dst",
        "rt_src",
        "type",
    )

    def __init__(self, dev: "NetDevice", output: "DstOutput", flags: int, type: int, genid: int) -> None:
        super().__init__(IPV4_DST_OPS, dev, output)
        self.flags = flags
        self.type = type
        self.genid = genid
        self.iif = 0
        self.is_input = False
        self.mtu = 0
        self.pmtu = 0
        self.expires = 0
        self.mtu_locked = False
        self.rt_key: tuple[int, ...] = ()
        self.rt_src = self.rt_dst = self.rt_oif = self.rt_iif = self.rt_spec_dst = 0
        self.peer: InetPeer | None = None

    @property
    def rt_gateway(self) -> int:
        """Where packets of a cached route are handed to."""
        return self.gw or self.rt_dst


def ipv4_dst_check(dst: RTable) -> RTable | None:
    """Return the route if it is still good, else None."""
    return dst if rt_cache_valid(dst) else None


def rt_cache_valid(rt: RTable) -> bool:
    """Return whether a next hop's route can be used once more."""
    return rt.obsolete == -1 and rt.genid == rt.dev.net.ipv4.rt_genid


def ipv4_mtu(dst: RTable) -> int:
    """Return the IP MTU of a route: that of the path, where it is known and smaller, or the device's."""
    mtu = dst.mtu or dst.dev.mtu
    if dst.pmtu and jiffies(dst.dev.net.kernel) < dst.expires:
        mtu = dst.pmtu
    return mtu if mtu < IP_MAX_MTU else IP_MAX_MTU


def ipv4_link_failure(skb: "SkBuff") -> None:
    """Tell a packet's sender that its next hop does not answer."""
    from .icmp import icmp_send  # Sending is built on this module.

    icmp_send(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH)
    rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt is not None and rt.rt_key:
        rt.expires = max(1, jiffies(rt.dev.net.kernel) - 1)  # Its flow looks for another way.


def ipv4_negative_advice(dst: RTable) -> RTable | None:
    """Return a route, or None if it may be the wrong one: stale, or by what was learned on the way."""
    if dst.obsolete <= 0 and not dst.expires:
        return dst
    dst.expires = 1  # In a cache it is found no more.
    return None


def ipv4_default_advmss(dst: RTable) -> int:
    """Return the largest TCP segment that fits a route's way, at least 256 octets, without options."""
    return min(max(ipv4_mtu(dst) - 40, _MIN_ADVMSS), IP_MAX_MTU - 40)


def ipv4_dst_ifdown(dst: RTable, dev: "NetDevice") -> None:
    """Let a route go whose device goes."""
    dst.obsolete = 2


def ipv4_dst_destroy(dst: RTable) -> None:
    """Let go of what a route has."""
    from .route_cache import rt_cache_destroy  # It is built on this module.

    rt_cache_destroy(dst)


def _gc_thresh(net: "Net") -> int:
    return net.ipv4.sysctl_route_gc_thresh


def _gc(net: "Net") -> bool:
    from .route_cache import rt_garbage_collect

    return rt_garbage_collect(net)


def ipv4_neigh_lookup(dst: RTable, skb: "SkBuff") -> "Neighbour | None":
    """Return the neighbour that a packet goes to, made if needed; None if there can be none."""
    (daddr,) = DADDR.unpack_from(skb.view, skb.network_header + 16)
    try:
        return ip_neigh_for_gw(dst, daddr)
    except OSError:
        return None


def rt_nexthop(rt: RTable, daddr: int) -> int:
    """Return the address that a packet is handed to next."""
    return rt.gw or daddr


def ip_neigh_for_gw(rt: RTable, daddr: int) -> "Neighbour":
    """Return the neighbour for a route and a destination, made if needed.

    Raises
    ------
    OSError
        ``ENOBUFS`` when the table of neighbours is full, ``EINVAL`` if there can be none.
    """
    dev = rt.dev
    nexthop = rt_nexthop(rt, daddr)
    tbl = dev.net.ipv4.arp_tbl
    # Found as arp_hash() would have it; there is one neighbour only on a loopback or point-to-point device.
    key = dev.ifindex << 32 | nexthop if not dev.flags & (IFF_LOOPBACK | IFF_POINTOPOINT) else dev.ifindex << 32
    neigh: Neighbour | None = tbl.nht.get(key)
    return neigh if neigh is not None else __neigh_create(tbl, nexthop, dev)


def ip_rt_update_pmtu(dst: RTable, sk: "Sock | None", skb: "SkBuff", mtu: int) -> None:
    """Note that no more than ``mtu`` octets go the way of a packet, which lies at its network header."""
    from .route_icmp import __build_flow_key, __ip_rt_update_pmtu  # They need this module.

    dev = skb.dev
    assert dev is not None
    __ip_rt_update_pmtu(dst, __build_flow_key(skb, skb.network_header, dev.ifindex, skb.mark), mtu)


IPV4_DST_OPS = DstOps(
    ipv4_dst_check,
    ipv4_mtu,
    ipv4_link_failure,
    ipv4_neigh_lookup,
    ip_rt_update_pmtu,
    gc=_gc,
    gc_thresh=_gc_thresh,
    destroy=ipv4_dst_destroy,
    ifdown=ipv4_dst_ifdown,
    negative_advice=ipv4_negative_advice,
    default_advmss=ipv4_default_advmss,
)


def rt_dst_alloc(dev: "NetDevice", flags: int, type: int) -> RTable:
    """Return a new route that sends with ``ip_output``; to this host it receives, too.

    Raises
    ------
    OSError
        ``ENOBUFS`` if the route cache is full.
    """
    if dev.net.ipv4.rt_cache is not None:
        from .route_cache import rt_cache_alloc  # It is built on this module.

        rt_cache_alloc(dev.net)
    rth = RTable(dev, ip_output.ip_output, flags, type, dev.net.ipv4.rt_genid)
    if flags & RTCF_LOCAL:
        from .ip_input import ip_local_deliver  # Receiving is built on this module.

        rth.input = ip_local_deliver
    return rth


def ip_route_output_flow(net: "Net", flp4: Flowi4, sk: "Sock | None" = None) -> RTable:
    """Find the route for a flow, and what IPsec makes of it; the key gets the addresses that were chosen.

    Raises
    ------
    OSError
        ``ENETUNREACH``, ``EHOSTUNREACH``, ``EACCES`` or ``EINVAL``, as the routing table says.
    """
    rt = ip_route_output_key_hash_rcu(net, flp4) if net.ipv4.rt_cache is None else _cached(net, flp4)
    if flp4.proto:
        flp4.oif = rt.dev.ifindex
        return xfrm_lookup_route(net, rt, flp4, sk)
    return rt


def ip_route_output_ports(
    net: "Net",
    fl4: Flowi4,
    sk: "InetSock",
    daddr: int,
    saddr: int,
    dport: int,
    sport: int,
    proto: int,
    tos: int,
    oif: int,
) -> RTable:
    """Find the route for a socket's connection; ``fl4`` becomes its flow.

    Raises
    ------
    OSError
        As ``ip_route_output_flow``.
    """
    scope = RtScope.LINK if sk.sk_localroute else RtScope.UNIVERSE
    flags = inet_sk_flowi_flags(sk)
    flowi4_init_output(fl4, oif, sk.sk_mark, tos, scope, proto, flags, daddr, saddr, dport, sport)
    return ip_route_output_flow(net, fl4, sk)


def ip_route_output_key(net: "Net", flp4: Flowi4) -> RTable:
    """Find the route for a flow, whatever IPsec says."""
    return ip_route_output_key_hash(net, flp4)


def ip_route_output_key_hash(net: "Net", flp4: Flowi4) -> RTable:
    """Find the route for a flow; messages about packets ask here (the function behind it is for all)."""
    return ip_route_output_key_hash_rcu(net, flp4) if net.ipv4.rt_cache is None else _cached(net, flp4)


def _cached(net: "Net", flp4: Flowi4) -> RTable:
    from .route_cache import __ip_route_output_key  # It is built on this module.

    return __ip_route_output_key(net, flp4)


def ip_route_output_key_hash_rcu(net: "Net", fl4: Flowi4) -> RTable:
    """Check a flow's addresses and device, look the route up, and choose path and source.

    Raises
    ------
    OSError
        As ``ip_route_output_flow``.
    """
    flags = 0
    fl4.tos &= IPTOS_RT_MASK
    orig_oif = fl4.oif
    daddr = fl4.daddr
    saddr = fl4.saddr
    dev_out: NetDevice | None = None
    on_link = daddr >> 28 == 0xE or daddr == 0xFFFFFFFF
    if saddr:
        if saddr >> 28 == 0xE or saddr == 0xFFFFFFFF:
            raise OSError(EINVAL, "not a source address")
        if not orig_oif and on_link:
            # A multicast or broadcast goes out where its source address is at home.
            dev_out = __ip_dev_find(net, saddr)
            if dev_out is None:
                raise OSError(ENETUNREACH, "the source is not an address of this host")
            fl4.oif = dev_out.ifindex
            return __mkroute_output(net, None, fl4, orig_oif, dev_out, flags)
        if not fl4.flags & FLOWI_FLAG_ANYSRC and __ip_dev_find(net, saddr) is None:
            raise OSError(ENETUNREACH, "the source is not an address of this host")
    if orig_oif:
        dev_out = _bound_device(net, orig_oif)
        if on_link:
            if not saddr:
                fl4.saddr = inet_select_addr(net, dev_out, 0, RtScope.LINK)
            return __mkroute_output(net, None, fl4, orig_oif, dev_out, flags)
        if not saddr and not daddr:
            fl4.saddr = inet_select_addr(net, dev_out, 0, RtScope.HOST)
    if not daddr:
        if not fl4.saddr:
            fl4.saddr = INADDR_LOOPBACK
        fl4.daddr = fl4.saddr
        return _local_output(net, None, fl4, 0)
    found = fib_lookup(net, fl4)
    if isinstance(found, int):
        if dev_out is None:
            raise OSError(-found, strerror(-found))
        # The caller named the device, so the destination counts as on its link.
        if not fl4.saddr:
            fl4.saddr = inet_select_addr(net, dev_out, 0, RtScope.LINK)
        return __mkroute_output(net, None, fl4, orig_oif, dev_out, flags)
    if found.type == _LOCAL:
        if not fl4.saddr:
            fl4.saddr = found.fi.prefsrc or daddr
        return _local_output(net, found, fl4, orig_oif)
    fib_select_path(net, found, fl4)
    dev_out = found.nh.dev
    fl4.oif = dev_out.ifindex
    return __mkroute_output(net, found, fl4, orig_oif, dev_out, flags)


def _bound_device(net: "Net", ifindex: int) -> "NetDevice":
    """Return the device that a flow is bound to, if packets can leave there."""
    dev = net.devices.get(ifindex)
    if dev is None:
        raise OSError(ENODEV, f"no device {ifindex}")
    if not dev.flags & IFF_UP or dev.ip_ptr is None:
        raise OSError(ENETUNREACH, f"{dev.name} is down or has no IPv4")
    return dev


def _local_output(net: "Net", res: FibResult | None, fl4: Flowi4, orig_oif: int) -> RTable:
    """Route to this host itself."""
    dev = net.loopback_dev
    if not dev.flags & IFF_UP:
        raise OSError(ENETUNREACH, "the loopback device is down")
    fl4.oif = dev.ifindex
    return __mkroute_output(net, res, fl4, orig_oif, dev, RTCF_LOCAL)


def __mkroute_output(
    net: "Net", res: FibResult | None, fl4: Flowi4, orig_oif: int, dev_out: "NetDevice", flags: int
) -> RTable:
    """Return the route for a flow whose path is chosen: the one that its next hop keeps, or a new one."""
    if fl4.saddr >> 24 == 127 and not dev_out.flags & IFF_LOOPBACK:
        raise OSError(EINVAL, "a loopback address cannot leave the host")
    daddr = fl4.daddr
    kind = res.type if res is not None else _LOCAL if flags & RTCF_LOCAL else _UNICAST
    if daddr == 0xFFFFFFFF:
        kind = _BROADCAST
    elif daddr >> 28 == 0xE:
        kind = _MULTICAST
    elif not daddr:
        raise OSError(EINVAL, "not a destination address")
    if dev_out.flags & IFF_LOOPBACK:
        flags |= RTCF_LOCAL
    keeper: FibNh | FibNhException | None = None  # Of the route, for the next ones.
    if kind == _BROADCAST:
        flags |= RTCF_BROADCAST | RTCF_LOCAL
    elif kind == _MULTICAST:
        flags |= RTCF_MULTICAST
        if dev_out.ip_ptr is not None and ip_check_mc_rcu(dev_out.ip_ptr, daddr):
            flags |= RTCF_LOCAL
    elif res is not None:
        nh = res.nh
        if not fl4.flags & FLOWI_FLAG_KNOWN_NH and (not flags & RTCF_LOCAL or not orig_oif):
            keeper = (find_exception(net.kernel, nh, daddr) if nh.exceptions else None) or nh
            rth = keeper.rth_output
            if rth is not None and rt_cache_valid(rth):
                return rth
    net.mib["Rt:OutSlowTot"] += 1
    rth = rt_dst_alloc(dev_out, flags, kind)
    rth.iif = orig_oif
    if flags & (RTCF_BROADCAST | RTCF_MULTICAST) and not dev_out.flags & IFF_LOOPBACK:
        rth.output = ip_output.ip_mc_output
    if res is not None and kind == _UNICAST:
        rt_set_nexthop(rth, res, keeper)
        if keeper is None:
            rth.gw = rth.gw or daddr  # Whatever the packet's header says: it goes to where this flow leads.
    if keeper is not None and net.ipv4.rt_cache is None:
        keeper.rth_output = rth
    return rth


def rt_set_nexthop(rth: RTable, res: FibResult, keeper: "FibNh | FibNhException | None") -> None:
    """Give a route its gateway and MTU: the next hop's, or what was learned of this destination."""
    nh = res.nh
    if nh.gw and nh.scope == RtScope.LINK:
        rth.gw = nh.gw
    rth.mtu = res.fi.mtu
    if isinstance(keeper, FibNhException):
        rth.pmtu = keeper.pmtu
        rth.expires = keeper.expires
        rth.mtu_locked = keeper.mtu_locked
        rth.gw = keeper.gw or rth.gw


def __ip_select_ident(net: "Net", saddr: int, daddr: int, protocol: int, segs: int) -> int:
    """Return the IP identification for a packet, and reserve ``segs`` of them.

    Each of some generators serves the flows that hash to it; one that rested goes on by a random step, so that
    nobody can count the packets sent to others (RFC 7739 has the reasons).
    """
    ipv4 = net.ipv4
    if ipv4.rt_cache is not None:
        return inet_getid(inet_getpeer(net, daddr), segs)
    bucket = hash((daddr, saddr, protocol, ipv4.hash_secret)) % IP_IDENTS
    kernel = net.kernel
    now = jiffies(kernel)
    delta = 0
    rested = now - ipv4.ip_tstamps[bucket]
    if rested:
        ipv4.ip_tstamps[bucket] = now
        delta = kernel.platform.random_u32() * rested >> 32
    first = ipv4.ip_idents[bucket] + delta
    ipv4.ip_idents[bucket] = first + segs & 0xFFFF
    return first & 0xFFFF

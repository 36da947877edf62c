"""Routes for received packets (Linux: net/ipv4/route.c, net/ipv4/fib_frontend.c)."""

from errno import EHOSTUNREACH
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.flow_dissector import skb_flow_dissect_flow_keys
from ..core.skbuff import kfree_skb_reason
from ..ethernet.eth import ETH_P_IP
from .devinet import inet_addr_onlink
from .fib_exception import find_exception
from .fib_rules import LOOPBACK_IFINDEX, fib4_rules_early_flow_dissect
from .fib_semantics import fib_multipath_hash, fib_select_multipath
from .fib_trie import FibResult, fib_lookup
from .flow import Flowi4
from .igmp import ip_check_mc_rcu
from .ip_forward import ip_forward
from .ip_options import IpOptions
from .netns import NetnsIpv4
from .route import (
    IPTOS_RT_MASK,
    RTCF_BROADCAST,
    RTCF_LOCAL,
    RTCF_MULTICAST,
    RTable,
    rt_cache_valid,
    rt_dst_alloc,
    rt_set_nexthop,
)
from .route_icmp import ip_error
from .rtnetlink import RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .devinet import InDevice
    from .fib_semantics import FibNh

__all__ = [
    "__fib_validate_source",
    "__mkroute_input",
    "fib_validate_source",
    "ip_mkroute_input",
    "ip_route_input_key",
    "ip_route_input_mc",
    "ip_route_input_noref",
    "ip_route_input_slow",
    "ip_rt_bug",
]

_UNICAST = int(RtType.UNICAST)
_LOCAL = int(RtType.LOCAL)
_BROADCAST = int(RtType.BROADCAST)


def ip_rt_bug(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Refuse to send a packet by a route that is only for receiving (``dst.output``)."""
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return 0


def ip_route_input_noref(skb: "SkBuff", daddr: int, saddr: int, tos: int, dev: "NetDevice") -> SkbDropReason | None:
    """Give a received packet its route.

    Returns
    -------
    SkbDropReason or None
        None if it has one now; else why it is to be dropped.
    """
    if dev.net.ipv4.rt_cache is not None:
        from .route_cache import ip_route_input  # It is built on this module.

        return ip_route_input(skb, daddr, saddr, tos & IPTOS_RT_MASK, dev)
    if daddr >> 28 == 0xE:
        return ip_route_input_mc(skb, daddr, saddr, tos & IPTOS_RT_MASK, dev)
    return ip_route_input_slow(skb, daddr, saddr, tos & IPTOS_RT_MASK, dev)


def ip_route_input_key(skb: "SkBuff", daddr: int, saddr: int, tos: int, dev: "NetDevice") -> Flowi4:
    """Return the flow of a received packet: with protocol and ports where routes are chosen by them."""
    net = dev.net
    fl4 = Flowi4(daddr, saddr, tos=tos, iif=dev.ifindex, mark=skb.mark)
    if not fib4_rules_early_flow_dissect(net, skb, fl4) and net.ipv4.sysctl_fib_multipath_hash_policy:
        fl4.proto, fl4.sport, fl4.dport = skb_flow_dissect_flow_keys(skb)
    return fl4


def ip_route_input_mc(skb: "SkBuff", daddr: int, saddr: int, tos: int, dev: "NetDevice") -> SkbDropReason | None:
    """Give a packet to a group its route, if this host is in it; as ``ip_route_input_noref``."""
    net = dev.net
    if dev.ip_ptr is None or not ip_check_mc_rcu(dev.ip_ptr, daddr):
        return SkbDropReason.IP_INVALID_DEST
    if saddr >> 28 == 0xE or saddr == 0xFFFFFFFF or skb.protocol != ETH_P_IP:
        return SkbDropReason.IP_INVALID_SOURCE
    in_dev: InDevice = dev.ip_ptr
    if saddr >> 24 == 127 and not (in_dev.cnf.route_localnet or net.ipv4.devconf_all.route_localnet):
        return SkbDropReason.IP_LOCALNET
    if not saddr:
        # RFC 1112 and RFC 2131: hosts without an address speak to the groups on the link only.
        if daddr >> 8 != 0xE00000:
            return SkbDropReason.IP_INVALID_SOURCE
    else:
        reason = fib_validate_source(skb, saddr, 0, tos, 0, dev, in_dev)
        if reason is not None:
            return reason
    rth = rt_dst_alloc(net.loopback_dev, RTCF_MULTICAST | RTCF_LOCAL, RtType.MULTICAST)
    _receive_by(rth)
    skb.dst = rth
    net.mib["Rt:InSlowMc"] += 1
    return None


def _receive_by(rth: RTable) -> None:
    """Make a new local route one for receiving only."""
    rth.output = ip_rt_bug
    rth.is_input = True


def ip_route_input_slow(skb: "SkBuff", daddr: int, saddr: int, tos: int, dev: "NetDevice") -> SkbDropReason | None:
    """Look up the route of a received packet, and check its addresses; as ``ip_route_input_noref``.

    A packet for another host gets a router's route, ``ip_forward``, or one that drops it, ``ip_error``.
    """
    net = dev.net
    ipv4 = net.ipv4
    in_dev: InDevice | None = dev.ip_ptr
    if in_dev is None:
        return SkbDropReason.NOT_SPECIFIED  # IPv4 is off on this device.
    if saddr >= 0xE0000000 and (saddr >> 28 == 0xE or saddr == 0xFFFFFFFF):
        return SkbDropReason.IP_INVALID_SOURCE
    if daddr == 0xFFFFFFFF or not (saddr or daddr):
        return _brd_input(skb, saddr, tos, dev, in_dev)
    if not saddr:
        return SkbDropReason.IP_INVALID_SOURCE
    if not daddr:
        return SkbDropReason.IP_INVALID_DEST
    if (daddr >> 24 == 127 or saddr >> 24 == 127) and not (
        in_dev.cnf.route_localnet or ipv4.devconf_all.route_localnet
    ):
        return SkbDropReason.IP_LOCALNET
    forwarding = in_dev.cnf.forwarding
    fl4 = Flowi4(daddr, saddr, tos=tos, iif=dev.ifindex, mark=skb.mark)
    if ipv4.fib_rules_require_fldissect:
        fib4_rules_early_flow_dissect(net, skb, fl4)
    found = fib_lookup(net, fl4)
    if isinstance(found, int):
        _no_route(skb, net, -found if forwarding else EHOSTUNREACH)
        return None
    kind = found.type
    if kind == _LOCAL:
        reason = fib_validate_source(skb, saddr, daddr, tos, 0, dev, in_dev)
        if reason is not None:
            return reason
        _local_input(skb, net, found, 0, _LOCAL)
        return None
    if kind == _BROADCAST:
        return _brd_input(skb, saddr, tos, dev, in_dev, found)
    if not forwarding:
        _no_route(skb, net, EHOSTUNREACH)
        return None
    if kind != _UNICAST:
        return SkbDropReason.IP_INVALID_DEST
    return ip_mkroute_input(skb, found, fl4, in_dev)


def ip_mkroute_input(skb: "SkBuff", res: FibResult, fl4: Flowi4, in_dev: "InDevice") -> SkbDropReason | None:
    """Choose among a route's next hops, and give a packet the route that sends it on; as ``ip_route_input_noref``."""
    if len(res.fi.nhs) > 1:
        fib_select_multipath(res, fib_multipath_hash(in_dev.dev.net, fl4, skb))
    return __mkroute_input(skb, res, fl4, in_dev)


def __mkroute_input(skb: "SkBuff", res: FibResult, fl4: Flowi4, in_dev: "InDevice") -> SkbDropReason | None:
    """Give a packet the route that sends it on: the one that the next hop keeps, or a new one."""
    nh, dev = res.nh, in_dev.dev
    net = dev.net
    out_dev: InDevice | None = nh.dev.ip_ptr
    if out_dev is None:
        return SkbDropReason.NOT_SPECIFIED
    reason = fib_validate_source(skb, fl4.saddr, fl4.daddr, fl4.tos, nh.dev.ifindex, dev, in_dev)
    if reason is not None:
        return reason
    if out_dev is in_dev:
        if skb.protocol != ETH_P_IP and not in_dev.cnf.proxy_arp_pvlan:
            return SkbDropReason.NOT_SPECIFIED  # ARP asks: the answer would be the one that it has anyway.
        if skb.protocol == ETH_P_IP and _has_a_shorter_way(net, fl4, nh, in_dev):
            if not isinstance(skb.cb, IpOptions):
                skb.cb = IpOptions()
            skb.cb.do_redirect = True
    keeper = (find_exception(net.kernel, nh, fl4.daddr) if nh.exceptions else None) or nh
    rth = keeper.rth_input
    if rth is None or not rt_cache_valid(rth):
        net.mib["Rt:InSlowTot"] += 1
        rth = rt_dst_alloc(nh.dev, 0, res.type)
        rth.is_input = True
        rth.input = ip_forward
        rt_set_nexthop(rth, res, keeper)
        if net.ipv4.rt_cache is None:
            keeper.rth_input = rth
    skb.dst = rth
    return None


def _has_a_shorter_way(net: "Net", fl4: Flowi4, nh: "FibNh", in_dev: "InDevice") -> bool:
    """Return whether the sender of a packet is on the same link as the next hop, and may be told so."""
    conf_all = net.ipv4.devconf_all
    if not (in_dev.cnf.send_redirects or conf_all.send_redirects):
        return False
    back = fib_lookup(net, Flowi4(fl4.saddr, fl4.daddr, tos=fl4.tos, iif=LOOPBACK_IFINDEX))
    if isinstance(back, int) or all(hop.dev is not in_dev.dev or hop.gw for hop in back.fi.nhs):
        return False
    return bool(in_dev.cnf.shared_media or conf_all.shared_media) or inet_addr_onlink(in_dev, fl4.saddr, nh.gw)


def _brd_input(
    skb: "SkBuff", saddr: int, tos: int, dev: "NetDevice", in_dev: "InDevice", found: FibResult | None = None
) -> SkbDropReason | None:
    """Give a broadcast its route, if it comes from a source that it may come from."""
    if skb.protocol != ETH_P_IP:
        return SkbDropReason.INVALID_PROTO
    if saddr:
        reason = fib_validate_source(skb, saddr, 0, tos, 0, dev, in_dev)
        if reason is not None:
            return reason
    dev.net.mib["Rt:InBrd"] += 1
    _local_input(skb, dev.net, found, RTCF_BROADCAST, _BROADCAST)
    return None


def _no_route(skb: "SkBuff", net: "Net", error: int) -> None:
    """Give a packet for another host a route that drops it, because of an errno."""
    net.mib["Rt:InNoRoute"] += 1
    rth = rt_dst_alloc(net.loopback_dev, 0, RtType.UNREACHABLE)
    rth.output = ip_rt_bug
    rth.input = ip_error
    rth.error = error
    rth.is_input = True
    skb.dst = rth


def _local_input(skb: "SkBuff", net: "Net", found: FibResult | None, flags: int, kind: int) -> None:
    """Give a packet for this host its route: the one that the next hop keeps, or a new one."""
    if found is not None:
        kept = found.nh.rth_input
        if kept is not None and rt_cache_valid(kept):
            skb.dst = kept
            return
    net.mib["Rt:InSlowTot"] += 1
    rth = rt_dst_alloc(net.loopback_dev, flags | RTCF_LOCAL, kind)
    _receive_by(rth)
    if found is not None and net.ipv4.rt_cache is None:
        found.nh.rth_input = rth
    skb.dst = rth


def fib_validate_source(
    skb: "SkBuff", src: int, dst: int, tos: int, oif: int, dev: "NetDevice", in_dev: "InDevice"
) -> SkbDropReason | None:
    """Check that a packet may come from its source: not from ourselves, and with ``rp_filter`` from the right side.

    Returns
    -------
    SkbDropReason or None
        None if it may.
    """
    ipv4 = dev.net.ipv4
    cnf = in_dev.cnf
    conf_all = ipv4.devconf_all
    rpf = max(cnf.rp_filter, conf_all.rp_filter)
    if not rpf and (dev.ifindex != oif or not (cnf.send_redirects or conf_all.send_redirects)):
        if cnf.accept_local:
            return None
        # With rules or local routes of somebody's own the addresses alone do not tell what is ours.
        if not ipv4.fib_has_custom_rules and not ipv4.fib_has_custom_local_routes:
            return SkbDropReason.IP_LOCAL_SOURCE if inet_lookup_ifaddr_rcu(ipv4, src) else None
    return __fib_validate_source(skb, src, dst, tos, oif, rpf, dev, in_dev)


def inet_lookup_ifaddr_rcu(ipv4: NetnsIpv4, addr: int) -> bool:
    """Return whether an address is one of this host."""
    return addr in ipv4.inet_addr_lst


def __fib_validate_source(
    skb: "SkBuff", src: int, dst: int, tos: int, oif: int, rpf: int, dev: "NetDevice", in_dev: "InDevice"
) -> SkbDropReason | None:
    """Check a source by the route back to it (RFC 3704): strictly with ``rpf`` 1, loosely with 2.

    Without either it may be anything but one of this host, or what is no host at all.
    """
    net = dev.net
    fl4 = Flowi4(src, dst, tos=tos, iif=oif or LOOPBACK_IFINDEX)
    if fib4_rules_early_flow_dissect(net, skb, fl4):
        fl4.sport, fl4.dport = fl4.dport, fl4.sport
    found = fib_lookup(net, fl4)
    if isinstance(found, int):
        return SkbDropReason.IP_RPFILTER if rpf else None
    if found.type != _UNICAST and (found.type != _LOCAL or not in_dev.cnf.accept_local):
        return SkbDropReason.IP_LOCAL_SOURCE if found.type == _LOCAL else SkbDropReason.IP_INVALID_SOURCE
    if any(nh.dev is dev for nh in found.fi.nhs):
        return None
    if rpf == 1 or (rpf and not in_dev.ifa_list):
        return SkbDropReason.IP_RPFILTER
    return None

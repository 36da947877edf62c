"""What routes learn from ICMP messages, and what they tell senders by them (Linux: net/ipv4/route.c).

Path MTUs are RFC 1191's, redirects RFC 1122 §3.2.2.2 and RFC 1812 §5.2.7.2.
"""

from contextlib import suppress
from errno import EACCES, EHOSTUNREACH, ENETUNREACH
from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.neighbour import NUD_VALID, neigh_event_send
from ..core.skbuff import kfree_skb_reason
from ..core.sock import sk_dst_reset, sk_dst_set
from ..core.timer import HZ, jiffies
from ..uapi import IP_PMTUDISC_INTERFACE
from .devinet import inet_addr_onlink
from .fib_exception import update_or_create_fnhe
from .fib_frontend import inet_addr_type
from .fib_semantics import fib_select_path
from .fib_trie import fib_lookup
from .flow import Flowi4
from .icmp import icmp_send
from .icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_HOST_UNREACH,
    ICMP_NET_UNREACH,
    ICMP_PKT_FILTERED,
    ICMP_REDIR_HOST,
    ICMP_REDIRECT,
)
from .inetpeer import inet_peer_allow
from .route import RTable, ip_neigh_for_gw, ip_route_output_flow, ip_route_output_key, ipv4_mtu, rt_nexthop
from .rtnetlink import RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .inet_sock import InetSock

__all__ = [
    "__build_flow_key",
    "__ip_rt_update_pmtu",
    "ip_error",
    "ip_rt_send_redirect",
    "ipv4_redirect",
    "ipv4_sk_redirect",
    "ipv4_sk_update_pmtu",
    "ipv4_update_pmtu",
]

_ADDRESSES = Struct("!II")
_GATEWAY = Struct("!I")
# In jiffies; the kernel's settings under /proc/sys/net/ipv4/route.
_ERROR_COST, _ERROR_BURST = HZ, 5 * HZ
_MTU_EXPIRES = 10 * 60 * HZ
_GC_TIMEOUT = 300 * HZ
_REDIRECT_NUMBER = 9
_REDIRECT_LOAD = HZ // 50
_REDIRECT_SILENCE = _REDIRECT_LOAD << _REDIRECT_NUMBER + 1
_REDIRECTED_MAX = 1024  # Senders of whom is known how often they were told.


def ip_error(skb: "SkBuff") -> int:
    """Drop a packet that this host has no route for, and count why; a router tells its sender (``dst.input``)."""
    dst = skb.dst
    dev = skb.dev
    assert dst is not None
    assert dev is not None
    net = dev.net
    reason = SkbDropReason.NOT_SPECIFIED
    code = None
    if dst.error == EHOSTUNREACH:
        reason, code = SkbDropReason.IP_INADDRERRORS, ICMP_HOST_UNREACH
    elif dst.error == ENETUNREACH:
        reason, code = SkbDropReason.IP_INNOROUTES, ICMP_NET_UNREACH
        net.mib["IpExt:InNoRoutes"] += 1
    elif dst.error == EACCES:
        code = ICMP_PKT_FILTERED
    in_dev = dev.ip_ptr
    if in_dev is None or not in_dev.cnf.forwarding:
        # RFC 1122 §3.2.2.1 leaves it to routers to tell anybody.
        if dst.error == EHOSTUNREACH:
            net.mib["Ip:InAddrErrors"] += 1
    elif code is not None:
        saddr, _ = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
        if inet_peer_allow(net, saddr, _ERROR_COST, _ERROR_BURST):
            icmp_send(skb, ICMP_DEST_UNREACH, code)
    kfree_skb_reason(skb, reason)
    return 0


def ip_rt_send_redirect(skb: "SkBuff") -> None:
    """Tell the sender of a packet that it could send to the next hop itself; less and less often, then no more."""
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    net = rt.dev.net
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    told = net.ipv4.redirects
    now = jiffies(net.kernel)
    count, last = told.pop(saddr, (0, -_REDIRECT_SILENCE))
    if now > last + _REDIRECT_SILENCE:
        count = 0
    if count >= _REDIRECT_NUMBER:
        last = now  # It does not listen: not again until it was silent for a while.
    elif not count or now > last + (_REDIRECT_LOAD << count):
        icmp_send(skb, ICMP_REDIRECT, ICMP_REDIR_HOST, rt_nexthop(rt, daddr))
        count, last = count + 1, now
    if len(told) >= _REDIRECTED_MAX:
        del told[next(iter(told))]
    told[saddr] = (count, last)


def ipv4_update_pmtu(skb: "SkBuff", net: "Net", mtu: int, oif: int, protocol: int) -> None:
    """Learn the MTU of the way that a packet of this host took; ``skb``: the message about it, at its header."""
    with suppress(OSError):  # It has no way any more.
        fl4 = __build_flow_key(skb, skb.data, oif, skb.mark)
        __ip_rt_update_pmtu(ip_route_output_key(net, fl4), fl4, mtu)


def __build_flow_key(skb: "SkBuff", at: int, oif: int, mark: int) -> Flowi4:
    """Return the flow of a packet of this host, whose header lies at an offset in an skb's head."""
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, at + 12)
    return Flowi4(daddr, saddr, skb.view[at + 9], tos=skb.view[at + 1] & 0x1E, oif=oif, mark=mark)


def ipv4_sk_update_pmtu(skb: "SkBuff", sk: "InetSock", mtu: int) -> None:
    """The same for a packet of a socket, whose own route has to know of it, too."""
    if sk.pmtudisc >= IP_PMTUDISC_INTERFACE:
        return
    ipv4_update_pmtu(skb, sk.net, mtu, sk.sk_bound_dev_if, sk.sk_protocol)
    kept = sk.sk_dst_cache
    if kept is not None and kept.ops.check(kept) is None:
        sk_dst_reset(sk)
        fl4 = __build_flow_key(skb, skb.data, sk.sk_bound_dev_if, sk.sk_mark)
        with suppress(OSError):
            sk_dst_set(sk, ip_route_output_flow(sk.net, fl4, sk))


def __ip_rt_update_pmtu(rt: RTable, fl4: Flowi4, mtu: int) -> None:
    """Note a path MTU, unless a smaller one is known."""
    net = rt.dev.net
    now = jiffies(net.kernel)
    lowest = net.ipv4.sysctl_ip_rt_min_pmtu
    if rt.mtu_locked or (rt.pmtu == mtu >= lowest and now < rt.expires - _MTU_EXPIRES // 2):
        return
    known = ipv4_mtu(rt)
    if known < mtu:
        return
    lock = mtu < lowest
    if lock:
        mtu = min(known, lowest)
    found = fib_lookup(net, fl4)
    if not isinstance(found, int):
        fib_select_path(net, found, fl4)
        update_or_create_fnhe(found.nh, fl4.daddr, 0, mtu, lock, now + _MTU_EXPIRES)


def ipv4_redirect(skb: "SkBuff", net: "Net", oif: int, protocol: int) -> None:
    """Learn a shorter way to where a packet of this host went; ``skb``: the message about it, at its header."""
    with suppress(OSError):
        fl4 = __build_flow_key(skb, skb.data, oif, skb.mark)
        _do_redirect(ip_route_output_key(net, fl4), skb, fl4)


def ipv4_sk_redirect(skb: "SkBuff", sk: "InetSock") -> None:
    """The same for a packet of a socket."""
    ipv4_redirect(skb, sk.net, sk.sk_bound_dev_if, sk.sk_protocol)


def _do_redirect(rt: RTable, skb: "SkBuff", fl4: Flowi4) -> None:
    """Take the gateway that a redirect names, if the one in use says so and it is on the link (``__ip_do_redirect``).

    It counts once the new gateway has answered ARP; until then it is asked only.

    Raises
    ------
    OSError
        If there can be no neighbour for it.
    """
    net = rt.dev.net
    dev = skb.dev
    assert dev is not None
    in_dev = dev.ip_ptr
    (new,) = _GATEWAY.unpack_from(skb.view, skb.transport_header + 4)
    (old,) = _GATEWAY.unpack_from(skb.view, skb.network_header + 12)
    if skb.view[skb.transport_header + 1] > 3 or rt.gw != old or in_dev is None:
        return
    conf_all = net.ipv4.devconf_all
    accepts = (
        in_dev.cnf.accept_redirects and conf_all.accept_redirects
        if in_dev.cnf.forwarding
        else in_dev.cnf.accept_redirects or conf_all.accept_redirects
    )
    if not accepts or new == old or inet_addr_type(net, new) != RtType.UNICAST:
        return
    if not (in_dev.cnf.shared_media or conf_all.shared_media) and not inet_addr_onlink(in_dev, new, old):
        return
    probe = RTable(rt.dev, rt.output, 0, rt.type, rt.genid)
    probe.gw = new
    neigh = ip_neigh_for_gw(probe, new)
    if not neigh.nud_state & NUD_VALID:
        neigh_event_send(neigh, None)
        return
    found = fib_lookup(net, fl4)
    if not isinstance(found, int):
        fib_select_path(net, found, fl4)
        update_or_create_fnhe(found.nh, fl4.daddr, new, 0, False, jiffies(net.kernel) + _GC_TIMEOUT)

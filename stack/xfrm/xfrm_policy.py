"""Policies of IPsec: what is to happen to which packets (Linux: net/xfrm/xfrm_policy.c; RFC 4301 §4.4.1).

Bundles and the check of received packets are in the files beside.
"""

from bisect import insort
from errno import EEXIST, ENOENT, EREMOTE
from struct import Struct
from typing import TYPE_CHECKING

from ..core.netdevice import IFF_LOOPBACK
from ..ipv4.flow import Flowi4
from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from .xfrm import (
    XFRM_POLICY_ALLOW,
    XFRM_POLICY_OUT,
    XFRM_POLICY_TYPE_MAIN,
    XFRM_POLICY_TYPE_SUB,
    XfrmMark,
    XfrmPolicy,
    XfrmSelector,
    xfrm_selector_match,
)
from .xfrm_lifetime import get_seconds, xfrm_policy_timer_start

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from ..ipv4.route import RTable
    from .netns import NetnsXfrm

__all__ = [
    "XFRM_LOOKUP_ICMP",
    "__xfrm_decode_session",
    "xfrm4_policy_check",
    "xfrm4_route_forward",
    "xfrm_decode_session_reverse",
    "xfrm_expand_policies",
    "xfrm_lookup",
    "xfrm_lookup_route",
    "xfrm_lookup_with_ifid",
    "xfrm_policy_byid",
    "xfrm_policy_bysel",
    "xfrm_policy_delete",
    "xfrm_policy_flush",
    "xfrm_policy_insert",
    "xfrm_policy_lookup_bytype",
]

XFRM_LOOKUP_ICMP = 1 << 0
_ADDRESSES = Struct("!II")
_PORTS = Struct("!HH")
_WITH_PORTS = (IPPROTO_TCP, IPPROTO_UDP)


def _order(policy: XfrmPolicy) -> tuple[int, int]:
    return policy.priority, policy.pos


def _chain(xfrm: "NetnsXfrm", policy: XfrmPolicy) -> list[XfrmPolicy]:
    """Return the list that a policy is in, or belongs into."""
    sel = policy.selector
    if sel.prefixlen_d == sel.prefixlen_s == 32:
        return xfrm.policy_bydst.setdefault((policy.dir, sel.daddr, sel.saddr), [])
    return xfrm.policy_inexact.setdefault(xfrm_pol_bin_key(policy.type, policy.dir, policy.if_id), [])


def xfrm_pol_bin_key(type: int, dir: int, if_id: int) -> tuple[int, int, int]:
    """Return under what policies for more than two single hosts are kept."""
    return type, dir, if_id


def policy_hash_direct(xfrm: "NetnsXfrm", fl: Flowi4, dir: int) -> list[XfrmPolicy]:
    """Return the policies for just the two hosts of a flow."""
    return xfrm.policy_bydst.get((dir, fl.daddr, fl.saddr), [])


def xfrm_policy_match(policy: XfrmPolicy, fl: Flowi4, type: int, if_id: int) -> bool:
    """Return whether a policy is about a flow."""
    if policy.type != type or policy.if_id != if_id or not policy.mark.matches(fl.mark):
        return False
    return xfrm_selector_match(policy.selector, fl)


def xfrm_policy_lookup_bytype(net: "Net", type: int, fl: Flowi4, dir: int, if_id: int) -> XfrmPolicy | None:
    """Return the policy of a type for a flow: that of the lowest priority, of equal ones the oldest."""
    xfrm = net.xfrm
    found = None
    for policy in policy_hash_direct(xfrm, fl, dir):
        if xfrm_policy_match(policy, fl, type, if_id):
            found = policy
            break
    for policy in xfrm.policy_inexact.get(xfrm_pol_bin_key(type, dir, if_id), []):
        if found is not None and _order(found) < _order(policy):
            break
        if xfrm_policy_match(policy, fl, type, if_id):
            return policy
    return found


def xfrm_policy_lookup(net: "Net", fl: Flowi4, dir: int, if_id: int) -> XfrmPolicy | None:
    """Return the policy for a flow; a sub policy comes first."""
    sub = xfrm_policy_lookup_bytype(net, XFRM_POLICY_TYPE_SUB, fl, dir, if_id)
    return sub if sub is not None else xfrm_policy_lookup_bytype(net, XFRM_POLICY_TYPE_MAIN, fl, dir, if_id)


def xfrm_expand_policies(net: "Net", fl: Flowi4, first: XfrmPolicy | None, if_id: int) -> list[XfrmPolicy]:
    """Return the policies to apply to a flow: what was found, and behind a sub policy the main one."""
    if first is None:
        return []
    policies = [first]
    if first.type == XFRM_POLICY_TYPE_SUB and first.action == XFRM_POLICY_ALLOW:
        main = xfrm_policy_lookup_bytype(net, XFRM_POLICY_TYPE_MAIN, fl, first.dir, if_id)
        if main is not None:
            policies.append(main)
    return policies


def _same(policy: XfrmPolicy, type: int, if_id: int, mark: XfrmMark, selector: XfrmSelector) -> bool:
    return (policy.type, policy.if_id, policy.mark, policy.selector) == (type, if_id, mark, selector)


def xfrm_gen_index(xfrm: "NetnsXfrm", dir: int) -> int:
    """Return a number for a policy that no other has."""
    used = {policy.index for policy in xfrm.policy_all}
    while True:
        index = xfrm.idx_generator | dir
        xfrm.idx_generator += 8
        if index and index not in used:
            return index


def xfrm_policy_insert(net: "Net", policy: XfrmPolicy, excl: bool) -> XfrmPolicy | None:
    """Add a policy; return the one for the same flows that it takes the place of.

    Raises
    ------
    OSError
        ``EEXIST`` if there is one and ``excl`` is set.
    """
    xfrm = net.xfrm
    chain = _chain(xfrm, policy)
    old = next((o for o in chain if _same(o, policy.type, policy.if_id, policy.mark, policy.selector)), None)
    if old is not None:
        if excl:
            raise OSError(EEXIST, "there is a policy for these flows")
        policy.index = old.index
        xfrm_policy_delete(net, old)
    else:
        policy.index = policy.index or xfrm_gen_index(xfrm, policy.dir)
    xfrm.policy_pos += 1
    policy.pos = xfrm.policy_pos
    policy.curlft.add_time = get_seconds(net.kernel)
    insort(_chain(xfrm, policy), policy, key=_order)
    xfrm.policy_all.append(policy)
    xfrm.policy_count[policy.dir] += 1
    net.ipv4.rt_genid += 1
    xfrm_policy_timer_start(net, policy)
    return old


def xfrm_policy_delete(net: "Net", policy: XfrmPolicy) -> None:
    """Take a policy out.

    Raises
    ------
    OSError
        ``ENOENT`` if it is not there.
    """
    xfrm = net.xfrm
    if policy not in xfrm.policy_all:
        raise OSError(ENOENT, "no such policy")
    xfrm.policy_all.remove(policy)
    _chain(xfrm, policy).remove(policy)
    xfrm.policy_count[policy.dir] -= 1
    policy.dead = True
    net.ipv4.rt_genid += 1


def xfrm_policy_bysel(
    net: "Net", type: int, dir: int, mark: XfrmMark, if_id: int, sel: XfrmSelector
) -> XfrmPolicy | None:
    """Return the policy of a direction for just these flows."""
    for policy in net.xfrm.policy_all:
        if policy.dir == dir and _same(policy, type, if_id, mark, sel):
            return policy
    return None


def xfrm_policy_byid(net: "Net", type: int, dir: int, index: int) -> XfrmPolicy | None:
    """Return the policy with a number."""
    for policy in net.xfrm.policy_all:
        if (policy.dir, policy.type, policy.index) == (dir, type, index):
            return policy
    return None


def xfrm_policy_flush(net: "Net", type: int) -> None:
    """Take all policies of a type out."""
    for policy in [policy for policy in net.xfrm.policy_all if policy.type == type]:
        xfrm_policy_delete(net, policy)


def xfrm_lookup_with_ifid(net: "Net", dst: "RTable", fl: Flowi4, sk: "Sock | None", flags: int, if_id: int) -> "RTable":
    """Return the route that the policy for this flow wants; without a policy, the one given.

    Raises
    ------
    OSError
        ``EPERM`` if the policy says so, ``EREMOTE`` if there is no state yet; ``ENOENT`` if ``XFRM_LOOKUP_ICMP`` asks a
        policy that is not for errors (RFC 4301 §6.1.1); what finding the tunnel's route raises.
    """
    # As with the settings that a loopback device has: disable_xfrm.
    if not net.xfrm.policy_count[XFRM_POLICY_OUT] or dst.dev.flags & IFF_LOOPBACK:
        return dst
    from .xfrm_policy_bundle import xfrm_bundle_lookup  # It is built on routes, and they on this module.

    return xfrm_bundle_lookup(net, dst, fl, flags, if_id)


def xfrm_lookup(net: "Net", dst: "RTable", fl: Flowi4, sk: "Sock | None", flags: int) -> "RTable | None":
    """Return the route that the policy for this flow wants; without a policy the one given, or None if that is asked.

    ``XFRM_LOOKUP_ICMP`` asks it: only what a policy says of the flow counts.

    Raises
    ------
    OSError
        As ``xfrm_lookup_with_ifid``.
    """
    rt = xfrm_lookup_with_ifid(net, dst, fl, sk, flags, 0)
    return None if rt is dst and flags & XFRM_LOOKUP_ICMP else rt


def xfrm_decode_session_reverse(skb: "SkBuff") -> Flowi4:
    """Return the flow of the answers to a packet."""
    return __xfrm_decode_session(skb, reverse=True)


def __xfrm_decode_session(skb: "SkBuff", *, reverse: bool) -> Flowi4:
    """Return the flow of a packet, or of the answers to it: there is only IPv4."""
    return decode_session4(skb, reverse=reverse)


def decode_session4(skb: "SkBuff", *, reverse: bool) -> Flowi4:
    """Return the flow of an IPv4 packet, or of the answers to it; a fragment's has no ports."""
    at, view = skb.network_header, skb.view
    saddr, daddr = _ADDRESSES.unpack_from(view, at + 12)
    protocol, fragment = view[at + 9], view[at + 6] & 0x3F or view[at + 7]
    sport = dport = 0
    ports = at + ((view[at] & 15) << 2)
    if not fragment and ports + 4 <= skb.tail:
        if protocol in _WITH_PORTS:
            sport, dport = _PORTS.unpack_from(view, ports)
        elif protocol == IPPROTO_ICMP:
            sport, dport = view[ports], view[ports + 1]
    if reverse:
        saddr, daddr = daddr, saddr
        if protocol != IPPROTO_ICMP:  # Type and code are in the places of ports, and have no other direction.
            sport, dport = dport, sport
    return Flowi4(daddr, saddr, protocol, sport, dport, tos=view[at + 1] & 0x1C, mark=skb.mark)


def xfrm_lookup_route(net: "Net", dst: "RTable", fl: Flowi4, sk: "Sock | None") -> "RTable":
    """Return the route to use for a flow in place of the plain one, or raise what the policy wants.

    While there is no state that a policy needs, packets go nowhere, and programs do not learn of it.

    Raises
    ------
    OSError
        As ``xfrm_lookup_with_ifid``, but for ``EREMOTE``.
    """
    try:
        return xfrm_lookup_with_ifid(net, dst, fl, sk, 0, 0)
    except OSError as error:
        if error.errno != EREMOTE:
            raise
    from .xfrm_policy_bundle import make_blackhole

    return make_blackhole(dst)


def xfrm4_route_forward(skb: "SkBuff") -> bool:
    """Give a packet that is forwarded the route that its policy wants; return whether it may go at all."""
    dst = skb.dst
    assert dst is not None
    net = dst.dev.net
    if not net.xfrm.policy_count[XFRM_POLICY_OUT] or dst.dev.flags & IFF_LOOPBACK:
        return True
    return __xfrm_route_forward(net, skb)


def __xfrm_route_forward(net: "Net", skb: "SkBuff") -> bool:
    """The same, where there are policies."""
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    fl = __xfrm_decode_session(skb, reverse=False)
    fl.oif = rt.dev.ifindex
    try:
        skb.dst = xfrm_lookup(net, rt, fl, None, 0)
    except OSError:
        return False
    return True


def xfrm4_policy_check(sk: "Sock | None", dir: int, skb: "SkBuff") -> bool:
    """Return whether a received packet may be delivered (to a socket, if given), or forwarded.

    Without policies each may, unless it came through a transform that is not for it.
    """
    dev = skb.dev
    assert dev is not None
    xfrm = dev.net.xfrm
    if not skb.sp and not xfrm.policy_count[dir] and xfrm.policy_default[dir] == XFRM_POLICY_ALLOW:
        return True
    if dev.flags & IFF_LOOPBACK:  # As with the settings that such a device has: disable_policy.
        return True
    from .xfrm_policy_check import __xfrm_policy_check  # It is built on this module.

    return __xfrm_policy_check(sk, dir, skb)

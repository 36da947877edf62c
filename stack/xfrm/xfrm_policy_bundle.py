"""Bundles: the transforms that a flow's policies want, as destinations in a row (Linux: net/xfrm/xfrm_policy.c)."""

from errno import EAGAIN, EINVAL, ENOENT, EPERM, EREMOTE, ESRCH
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_mtu
from ..core.skbuff import kfree_skb_reason
from ..ipv4.route import RTable, ipv4_dst_check
from ..ipv4.xfrm4_policy import __xfrm4_bundle_create, xfrm4_dst_lookup, xfrm4_get_saddr
from .xfrm import (
    XFRM_MAX_DEPTH,
    XFRM_MODE_TUNNEL,
    XFRM_POLICY_ALLOW,
    XFRM_POLICY_ICMP,
    XFRM_POLICY_OUT,
    XFRM_POLICY_TYPE_MAIN,
    XFRM_POLICY_TYPE_SUB,
    XfrmPolicy,
)
from .xfrm_dst import XfrmDst
from .xfrm_lifetime import get_seconds
from .xfrm_policy import XFRM_LOOKUP_ICMP, xfrm_expand_policies, xfrm_policy_lookup_bytype
from .xfrm_proc import xfrm_inc_stats
from .xfrm_state import XfrmState, XfrmStateState, xfrm_state_mtu
from .xfrm_state_find import xfrm_state_find

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from ..ipv4.flow import Flowi4

__all__ = [
    "make_blackhole",
    "xfrm_bundle_create",
    "xfrm_bundle_lookup",
    "xfrm_bundle_ok",
    "xfrm_dst_check",
    "xfrm_dst_lookup",
    "xfrm_find_bundle",
    "xfrm_resolve_and_create_bundle",
    "xfrm_tmpl_resolve",
]


_BUNDLES_MOST = 1024  # That a policy keeps.


def make_blackhole(dst: RTable) -> RTable:
    """Return a route on which packets disappear; it is asked for anew each time (``ipv4_blackhole_route``)."""
    route = RTable(dst.dev, dst_blackhole_out, dst.flags, dst.type, dst.genid)
    route.gw, route.mtu, route.obsolete = dst.gw, dst.mtu, 2
    return route


def dst_blackhole_out(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Drop a packet for which there is no state yet; its sender does not learn of it."""
    kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
    return 0


def xfrm_bundle_lookup(net: "Net", dst: RTable, fl: "Flowi4", flags: int, if_id: int) -> RTable:
    """Return the bundle for a flow, the plain route if no policy wants one.

    Raises
    ------
    OSError
        As ``xfrm_lookup_with_ifid``.
    """
    first = xfrm_policy_lookup_bytype(net, XFRM_POLICY_TYPE_SUB, fl, XFRM_POLICY_OUT, if_id)
    if first is None:
        first = xfrm_policy_lookup_bytype(net, XFRM_POLICY_TYPE_MAIN, fl, XFRM_POLICY_OUT, if_id)
    policies = xfrm_expand_policies(net, fl, first, if_id)
    if any(policy.action != XFRM_POLICY_ALLOW for policy in policies):
        xfrm_inc_stats(net, "OutPolBlock")
        raise OSError(EPERM, "a policy blocks the flow")
    if not policies:
        return _without(net, dst)
    if flags & XFRM_LOOKUP_ICMP and not policies[0].flags & XFRM_POLICY_ICMP:
        raise OSError(ENOENT, "the policy is not for errors about its flows")
    for policy in policies:
        policy.curlft.use_time = get_seconds(net.kernel)
    if not any(policy.tmpls for policy in policies):
        return dst
    if net.ipv4.rt_cache is not None:
        kept = xfrm_find_bundle(fl, policies[0])
        if kept is not None:
            return kept
    return xfrm_resolve_and_create_bundle(net, policies, fl, dst) or dst


def _without(net: "Net", dst: RTable) -> RTable:
    if net.xfrm.policy_default[XFRM_POLICY_OUT] != XFRM_POLICY_ALLOW:
        xfrm_inc_stats(net, "OutPolBlock")
        raise OSError(EPERM, "no policy allows the flow")
    return dst


def _flow_key(fl: "Flowi4") -> tuple[int, ...]:
    return fl.daddr, fl.saddr, fl.proto, fl.sport, fl.dport, fl.oif, fl.tos, fl.mark


def xfrm_find_bundle(fl: "Flowi4", policy: XfrmPolicy) -> XfrmDst | None:
    """Return a bundle that a policy has kept for a flow, if it is still good (Linux up to 3.5: routes are cached)."""
    key = _flow_key(fl)
    policy.bundles = [bundle for bundle in policy.bundles if xfrm_bundle_ok(bundle)]
    return next((bundle for bundle in policy.bundles if bundle.key == key), None)


def xfrm_resolve_and_create_bundle(net: "Net", policies: list[XfrmPolicy], fl: "Flowi4", dst: RTable) -> XfrmDst | None:
    """Return a new bundle with the states that policies ask for, None if they can do without.

    Raises
    ------
    OSError
        ``EREMOTE`` while a state is missing; what finding the route of a tunnel raises.
    """
    try:
        states = xfrm_tmpl_resolve(net, policies, fl)
    except OSError as error:
        if error.errno == EAGAIN:
            xfrm_inc_stats(net, "OutNoStates")
            raise OSError(EREMOTE, "no state for the policy yet") from None
        xfrm_inc_stats(net, "OutPolError")
        raise
    if not states:
        return None
    try:
        bundle = xfrm_bundle_create(net, states, fl, dst)
    except OSError:
        xfrm_inc_stats(net, "OutBundleGenError")
        raise
    if net.ipv4.rt_cache is not None:
        bundle.key = _flow_key(fl)
        policies[0].bundles = [*policies[0].bundles[1 - _BUNDLES_MOST :], bundle]
    return bundle


def xfrm_tmpl_resolve(net: "Net", policies: list[XfrmPolicy], fl: "Flowi4") -> list[XfrmState]:
    """Return the states that policies ask for, the innermost first; as ``xfrm_tmpl_resolve_one``."""
    if sum(len(policy.tmpls) for policy in policies) > XFRM_MAX_DEPTH:
        raise OSError(EINVAL, "too many transforms")
    return [state for policy in policies for state in xfrm_tmpl_resolve_one(net, policy, fl)]


def xfrm_tmpl_resolve_one(net: "Net", policy: XfrmPolicy, fl: "Flowi4") -> list[XfrmState]:
    """Return the states that a policy asks for, without those that are optional and not there.

    Raises
    ------
    OSError
        ``EAGAIN`` while one is missing; ``EINVAL``.
    """
    states: list[XfrmState] = []
    daddr, saddr = fl.daddr, fl.saddr
    for tmpl in policy.tmpls:
        remote, local = daddr, saddr
        if tmpl.mode == XFRM_MODE_TUNNEL:
            remote = tmpl.daddr
            local = tmpl.saddr or xfrm4_get_saddr(net, remote, fl.mark)
        try:
            states.append(xfrm_state_find(net, remote, local, fl, tmpl, policy))
        except OSError as error:
            if tmpl.optional:
                continue
            raise OSError(EAGAIN if error.errno == ESRCH else error.errno or EINVAL, "no state") from None
        daddr, saddr = remote, local
    return states


def xfrm_dst_lookup(net: "Net", x: XfrmState, tos: int, mark: int) -> RTable:
    """Return the route of a tunnel's outer packets."""
    return xfrm4_dst_lookup(net, tos, 0, x.saddr, x.daddr, mark)


def xfrm_bundle_create(net: "Net", states: list[XfrmState], fl: "Flowi4", dst: RTable) -> XfrmDst:
    """Return the destinations for some transforms, each with the next one as its child, the plain route the last.

    Raises
    ------
    OSError
        What finding the route of a tunnel raises.
    """
    return __xfrm4_bundle_create(net, states, fl, dst)


def xfrm_bundle_ok(bundle: XfrmDst) -> bool:
    """Return whether a bundle is still what its policies want; its MTU follows those of the routes below."""
    if ipv4_dst_check(bundle.path) is None:  # Neither is it once a policy was changed.
        return False
    chain: list[XfrmDst] = []
    dst: RTable = bundle
    while isinstance(dst, XfrmDst):
        if dst.transform.state != XfrmStateState.VALID or dst.xfrm_genid != dst.transform.genid:
            return False
        if ipv4_dst_check(dst.route) is None:
            return False
        chain.append(dst)
        dst = dst.behind
    for xdst in reversed(chain):
        xfrm_init_pmtu(xdst)
    return True


def xfrm_init_pmtu(xdst: XfrmDst) -> None:
    """Work out the MTU in front of one transform, from that behind it and from the route's."""
    xdst.child_mtu_cached = dst_mtu(xdst.behind)
    mtu = xfrm_state_mtu(xdst.transform, xdst.child_mtu_cached)
    xdst.route_mtu_cached = dst_mtu(xdst.route)
    xdst.mtu = min(mtu, xdst.route_mtu_cached)


def xfrm_dst_check(dst: XfrmDst) -> XfrmDst | None:
    """Return a bundle if it is still good, else None (``dst_ops.check``)."""
    return dst if dst.obsolete == -1 and xfrm_bundle_ok(dst) else None

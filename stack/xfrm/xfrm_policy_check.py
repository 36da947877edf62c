"""Whether a received packet came as the policies want (Linux: net/xfrm/xfrm_policy.c; RFC 4301 §5.2)."""

from typing import TYPE_CHECKING

from .xfrm import XFRM_MAX_DEPTH, XFRM_MODE_TRANSPORT, XFRM_POLICY_ALLOW, XfrmPolicy, XfrmTmpl, xfrm_selector_match
from .xfrm_lifetime import get_seconds
from .xfrm_policy import __xfrm_decode_session, xfrm_expand_policies, xfrm_policy_lookup
from .xfrm_proc import xfrm_inc_stats

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .xfrm_state import XfrmState

__all__ = ["__xfrm_policy_check", "xfrm_policy_check"]


def xfrm_state_ok(tmpl: XfrmTmpl, state: "XfrmState") -> bool:
    """Return whether a state is what a template asks for."""
    return (
        state.proto == tmpl.proto
        and tmpl.spi in (0, state.spi)
        and tmpl.reqid in (0, state.reqid)
        and state.mode == tmpl.mode
        and (tmpl.mode == XFRM_MODE_TRANSPORT or tmpl.saddr in (0, state.saddr))
    )


def xfrm_policy_ok(tmpl: XfrmTmpl, sp: "tuple[XfrmState, ...]", start: int) -> int:
    """Return how far a packet's transforms are used up behind a template; negative if it lacks what that asks for."""
    following = start
    if tmpl.optional:
        if tmpl.mode == XFRM_MODE_TRANSPORT:
            return start
    else:
        start = -1
    for index in range(following, len(sp)):
        if xfrm_state_ok(tmpl, sp[index]):
            return index + 1
        if sp[index].mode != XFRM_MODE_TRANSPORT:
            break
    return start


def secpath_has_nontransport(sp: "tuple[XfrmState, ...]", start: int) -> bool:
    """Return whether a packet came through further tunnels that nobody asked for."""
    return any(state.mode != XFRM_MODE_TRANSPORT for state in sp[start:])


def __xfrm_policy_check(sk: "Sock | None", dir: int, skb: "SkBuff") -> bool:
    """Check a received packet, and count why it may not be delivered."""
    dev = skb.dev
    assert dev is not None
    net = dev.net
    fl = __xfrm_decode_session(skb, reverse=False)
    if skb.dst is not None:
        fl.oif = skb.dst.dev.ifindex
    sp = skb.sp
    for state in reversed(sp):
        if not xfrm_selector_match(state.sel, fl):
            xfrm_inc_stats(net, "InStateMismatch")
            return False
    first = xfrm_policy_lookup(net, fl, dir, 0)
    if first is None:
        if net.xfrm.policy_default[dir] != XFRM_POLICY_ALLOW or secpath_has_nontransport(sp, 0):
            xfrm_inc_stats(net, "InNoPols")
            return False
        return True
    policies = [first]
    if first.type and first.action == XFRM_POLICY_ALLOW:
        policies = xfrm_expand_policies(net, fl, first, 0)
    for policy in policies:
        policy.curlft.use_time = get_seconds(net.kernel)
    return _templates_match(net, policies, sp)


def _templates_match(net: "Net", policies: list[XfrmPolicy], sp: "tuple[XfrmState, ...]") -> bool:
    """Return whether a packet came through just what its policies ask for, in that order."""
    if any(policy.action != XFRM_POLICY_ALLOW for policy in policies):
        xfrm_inc_stats(net, "InPolBlock")
        return False
    tmpls = [tmpl for policy in policies for tmpl in policy.tmpls]
    if len(tmpls) > XFRM_MAX_DEPTH:
        xfrm_inc_stats(net, "InBufferError")
        return False
    used = 0
    for tmpl in reversed(tmpls):
        used = xfrm_policy_ok(tmpl, sp, used)
        if used < 0:
            break
    if used < 0 or secpath_has_nontransport(sp, used):
        xfrm_inc_stats(net, "InTmplMismatch")
        return False
    return True


xfrm_policy_check = __xfrm_policy_check  # What Linux calls it where the family is given.

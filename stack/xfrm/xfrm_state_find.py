"""Which state is to protect a packet, and asking for one that is not there (Linux: net/xfrm/xfrm_state.c)."""

from errno import EAGAIN, EINVAL, ESRCH
from typing import TYPE_CHECKING

from ..uapi import AF_INET
from .xfrm import XfrmLifetimeCfg, XfrmPolicy, XfrmSelector, XfrmTmpl, xfrm_selector_match
from .xfrm_state import XfrmState, XfrmStateState, xfrm_state_insert
from .xfrm_user_notify import km_is_alive, km_query

if TYPE_CHECKING:
    from ..core.net import Net
    from ..ipv4.flow import Flowi4

__all__ = ["xfrm_state_find"]


class _Found:
    """What was found so far."""

    def __init__(self) -> None:
        self.best: XfrmState | None = None
        self.acquire_in_progress = False
        self.error = ESRCH


def xfrm_state_look_at(x: XfrmState, fl: "Flowi4", found: _Found) -> None:
    """Look whether a state is better than what was found: one that is not about to end, of those the newest."""
    if x.state == XfrmStateState.VALID:
        if not xfrm_selector_match(x.sel, fl):
            return
        best = found.best
        if best is None or best.dying > x.dying or (best.dying == x.dying and best.curlft.add_time < x.curlft.add_time):
            found.best = x
    elif x.state == XfrmStateState.ACQ:
        if xfrm_selector_match(x.sel, fl):
            found.acquire_in_progress = True
    elif xfrm_selector_match(x.sel, fl):
        found.error = ESRCH if x.state == XfrmStateState.EXPIRED else EINVAL


def xfrm_state_find(net: "Net", daddr: int, saddr: int, fl: "Flowi4", tmpl: XfrmTmpl, policy: XfrmPolicy) -> XfrmState:
    """Return the state that a template asks for.

    Without one, a program that makes states is asked for it, once, if there is such a program.

    Raises
    ------
    OSError
        ``ESRCH`` if there is none and nobody was asked; ``EAGAIN`` if it is being waited for; ``EINVAL``.
    """
    found = _Found()
    for x in net.xfrm.state_bydst.get((daddr, saddr), []):
        if (
            x.reqid == tmpl.reqid
            and x.if_id == policy.if_id
            and x.mark.matches(fl.mark)
            and x.mode == tmpl.mode
            and x.proto == tmpl.proto
            and tmpl.spi in (0, x.spi)
        ):
            xfrm_state_look_at(x, fl, found)
    if found.best is not None:
        return found.best
    if found.acquire_in_progress:
        raise OSError(EAGAIN, "a state was asked for")
    if found.error != ESRCH or not km_is_alive(net):
        raise OSError(found.error, "no state for the policy")
    x = _larval_state(net, daddr, saddr, fl, tmpl, policy)
    if not km_query(x, tmpl, policy):
        raise OSError(ESRCH, "nobody makes a state for the policy")
    x.state = XfrmStateState.ACQ
    xfrm_state_insert(net, x)
    raise OSError(EAGAIN, "a state is asked for")


def _larval_state(net: "Net", daddr: int, saddr: int, fl: "Flowi4", tmpl: XfrmTmpl, policy: XfrmPolicy) -> XfrmState:
    """Return a state to wait for the one that was asked for, for a flow only (``xfrm_init_tempstate``)."""
    ports = (0xFFFF, 0xFFFF) if fl.sport or fl.dport else (0, 0)
    sel = XfrmSelector(
        *(fl.daddr, fl.saddr, fl.dport, ports[0], fl.sport, ports[1], AF_INET, 32, 32, fl.proto, fl.oif, fl.uid)
    )
    net.xfrm.acq_seq += 1
    x = XfrmState(
        net,
        daddr=daddr,
        saddr=saddr,
        spi=tmpl.spi,
        proto=tmpl.proto,
        mode=tmpl.mode,
        reqid=tmpl.reqid,
        sel=sel,
        mark=policy.mark,
        if_id=policy.if_id,
        lft=XfrmLifetimeCfg(hard_add_expires_seconds=net.xfrm.sysctl_acq_expires),
    )
    x.seq = net.xfrm.acq_seq
    return x

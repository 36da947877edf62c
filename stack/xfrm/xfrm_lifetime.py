"""When policies and states are over (Linux: net/xfrm/xfrm_state.c, xfrm_policy.c; RFC 4301 §4.4.2.1)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ, TimerList, jiffies, mod_timer
from .xfrm import XfrmLifetimeCfg, XfrmLifetimeCur, XfrmPolicy

if TYPE_CHECKING:
    from ..core.net import Kernel, Net

__all__ = ["get_seconds", "xfrm_lifetime_over", "xfrm_policy_timer_start", "xfrm_timer_next"]


def get_seconds(kernel: "Kernel") -> int:
    """Return the time in seconds; never 0, which stands for never."""
    return kernel.now_ns() // 1_000_000_000 + 1


def _deadlines(lft: XfrmLifetimeCfg, cur: XfrmLifetimeCur, now: int, *, hard: bool) -> list[int]:
    """Return when the limits in seconds are reached; one since the first use moves on while there was none."""
    add = lft.hard_add_expires_seconds if hard else lft.soft_add_expires_seconds
    use = lft.hard_use_expires_seconds if hard else lft.soft_use_expires_seconds
    return [start + limit for start, limit in ((cur.add_time, add), (cur.use_time or now, use)) if limit]


def xfrm_lifetime_over(lft: XfrmLifetimeCfg, cur: XfrmLifetimeCur, now: int, *, hard: bool) -> bool:
    """Return whether a limit in seconds is reached."""
    return any(deadline <= now for deadline in _deadlines(lft, cur, now, hard=hard))


def xfrm_timer_next(timer: TimerList, lft: XfrmLifetimeCfg, cur: XfrmLifetimeCur, dying: bool) -> None:
    """Have a timer end when the next limit in seconds is reached, if there is one."""
    now = get_seconds(timer.kernel)
    ahead = _deadlines(lft, cur, now, hard=True) + ([] if dying else _deadlines(lft, cur, now, hard=False))
    if ahead:
        mod_timer(timer, jiffies(timer.kernel) + max(min(ahead) - now, 1) * HZ)


def xfrm_policy_timer_start(net: "Net", policy: XfrmPolicy) -> None:
    """Have a policy end after the seconds that it was given, if it was given any."""
    timer = TimerList(net.kernel, lambda: xfrm_policy_timer(net, policy, timer))
    xfrm_timer_next(timer, policy.lft, policy.curlft, False)


def xfrm_policy_timer(net: "Net", policy: XfrmPolicy, timer: TimerList) -> None:
    """Delete a policy whose time is over; say so once when it is about to be."""
    from .xfrm_policy import xfrm_policy_delete  # Both are built on this module.
    from .xfrm_user_notify import xfrm_send_policy_notify_expire

    if policy.dead:
        return
    now = get_seconds(net.kernel)
    if xfrm_lifetime_over(policy.lft, policy.curlft, now, hard=True):
        xfrm_policy_delete(net, policy)
        xfrm_send_policy_notify_expire(net, policy, hard=True)
        return
    if not policy.dying and xfrm_lifetime_over(policy.lft, policy.curlft, now, hard=False):
        policy.dying = True
        xfrm_send_policy_notify_expire(net, policy, hard=False)
    xfrm_timer_next(timer, policy.lft, policy.curlft, policy.dying)

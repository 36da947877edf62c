"""Addresses that are good for some time only, as DHCP gives them (Linux: net/ipv4/devinet.c)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ, TimerList, del_timer, jiffies, mod_timer
from ..netlink.rtnetlink import Rtm
from .devinet import IFA_F_DEPRECATED, IFA_F_PERMANENT, InIfaddr, inet_del_ifa

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice

__all__ = ["INFINITY_LIFE_TIME", "ifa_lifetimes", "set_ifa_lifetime"]

INFINITY_LIFE_TIME = 0xFFFF_FFFF


def set_ifa_lifetime(dev: "NetDevice", ifa: InIfaddr, valid: int, preferred: int) -> None:
    """Say for how many seconds an address is good, and for how many it is preferred to others."""
    ifa.flags &= ~(IFA_F_PERMANENT | IFA_F_DEPRECATED)
    ifa.valid_lft, ifa.preferred_lft = valid, preferred
    if valid == INFINITY_LIFE_TIME:
        ifa.flags |= IFA_F_PERMANENT
    if not preferred:
        ifa.flags |= IFA_F_DEPRECATED
    ifa.tstamp = jiffies(dev.kernel)
    if ifa.timer is not None:
        del_timer(ifa.timer)
    if (valid, preferred) != (INFINITY_LIFE_TIME, INFINITY_LIFE_TIME):
        ifa.timer = TimerList(dev.kernel, lambda: check_lifetime(dev, ifa))
        _set_timer(ifa)


def _set_timer(ifa: InIfaddr) -> None:
    """Start an address's timer for what ends first."""
    ends = [] if ifa.valid_lft == INFINITY_LIFE_TIME else [ifa.valid_lft]
    if ifa.preferred_lft != INFINITY_LIFE_TIME and not ifa.flags & IFA_F_DEPRECATED:
        ends.append(ifa.preferred_lft)
    if ends and ifa.timer is not None:
        mod_timer(ifa.timer, ifa.tstamp + min(ends) * HZ)


def check_lifetime(dev: "NetDevice", ifa: InIfaddr) -> None:
    """Take an address away whose time is over, or prefer others to it."""
    from .devinet_netlink import rtmsg_ifa

    if dev.ip_ptr is None or ifa not in dev.ip_ptr.ifa_list:
        return
    age = (jiffies(dev.kernel) - ifa.tstamp) // HZ
    if ifa.valid_lft != INFINITY_LIFE_TIME and age >= ifa.valid_lft:
        inet_del_ifa(dev, ifa)
        return
    if ifa.preferred_lft != INFINITY_LIFE_TIME and age >= ifa.preferred_lft and not ifa.flags & IFA_F_DEPRECATED:
        ifa.flags |= IFA_F_DEPRECATED
        rtmsg_ifa(Rtm.NEWADDR, ifa)
    _set_timer(ifa)


def ifa_lifetimes(dev: "NetDevice", ifa: InIfaddr) -> tuple[int, int]:
    """Return for how many seconds more an address is preferred and good."""
    if ifa.flags & IFA_F_PERMANENT:
        return INFINITY_LIFE_TIME, INFINITY_LIFE_TIME
    preferred, valid = ifa.preferred_lft, ifa.valid_lft
    if preferred != INFINITY_LIFE_TIME:
        age = (jiffies(dev.kernel) - ifa.tstamp) // HZ
        preferred = max(preferred - age, 0)
        valid = valid if valid == INFINITY_LIFE_TIME else max(valid - age, 0)
    return preferred, valid

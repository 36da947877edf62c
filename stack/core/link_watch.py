"""Following the links of devices (Linux: net/core/link_watch.c, net/sched/sch_generic.c)."""

from typing import TYPE_CHECKING

from ..sched.sch_generic import dev_activate, dev_deactivate, noop_qdisc_ops
from .netdev_event import NetdevEvent, call_netdevice_notifiers
from .netdevice import (
    IFF_ALLMULTI,
    IFF_LOWER_UP,
    IFF_PROMISC,
    IFF_RUNNING,
    IFF_UP,
    LINK_STATE_LINKWATCH_PENDING,
    LINK_STATE_NOCARRIER,
    NetDevice,
    netif_carrier_ok,
    netif_running,
)
from .rtnetlink_event import RTM_NEWLINK, rtmsg_ifinfo
from .timer import HZ, NSEC_PER_JIFFY, jiffies

if TYPE_CHECKING:
    from .net import Kernel
    from .platform import Timer

__all__ = [
    "IF_OPER_DOWN",
    "IF_OPER_LOWERLAYERDOWN",
    "IF_OPER_UNKNOWN",
    "IF_OPER_UP",
    "LinkWatch",
    "dev_get_flags",
    "dev_get_iflink",
    "linkwatch_fire_event",
    "linkwatch_init_dev",
    "netdev_state_change",
    "netif_carrier_off",
    "netif_carrier_on",
    "netif_oper_up",
]

IF_OPER_UNKNOWN = 0  # RFC 2863 §6: the states of ifOperStatus that a device here can have.
IF_OPER_DOWN = 2
IF_OPER_LOWERLAYERDOWN = 3  # The device below, or at the other end, is down.
IF_OPER_UP = 6


class LinkWatch:
    """Devices of a host whose link came or went, until the stack has followed (Linux: ``lweventlist``).

    Links that flap are followed once a second; a link that comes is followed at once.
    """

    __slots__ = ("next_event", "pending", "timer")

    def __init__(self) -> None:
        self.pending: list[NetDevice] = []
        self.next_event = 0  # In jiffies.
        self.timer: Timer | None = None


def netif_carrier_on(dev: NetDevice) -> None:
    """Note that there is a link; the driver calls it."""
    if dev.state & LINK_STATE_NOCARRIER:
        dev.state &= ~LINK_STATE_NOCARRIER
        if dev.ifindex:  # Registered.
            dev.carrier_up_count += 1
            linkwatch_fire_event(dev)


def netif_carrier_off(dev: NetDevice) -> None:
    """Note that there is no link; the driver calls it."""
    if not dev.state & LINK_STATE_NOCARRIER:
        dev.state |= LINK_STATE_NOCARRIER
        if dev.ifindex:
            dev.carrier_down_count += 1
            linkwatch_fire_event(dev)


def netif_oper_up(dev: NetDevice) -> bool:
    """Return whether packets can pass, as far as the stack has followed the link."""
    return dev.operstate == IF_OPER_UP or dev.operstate == IF_OPER_UNKNOWN


def dev_get_flags(dev: NetDevice) -> int:
    """Return the flags as programs see them, ``IFF_RUNNING`` and ``IFF_LOWER_UP`` included."""
    counted = IFF_PROMISC | IFF_ALLMULTI  # Of these only what an administrator asked for.
    flags = dev.flags & ~counted | dev.gflags & counted
    if netif_running(dev):
        if netif_oper_up(dev):
            flags |= IFF_RUNNING
        if netif_carrier_ok(dev):
            flags |= IFF_LOWER_UP
    return flags


def dev_get_iflink(dev: NetDevice) -> int:
    """Return the number of the device that this one is on top of, or joined to; else its own."""
    get = dev.netdev_ops.ndo_get_iflink
    return dev.ifindex if get is None else get(dev)


def netdev_state_change(dev: NetDevice) -> None:
    """Tell everyone that a device that is up changed somehow."""
    if dev.flags & IFF_UP:
        call_netdevice_notifiers(NetdevEvent.CHANGE, dev)
        rtmsg_ifinfo(RTM_NEWLINK, dev, 0)


def rfc2863_policy(dev: NetDevice) -> None:
    """Set the operational state by the link."""
    if netif_carrier_ok(dev):
        dev.operstate = IF_OPER_UP
    else:
        dev.operstate = IF_OPER_DOWN if dev_get_iflink(dev) == dev.ifindex else IF_OPER_LOWERLAYERDOWN


def linkwatch_init_dev(dev: NetDevice) -> None:
    """Take a new device's link, when its driver said before that there is none."""
    if not netif_carrier_ok(dev):
        rfc2863_policy(dev)


def _is_urgent(dev: NetDevice) -> bool:
    """Return whether to follow at once: a link came, and the qdiscs are still to be started."""
    return netif_running(dev) and netif_carrier_ok(dev) and any(txq.qdisc.ops is noop_qdisc_ops for txq in dev.tx)


def linkwatch_fire_event(dev: NetDevice) -> None:
    """Have the stack follow a device's link, soon."""
    watch = dev.kernel.link_watch
    urgent = _is_urgent(dev)
    if not dev.state & LINK_STATE_LINKWATCH_PENDING:
        dev.state |= LINK_STATE_LINKWATCH_PENDING
        watch.pending.append(dev)
    elif not urgent:
        return
    linkwatch_schedule_work(dev.kernel, urgent)


def linkwatch_schedule_work(kernel: "Kernel", urgent: bool) -> None:
    """Set the time to follow: now if it is urgent, or once the last time is a second past."""
    watch = kernel.link_watch
    delay = watch.next_event - jiffies(kernel)
    if urgent or not 0 <= delay <= HZ:
        delay = 0
    if watch.timer is not None:
        if delay:
            return
        watch.timer.cancel()
    watch.timer = kernel.platform.timer(kernel.now_ns() + delay * NSEC_PER_JIFFY, lambda: linkwatch_event(kernel))


def linkwatch_event(kernel: "Kernel") -> None:
    """Follow the links of all devices that changed, unless a task is configuring devices: then a tick later."""
    watch = kernel.link_watch
    if kernel.rtnl.is_locked:
        watch.timer = kernel.platform.timer(kernel.now_ns() + NSEC_PER_JIFFY, lambda: linkwatch_event(kernel))
        return
    watch.timer = None
    watch.next_event = jiffies(kernel) + HZ
    with kernel.rtnl:
        pending, watch.pending = watch.pending, []
        for dev in pending:
            linkwatch_do_dev(dev)


def linkwatch_do_dev(dev: NetDevice) -> None:
    """Start or stop a device's qdiscs, as its link is now, and tell those who want to know."""
    dev.state &= ~LINK_STATE_LINKWATCH_PENDING
    rfc2863_policy(dev)
    if dev.flags & IFF_UP:
        if netif_carrier_ok(dev):
            dev_activate(dev)
        else:
            dev_deactivate(dev)
        netdev_state_change(dev)

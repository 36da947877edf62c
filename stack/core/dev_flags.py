"""Telling everyone that flags of a device changed (Linux: net/core/dev.c)."""

from typing import TYPE_CHECKING

from .netdev_event import NetdevEvent, call_netdevice_notifiers
from .netdevice import IFF_ALLMULTI, IFF_PROMISC, IFF_UP
from .rtnetlink_event import RTM_NEWLINK, rtmsg_ifinfo

if TYPE_CHECKING:
    from .netdevice import NetDevice

__all__ = ["IFF_VOLATILE", "__dev_notify_flags"]

# Flags that a device has by itself: IFF_LOOPBACK, POINTOPOINT, BROADCAST, ECHO, MASTER, SLAVE and those of its link.
IFF_VOLATILE = 0x70C5A


def __dev_notify_flags(dev: "NetDevice", old_flags: int, changed: int) -> None:
    """Notify of flags that changed, those that only an administrator sees included."""
    if changed:
        rtmsg_ifinfo(RTM_NEWLINK, dev, changed)
    if (dev.flags ^ old_flags) & IFF_UP:
        call_netdevice_notifiers(NetdevEvent.UP if dev.flags & IFF_UP else NetdevEvent.DOWN, dev)
    if dev.flags & IFF_UP and (dev.flags ^ old_flags) & ~(IFF_UP | IFF_PROMISC | IFF_ALLMULTI | IFF_VOLATILE):
        call_netdevice_notifiers(NetdevEvent.CHANGE, dev)

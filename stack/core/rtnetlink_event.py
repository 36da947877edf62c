"""Notifications about devices (Linux: net/core/rtnetlink.c)."""

from typing import TYPE_CHECKING

from .netdev_event import NetdevEvent

if TYPE_CHECKING:
    from ..netlink.message import Nlmsghdr
    from .netdevice import NetDevice

__all__ = ["RTM_DELLINK", "RTM_NEWLINK", "rtmsg_ifinfo", "rtnetlink_event"]

RTM_NEWLINK = 16
RTM_DELLINK = 17

_EVENTS = {
    NetdevEvent.CHANGEMTU: 0,
    NetdevEvent.CHANGEADDR: 0,
    NetdevEvent.CHANGENAME: 0,
    NetdevEvent.FEAT_CHANGE: 2,  # IFLA_EVENT_FEATURES
    NetdevEvent.CHANGEUPPER: 0,
    NetdevEvent.CHANGE_TX_QUEUE_LEN: 0,
}


def rtmsg_ifinfo(
    kind: int, dev: "NetDevice", change: int, event: int = 0, portid: int = 0, nlh: "Nlmsghdr | None" = None
) -> None:
    """Notify of a device: ``RTM_NEWLINK`` or ``RTM_DELLINK``, and which flags have changed.

    One that a request is still making is notified of when it is done, one that is not registered never.
    """
    from ..netlink.rtnetlink import Rtnlgrp
    from .rtnetlink_link import if_nlmsg_size, rtnl_fill_ifinfo
    from .rtnetlink_rcv import rtnl_broadcast

    if dev in dev.kernel.rtnl_initializing or dev.net.devices.get(dev.ifindex) is not dev:
        return
    size = if_nlmsg_size(dev, 0)
    rtnl_broadcast(
        dev.net,
        Rtnlgrp.LINK,
        size,
        lambda skb: rtnl_fill_ifinfo(skb, dev, kind, 0, 0, change, 0, 0, event),
        portid,
        nlh,
    )


def rtnetlink_event(event: NetdevEvent, dev: "NetDevice") -> None:
    """Notify of what happened to a device, if what did it does not do so itself."""
    if event in _EVENTS:
        rtmsg_ifinfo(RTM_NEWLINK, dev, 0, _EVENTS[event])

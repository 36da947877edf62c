"""What happens to devices, and telling those who want to know (Linux: net/core/dev.c)."""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .netdevice import NetDevice

__all__ = ["NetdevEvent", "call_netdevice_notifiers"]


class NetdevEvent(IntEnum):
    """What happened to a device (Linux: ``enum netdev_cmd``)."""

    UP = 1
    DOWN = 2
    CHANGE = 4
    REGISTER = 5
    UNREGISTER = 6
    CHANGEMTU = 7
    CHANGEADDR = 8
    GOING_DOWN = 9
    CHANGENAME = 10
    FEAT_CHANGE = 11
    BONDING_FAILOVER = 12
    NOTIFY_PEERS = 19
    CHANGEUPPER = 21
    CHANGE_TX_QUEUE_LEN = 30


def call_netdevice_notifiers(event: NetdevEvent, dev: "NetDevice") -> None:
    """Tell everyone who registered, in the order of registration."""
    for notifier in tuple(dev.net.netdev_chain):
        notifier(event, dev)

"""Devices on top of others: masters and what is enslaved to them (Linux: net/core/dev.c, net/core/rtnetlink.c)."""

from errno import EBUSY, EOPNOTSUPP
from typing import TYPE_CHECKING

from .link_watch import netif_carrier_off, netif_carrier_on
from .netdev_event import NetdevEvent, call_netdevice_notifiers
from .netdevice import netif_carrier_ok

if TYPE_CHECKING:
    from .netdevice import NetDevice

__all__ = [
    "do_set_master",
    "netdev_master_upper_dev_get",
    "netdev_master_upper_dev_link",
    "netdev_upper_dev_unlink",
    "netif_stacked_transfer_operstate",
]


def netdev_master_upper_dev_get(dev: "NetDevice") -> "NetDevice | None":
    """Return the device that this one is enslaved to."""
    return dev.master


def _stands_on(dev: "NetDevice", other: "NetDevice") -> bool:
    below = dev.slaves if dev.lower_dev is None else [*dev.slaves, dev.lower_dev]
    return dev is other or any(_stands_on(lower, other) for lower in below)


def netdev_master_upper_dev_link(dev: "NetDevice", master: "NetDevice") -> None:
    """Enslave a device to another one, and tell everyone.

    Raises
    ------
    OSError
        ``EBUSY`` if it has a master, or stands above this one.
    """
    if dev.master is not None:
        raise OSError(EBUSY, f"{dev.name} is enslaved to {dev.master.name}")
    if _stands_on(dev, master):
        raise OSError(EBUSY, f"{dev.name} stands on {master.name}")
    dev.master = master
    master.slaves.append(dev)
    call_netdevice_notifiers(NetdevEvent.CHANGEUPPER, dev)


def netdev_upper_dev_unlink(dev: "NetDevice", master: "NetDevice") -> None:
    """End that."""
    assert dev.master is master
    dev.master = None
    master.slaves.remove(dev)
    call_netdevice_notifiers(NetdevEvent.CHANGEUPPER, dev)


def netif_stacked_transfer_operstate(lower: "NetDevice", dev: "NetDevice") -> None:
    """Give a device the link of the one below it."""
    if netif_carrier_ok(lower):
        netif_carrier_on(dev)
    else:
        netif_carrier_off(dev)


def do_set_master(dev: "NetDevice", master: "NetDevice | None") -> None:
    """Enslave a device to another one, whose driver does it: ``ip link set DEV master MASTER``; None ends it.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` if the other one takes no slaves; what ``ndo_add_slave`` and ``ndo_del_slave`` raise.
    """
    if dev.master is master:
        return
    if dev.master is not None:
        del_slave = dev.master.netdev_ops.ndo_del_slave
        if del_slave is None:
            raise OSError(EOPNOTSUPP, f"{dev.master.name} does not let slaves go")
        del_slave(dev.master, dev)
    if master is not None:
        add_slave = master.netdev_ops.ndo_add_slave
        if add_slave is None:
            raise OSError(EOPNOTSUPP, f"{master.name} takes no slaves")
        add_slave(master, dev)

"""Flags, names and other settings of devices that an administrator changes (Linux: net/core/dev.c)."""

from errno import EINVAL, EOPNOTSUPP
from typing import TYPE_CHECKING

from .dev_addr_lists import __dev_set_allmulti, __dev_set_promiscuity, dev_set_rx_mode
from .dev_flags import IFF_VOLATILE, __dev_notify_flags
from .dev_register import __dev_close, __dev_open, dev_free_name
from .netdev_event import NetdevEvent, call_netdevice_notifiers
from .netdevice import IFF_ALLMULTI, IFF_MULTICAST, IFF_NOARP, IFF_PROMISC, IFF_UP

if TYPE_CHECKING:
    from .netdevice import NetDevice

__all__ = [
    "__dev_change_flags",
    "dev_change_carrier",
    "dev_change_flags",
    "dev_change_name",
    "dev_change_tx_queue_len",
    "dev_set_alias",
    "rtnl_dev_get_flags",
]

# Flags that are set as asked; those without a name here are IFF_DEBUG, NOTRAILERS, PORTSEL, AUTOMEDIA and DYNAMIC.
_PLAIN = 0x0004 | 0x0020 | 0x2000 | 0x4000 | 0x8000 | IFF_NOARP | IFF_MULTICAST
_COUNTED = IFF_PROMISC | IFF_ALLMULTI


def rtnl_dev_get_flags(dev: "NetDevice") -> int:
    """Return the flags as an administrator has set them."""
    return dev.flags & ~_COUNTED | dev.gflags & _COUNTED


def __dev_change_flags(dev: "NetDevice", flags: int) -> None:
    """Set flags, and bring the device up or down if they say so; the caller holds the rtnl mutex.

    Raises
    ------
    OSError
        What ``ndo_open`` raises.
    """
    old = dev.flags
    dev.flags = flags & _PLAIN | old & (IFF_UP | IFF_VOLATILE | _COUNTED)
    change = dev.netdev_ops.ndo_change_rx_flags
    if (old ^ flags) & IFF_MULTICAST and change is not None:
        change(dev, IFF_MULTICAST)
    dev_set_rx_mode(dev)
    if (old ^ flags) & IFF_UP:
        if old & IFF_UP:
            __dev_close(dev)
        else:
            __dev_open(dev)
    for flag, count in ((IFF_PROMISC, __dev_set_promiscuity), (IFF_ALLMULTI, __dev_set_allmulti)):
        if (flags ^ dev.gflags) & flag:
            dev.gflags ^= flag
            if count(dev, 1 if flags & flag else -1):
                dev_set_rx_mode(dev)


def dev_change_flags(dev: "NetDevice", flags: int) -> None:
    """Set flags, and tell everyone: ``ip link set DEV up promisc on arp off``.

    Raises
    ------
    OSError
        What ``ndo_open`` raises.
    """
    with dev.kernel.rtnl:
        old, old_gflags = dev.flags, dev.gflags
        __dev_change_flags(dev, flags)
        __dev_notify_flags(dev, old, old ^ dev.flags | old_gflags ^ dev.gflags)


def dev_change_name(dev: "NetDevice", name: str) -> None:
    """Give a device another name: ``ip link set DEV name NAME``; ``%d`` in it becomes the first free number.

    Raises
    ------
    OSError
        ``EINVAL`` for what is no name, ``EEXIST``.
    """
    with dev.kernel.rtnl:
        names = dev.net.dev_by_name
        if name == dev.name:
            return
        name = dev_free_name(dev.net, name)
        del names[dev.name]
        dev.name = name
        names[name] = dev
        call_netdevice_notifiers(NetdevEvent.CHANGENAME, dev)


def dev_change_tx_queue_len(dev: "NetDevice", length: int) -> None:
    """Set how many packets a new qdisc of the device holds by default: ``ip link set DEV txqueuelen N``."""
    if length != dev.tx_queue_len:
        dev.tx_queue_len = length
        call_netdevice_notifiers(NetdevEvent.CHANGE_TX_QUEUE_LEN, dev)


def dev_set_alias(dev: "NetDevice", alias: bytes) -> None:
    """Give a device a text of the administrator's; an empty one takes it away.

    Raises
    ------
    OSError
        ``EINVAL`` if it is longer than 255 octets.
    """
    if len(alias) > 255:
        raise OSError(EINVAL, "an alias has at most 255 octets")
    dev.ifalias = alias


def dev_change_carrier(dev: "NetDevice", carrier: bool) -> None:
    """Let a device have a link, or none, if its driver leaves that to the administrator (``dummy``).

    Raises
    ------
    OSError
        ``EOPNOTSUPP``.
    """
    change = dev.netdev_ops.ndo_change_carrier
    if change is None:
        raise OSError(EOPNOTSUPP, f"{dev.name} has its link from elsewhere")
    with dev.kernel.rtnl:
        change(dev, carrier)

"""Devices coming and going, up and down, and changing (Linux: net/core/dev.c)."""

from dataclasses import replace
from errno import EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, ENOTSUP
from typing import TYPE_CHECKING

from ..netlink.attr import NetlinkError
from ..sched.sch_generic import dev_activate, dev_deactivate, dev_init_scheduler, dev_shutdown
from .dev_addr_lists import dev_mc_flush, dev_set_rx_mode, dev_uc_flush
from .link_watch import dev_get_iflink, linkwatch_init_dev
from .netdev_event import NetdevEvent, call_netdevice_notifiers
from .netdevice import (
    IFF_RUNNING,
    IFF_UP,
    LINK_STATE_START,
    NetDevice,
    Stats64,
    netif_running,
)
from .rtnetlink_event import RTM_DELLINK, RTM_NEWLINK, rtmsg_ifinfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .net import Net

__all__ = [
    "NetdevEvent",
    "__dev_close",
    "__dev_open",
    "call_netdevice_notifiers",
    "dev_change_features",
    "dev_close",
    "dev_close_many",
    "dev_free_name",
    "dev_get_by_index",
    "dev_get_by_name",
    "dev_get_iflink",
    "dev_get_stats",
    "dev_open",
    "dev_set_mac_address",
    "dev_set_mtu",
    "dev_valid_name",
    "netif_close",
    "netif_open",
    "netif_set_mac_address",
    "netif_set_mtu",
    "register_netdevice",
    "register_netdevice_notifier",
    "unregister_netdevice",
    "unregister_netdevice_notifier",
    "unregister_netdevice_queue",
]

_ALL = 0xFFFF_FFFF  # All flags may have changed: of a new device, or one that goes.
_NO_MAX_MTU = 0x7FFF_FFFF
_IFNAMSIZ = 16


def register_netdevice_notifier(net: "Net", notifier: "Callable[[NetdevEvent, NetDevice], None]") -> None:
    """Have ``notifier(event, dev)`` called for the devices of a namespace; those that exist are announced at once."""
    net.netdev_chain.append(notifier)
    for dev in net.devices.values():
        notifier(NetdevEvent.REGISTER, dev)
        if netif_running(dev):
            notifier(NetdevEvent.UP, dev)


def unregister_netdevice_notifier(net: "Net", notifier: "Callable[[NetdevEvent, NetDevice], None]") -> None:
    """Have it called no more."""
    net.netdev_chain.remove(notifier)


def dev_get_by_name(net: "Net", name: str) -> NetDevice | None:
    """Return the device of that name."""
    return net.dev_by_name.get(name)


def dev_get_by_index(net: "Net", ifindex: int) -> NetDevice | None:
    """Return the device of that number."""
    return net.devices.get(ifindex)


def dev_valid_name(name: str) -> bool:
    """Return whether a device can have a name.

    Examples
    --------
    >>> dev_valid_name("eth0"), dev_valid_name("a/b"), dev_valid_name("a name"), dev_valid_name("..")
    (True, False, False, False)
    """
    octets = name.encode("utf-8", "surrogateescape")
    if not 0 < len(octets) < _IFNAMSIZ or name in (".", ".."):
        return False
    return not any(char in "/:" or char.isspace() for char in name)


def dev_free_name(net: "Net", pattern: str) -> str:
    """Return a name for a device that no other one has; ``%d`` in it becomes the first free number.

    Raises
    ------
    OSError
        ``EINVAL`` for what is no name, ``EEXIST``.
    """
    number = 0
    name = pattern
    if "%d" in pattern:
        while (name := pattern.replace("%d", str(number), 1)) in net.dev_by_name:
            number += 1
    if not dev_valid_name(name):
        raise OSError(EINVAL, f"{name!r} is no name for a device")
    if name in net.dev_by_name:
        raise OSError(EEXIST, f"there is a device {name}")
    return name


def register_netdevice(dev: NetDevice) -> None:
    """Make a device known, with a name and a number of its own.

    Raises
    ------
    OSError
        ``EINVAL`` or ``EEXIST`` for its name; what ``ndo_init`` raises.
    """
    with dev.kernel.rtnl:
        net = dev.net
        dev.name = dev_free_name(net, dev.name)
        if dev.netdev_ops.ndo_init is not None:
            dev.netdev_ops.ndo_init(dev)
        net.ifindex += 1
        dev.ifindex = net.ifindex
        dev_init_scheduler(dev)
        linkwatch_init_dev(dev)
        net.devices[dev.ifindex] = dev
        net.dev_by_name[dev.name] = dev
        net.dev_base_seq += 1
        call_netdevice_notifiers(NetdevEvent.REGISTER, dev)
        if dev.kernel.rtnl_creating:
            dev.kernel.rtnl_initializing.add(dev)  # The request notifies of it when it is as it wants it.
        rtmsg_ifinfo(RTM_NEWLINK, dev, _ALL)


def unregister_netdevice(dev: NetDevice) -> None:
    """Take a device down and forget it.

    Raises
    ------
    OSError
        ``ENODEV`` if it is not registered.
    """
    with dev.kernel.rtnl:
        unregister_netdevice_queue(dev)


def unregister_netdevice_queue(dev: NetDevice) -> None:
    """Do the same for a caller that holds ``rtnl``."""
    net = dev.net
    if net.devices.get(dev.ifindex) is not dev:
        raise OSError(ENODEV, f"{dev.name} is not registered")
    dev_close_many([dev])
    dev_shutdown(dev)
    call_netdevice_notifiers(NetdevEvent.UNREGISTER, dev)
    rtmsg_ifinfo(RTM_DELLINK, dev, _ALL)  # While the driver still knows what to tell.
    dev_uc_flush(dev)
    dev_mc_flush(dev)
    if dev.netdev_ops.ndo_uninit is not None:
        dev.netdev_ops.ndo_uninit(dev)
    del net.devices[dev.ifindex]
    del net.dev_by_name[dev.name]
    net.dev_base_seq += 1
    dev.kernel.rtnl_initializing.discard(dev)


def dev_open(dev: NetDevice) -> None:
    """Bring a device up: ``ip link set DEV up``.

    Raises
    ------
    OSError
        What ``ndo_open`` raises; the device stays down.
    """
    with dev.kernel.rtnl:
        netif_open(dev)


def netif_open(dev: NetDevice) -> None:
    """Do the same for a caller that holds ``rtnl``."""
    if not dev.flags & IFF_UP:
        __dev_open(dev)
        rtmsg_ifinfo(RTM_NEWLINK, dev, IFF_UP | IFF_RUNNING)
        call_netdevice_notifiers(NetdevEvent.UP, dev)


def __dev_open(dev: NetDevice) -> None:
    dev.state |= LINK_STATE_START
    if dev.netdev_ops.ndo_open is not None:
        try:
            dev.netdev_ops.ndo_open(dev)
        except OSError:
            dev.state &= ~LINK_STATE_START
            raise
    dev.flags |= IFF_UP
    dev_set_rx_mode(dev)
    dev_activate(dev)


def dev_close(dev: NetDevice) -> None:
    """Take a device down; what waits in its qdiscs is dropped."""
    with dev.kernel.rtnl:
        netif_close(dev)


def netif_close(dev: NetDevice) -> None:
    """Do the same for a caller that holds ``rtnl``."""
    dev_close_many([dev])


def dev_close_many(devs: "Sequence[NetDevice]") -> None:
    """Take those devices down that are up; the caller holds the rtnl mutex."""
    devs = [dev for dev in devs if dev.flags & IFF_UP]
    for dev in devs:
        __dev_close(dev)
    for dev in devs:
        rtmsg_ifinfo(RTM_NEWLINK, dev, IFF_UP | IFF_RUNNING)
        call_netdevice_notifiers(NetdevEvent.DOWN, dev)


def __dev_close(dev: NetDevice) -> None:
    call_netdevice_notifiers(NetdevEvent.GOING_DOWN, dev)
    dev.state &= ~LINK_STATE_START
    dev_deactivate(dev)
    if dev.netdev_ops.ndo_stop is not None:
        dev.netdev_ops.ndo_stop(dev)
    dev.flags &= ~IFF_UP


def dev_set_mtu(dev: NetDevice, mtu: int) -> None:
    """Set the IP MTU.

    Raises
    ------
    OSError
        ``EINVAL`` outside the device's bounds; what ``ndo_change_mtu`` raises.
    """
    with dev.kernel.rtnl:
        netif_set_mtu(dev, mtu)


def netif_set_mtu(dev: NetDevice, mtu: int) -> None:
    """Do the same for a caller that holds ``rtnl``."""
    capabilities = dev.capabilities
    bounds = f"{dev.name} takes an MTU of {capabilities.min_mtu}..{capabilities.max_mtu}, not {mtu}"
    if mtu < capabilities.min_mtu:
        raise NetlinkError(EINVAL, f"mtu less than device minimum: {bounds}")
    if mtu > (capabilities.max_mtu or _NO_MAX_MTU):
        raise NetlinkError(EINVAL, f"mtu greater than device maximum: {bounds}")
    if mtu == dev.mtu:
        return
    if dev.netdev_ops.ndo_change_mtu is not None:
        dev.netdev_ops.ndo_change_mtu(dev, mtu)
    else:
        dev.mtu = mtu
    call_netdevice_notifiers(NetdevEvent.CHANGEMTU, dev)


def dev_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Set the link address.

    Raises
    ------
    OSError
        ``EINVAL`` for the wrong length, ``EADDRNOTAVAIL`` for zeros or a group's address; what
        ``ndo_set_mac_address`` raises.
    """
    with dev.kernel.rtnl:
        netif_set_mac_address(dev, addr)


def netif_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Do the same for a caller that holds ``rtnl``."""
    if len(addr) != dev.addr_len:
        raise OSError(EINVAL, f"{addr.hex(':')} is no address for {dev.name}")
    if addr[0] & 1 or not any(addr):  # eth_mac_addr(), which all have here.
        raise OSError(EADDRNOTAVAIL, f"{addr.hex(':')} is no address of one station")
    if dev.netdev_ops.ndo_set_mac_address is not None:
        dev.netdev_ops.ndo_set_mac_address(dev, addr)
    else:
        dev.dev_addr = bytes(addr)
    call_netdevice_notifiers(NetdevEvent.CHANGEADDR, dev)


def dev_change_features(dev: NetDevice, wanted: int, mask: int = -1) -> None:
    """Switch features on and off: ``ethtool -K``; ``mask`` says which.

    Raises
    ------
    OSError
        ``ENOTSUP`` for features that the device does not have; what ``ndo_set_features`` raises.
    """
    with dev.kernel.rtnl:
        features = (dev.features & ~mask) | (wanted & mask)
        missing = (features ^ dev.features) & ~dev.hw_features
        if missing:
            raise OSError(ENOTSUP, f"{dev.name} has no features {missing:#x}")
        if features == dev.features:
            return
        if dev.netdev_ops.ndo_set_features is not None:
            dev.netdev_ops.ndo_set_features(dev, features)
        dev.features = features
        call_netdevice_notifiers(NetdevEvent.FEAT_CHANGE, dev)


def dev_get_stats(dev: NetDevice) -> Stats64:
    """Return the device's counters: its driver's, and what the stack dropped."""
    get = dev.netdev_ops.ndo_get_stats64
    stats = replace(dev.stats if get is None else get(dev))
    core = dev.core_stats
    stats.rx_dropped += core.rx_dropped
    stats.tx_dropped += core.tx_dropped
    stats.rx_nohandler += core.rx_nohandler
    stats.rx_otherhost_dropped += core.rx_otherhost_dropped
    return stats

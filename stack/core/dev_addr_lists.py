"""What a device shall receive besides its own address (Linux: net/core/dev_addr_lists.c, net/core/dev.c)."""

from errno import EINVAL, ENOENT, EOVERFLOW

from .dev_flags import __dev_notify_flags
from .netdevice import (
    IFF_ALLMULTI,
    IFF_PROMISC,
    IFF_UNICAST_FLT,
    IFF_UP,
    LINK_STATE_PRESENT,
    HwAddrList,
    NetDevice,
)

__all__ = [
    "__dev_set_allmulti",
    "__dev_set_promiscuity",
    "__dev_set_rx_mode",
    "dev_mc_add",
    "dev_mc_del",
    "dev_mc_flush",
    "dev_mc_sync",
    "dev_mc_unsync",
    "dev_set_allmulti",
    "dev_set_promiscuity",
    "dev_set_rx_mode",
    "dev_uc_add",
    "dev_uc_del",
    "dev_uc_flush",
    "dev_uc_sync",
    "dev_uc_unsync",
]


def dev_set_rx_mode(dev: NetDevice) -> None:
    """Have the driver take over what the device shall receive."""
    __dev_set_rx_mode(dev)


def __dev_set_rx_mode(dev: NetDevice) -> None:
    """Have the driver take over what the device shall receive, if the device is up."""
    if not dev.flags & IFF_UP or not dev.state & LINK_STATE_PRESENT:
        return
    if not dev.priv_flags & IFF_UNICAST_FLT and bool(dev.uc) != dev.uc_promisc:
        # A device that filters by one address only has to take all frames for the sake of a second one.
        dev.uc_promisc = not dev.uc_promisc
        __dev_set_promiscuity(dev, 1 if dev.uc_promisc else -1)
    if dev.netdev_ops.ndo_set_rx_mode is not None:
        dev.netdev_ops.ndo_set_rx_mode(dev)


def _count(users: int, inc: int, what: str) -> int:
    if users + inc < 0:
        raise OSError(EOVERFLOW, f"{what} was given up more often than asked for")
    return users + inc


def _switch(dev: NetDevice, flag: int, on: bool) -> bool:
    """Set or take away a flag; return whether that changed something."""
    if bool(dev.flags & flag) == on:
        return False
    dev.flags ^= flag
    if dev.netdev_ops.ndo_change_rx_flags is not None:
        dev.netdev_ops.ndo_change_rx_flags(dev, flag)
    return True


def __dev_set_promiscuity(dev: NetDevice, inc: int) -> bool:
    dev.promiscuity = _count(dev.promiscuity, inc, "promiscuity")
    return _switch(dev, IFF_PROMISC, dev.promiscuity > 0)


def dev_set_promiscuity(dev: NetDevice, inc: int) -> None:
    """Count those who want all frames of the device up or down.

    Raises
    ------
    OSError
        ``EOVERFLOW`` if the number were negative.
    """
    old = dev.flags
    if __dev_set_promiscuity(dev, inc):
        __dev_notify_flags(dev, old, IFF_PROMISC)
        dev_set_rx_mode(dev)


def __dev_set_allmulti(dev: NetDevice, inc: int) -> bool:
    dev.allmulti = _count(dev.allmulti, inc, "allmulti")
    return _switch(dev, IFF_ALLMULTI, dev.allmulti > 0)


def dev_set_allmulti(dev: NetDevice, inc: int) -> None:
    """Count those who want the frames to all groups up or down.

    Raises
    ------
    OSError
        ``EOVERFLOW`` if the number were negative.
    """
    old = dev.flags
    if __dev_set_allmulti(dev, inc):
        dev_set_rx_mode(dev)
        __dev_notify_flags(dev, old, old ^ dev.flags if not dev.gflags & IFF_ALLMULTI else 0)


def __hw_addr_add(addresses: HwAddrList, dev: NetDevice, addr: bytes) -> None:
    if len(addr) != dev.addr_len:
        raise OSError(EINVAL, f"{addr.hex(':')} is no address for {dev.name}")
    addresses.list[addr] = addresses.list.get(addr, 0) + 1


def __hw_addr_del(addresses: HwAddrList, addr: bytes) -> None:
    users = addresses.list.get(addr, 0)
    if not users:
        raise OSError(ENOENT, f"{addr.hex(':')} is not in the list")
    if users == 1:
        del addresses.list[addr]
    else:
        addresses.list[addr] = users - 1


def dev_uc_add(dev: NetDevice, addr: bytes) -> None:
    """Have the device receive one more unicast address.

    Raises
    ------
    OSError
        ``EINVAL`` for the wrong length.
    """
    __hw_addr_add(dev.uc, dev, addr)
    __dev_set_rx_mode(dev)


def dev_uc_del(dev: NetDevice, addr: bytes) -> None:
    """Take back one ``dev_uc_add``.

    Raises
    ------
    OSError
        ``ENOENT``.
    """
    __hw_addr_del(dev.uc, addr)
    __dev_set_rx_mode(dev)


def __hw_addr_sync(to: HwAddrList, to_dev: NetDevice, source: HwAddrList, wanted: set[bytes]) -> None:
    """Have a device below receive ``wanted`` of what one above shall receive; the driver is told if that is new."""
    synced = source.synced.get(to_dev, set[bytes]())
    if wanted == synced:
        return
    for addr in [addr for addr in source if addr in wanted - synced]:
        __hw_addr_add(to, to_dev, addr)
    for addr in synced - wanted:
        if addr in to.list:  # Not if it was flushed.
            __hw_addr_del(to, addr)
    if wanted:
        source.synced[to_dev] = wanted
    else:
        del source.synced[to_dev]
    __dev_set_rx_mode(to_dev)


def dev_uc_sync(to: NetDevice, source: NetDevice) -> None:
    """Have ``to`` receive the further unicast addresses of ``source``, a device above it (also ``_multiple``)."""
    __hw_addr_sync(to.uc, to, source.uc, set(source.uc))


def dev_uc_unsync(to: NetDevice, source: NetDevice) -> None:
    """End that."""
    __hw_addr_sync(to.uc, to, source.uc, set())


def dev_mc_sync(to: NetDevice, source: NetDevice) -> None:
    """Have ``to`` receive the groups of ``source``, a device above it (also ``_multiple``)."""
    __hw_addr_sync(to.mc, to, source.mc, set(source.mc))


def dev_mc_unsync(to: NetDevice, source: NetDevice) -> None:
    """End that."""
    __hw_addr_sync(to.mc, to, source.mc, set())


def dev_uc_flush(dev: NetDevice) -> None:
    """Forget all further unicast addresses, when the device goes."""
    dev.uc.list.clear()


def dev_mc_add(dev: NetDevice, addr: bytes) -> None:
    """Have the device receive a group; the driver is told at each call.

    Raises
    ------
    OSError
        ``EINVAL`` for the wrong length.
    """
    __hw_addr_add(dev.mc, dev, addr)
    __dev_set_rx_mode(dev)


def dev_mc_del(dev: NetDevice, addr: bytes) -> None:
    """Take back one ``dev_mc_add``.

    Raises
    ------
    OSError
        ``ENOENT``.
    """
    __hw_addr_del(dev.mc, addr)
    __dev_set_rx_mode(dev)


def dev_mc_flush(dev: NetDevice) -> None:
    """Forget all groups, when the device goes."""
    dev.mc.list.clear()

"""Devices above another one: making, changing, and following what happens to it (Linux: drivers/net/macvlan.c)."""

from collections.abc import Iterator
from enum import IntEnum
from errno import EADDRNOTAVAIL, EINVAL
from typing import TYPE_CHECKING

from ..core.dev_addr_lists import dev_set_promiscuity
from ..core.dev_register import (
    netif_set_mtu,
    register_netdevice,
    register_netdevice_notifier,
    unregister_netdevice,
    unregister_netdevice_queue,
)
from ..core.dev_upper import netif_stacked_transfer_operstate
from ..core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ..core.netdevice import IFF_BROADCAST, IFF_MULTICAST, IFF_NO_QUEUE, IFF_UNICAST_FLT, IFF_UP, netif_keep_dst
from ..core.rtnl_link import LinkData, RtnlLinkOps
from ..ethernet.eth import eth_hw_addr_random, ether_setup
from .macvlan import macvlan_ops, macvlan_sync_address, vlan_of
from .macvlan_port import (
    MACVLAN_FLAG_NODST,
    MACVLAN_FLAG_NOPROMISC,
    MACVLAN_MODE_BRIDGE,
    MACVLAN_MODE_PASSTHRU,
    MACVLAN_MODE_PRIVATE,
    MACVLAN_MODE_SOURCE,
    MACVLAN_MODE_VEPA,
    MacvlanDevice,
    macvlan_features,
    macvlan_port_get,
    update_port_bc_queue_len,
)

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = [
    "IFLA_MACVLAN_BC_QUEUE_LEN",
    "IFLA_MACVLAN_BC_QUEUE_LEN_USED",
    "IFLA_MACVLAN_FLAGS",
    "IFLA_MACVLAN_MACADDR",
    "IFLA_MACVLAN_MACADDR_COUNT",
    "IFLA_MACVLAN_MACADDR_DATA",
    "IFLA_MACVLAN_MACADDR_MODE",
    "IFLA_MACVLAN_MODE",
    "MacvlanMacaddrMode",
    "macvlan_changelink",
    "macvlan_dellink",
    "macvlan_fill_info",
    "macvlan_link_ops",
    "macvlan_newlink",
]

IFLA_MACVLAN_MODE = 1
IFLA_MACVLAN_FLAGS = 2
IFLA_MACVLAN_MACADDR_MODE = 3
IFLA_MACVLAN_MACADDR = 4
IFLA_MACVLAN_MACADDR_DATA = 5
IFLA_MACVLAN_MACADDR_COUNT = 6
IFLA_MACVLAN_BC_QUEUE_LEN = 7
IFLA_MACVLAN_BC_QUEUE_LEN_USED = 8

_MODES = (
    MACVLAN_MODE_PRIVATE,
    MACVLAN_MODE_VEPA,
    MACVLAN_MODE_BRIDGE,
    MACVLAN_MODE_PASSTHRU,
    MACVLAN_MODE_SOURCE,
)


class MacvlanMacaddrMode(IntEnum):
    """What is done to the list of senders (Linux: ``enum macvlan_macaddr_mode``)."""

    ADD = 0
    DEL = 1
    FLUSH = 2
    SET = 3


def macvlan_validate(data: LinkData) -> None:
    """Check that values can be right.

    Raises
    ------
    OSError
        ``EINVAL``, ``EADDRNOTAVAIL``.
    """
    if data.get(IFLA_MACVLAN_MODE, MACVLAN_MODE_VEPA) not in _MODES:
        raise OSError(EINVAL, f"there is no macvlan mode {data[IFLA_MACVLAN_MODE]}")
    if data.get(IFLA_MACVLAN_FLAGS, 0) & ~(MACVLAN_FLAG_NOPROMISC | MACVLAN_FLAG_NODST):
        raise OSError(EINVAL, f"there are no macvlan flags {data[IFLA_MACVLAN_FLAGS]:#x}")
    mode = data.get(IFLA_MACVLAN_MACADDR_MODE)
    if mode is not None and mode not in tuple(MacvlanMacaddrMode):
        raise OSError(EINVAL, f"there is no way {mode} to change the senders")
    addr = data.get(IFLA_MACVLAN_MACADDR)
    if addr is not None and not _is_valid(addr):
        raise OSError(EADDRNOTAVAIL, f"{bytes(addr).hex(':')} is no address of a sender")


def _is_valid(addr: bytes) -> bool:
    return len(addr) == 6 and not addr[0] & 1 and any(addr)


def _addresses(attributes: bytes) -> Iterator[bytes]:
    """Yield the addresses of a nested list: attributes of four octets and six, padded to twelve."""
    for at in range(0, len(attributes), 12):
        addr = attributes[at + 4 : at + 10]
        if attributes[at + 2] | attributes[at + 3] << 8 == IFLA_MACVLAN_MACADDR:
            if not _is_valid(addr):
                raise OSError(EADDRNOTAVAIL, f"{addr.hex(':')} is no address of a sender")
            yield addr


def macvlan_changelink_sources(vlan: MacvlanDevice, data: LinkData) -> None:
    """Change whose frames a device in source mode receives.

    Raises
    ------
    OSError
        ``EINVAL`` if the address is missing; ``EADDRNOTAVAIL``.
    """
    mode = data[IFLA_MACVLAN_MACADDR_MODE]
    if mode in (MacvlanMacaddrMode.ADD, MacvlanMacaddrMode.DEL):
        if IFLA_MACVLAN_MACADDR not in data:
            raise OSError(EINVAL, "the address of a sender is missing")
        change = vlan.sources.add if mode == MacvlanMacaddrMode.ADD else vlan.sources.discard
        change(bytes(data[IFLA_MACVLAN_MACADDR]))
        return
    wanted = set[bytes]()
    if mode == MacvlanMacaddrMode.SET:
        wanted.update(_addresses(data.get(IFLA_MACVLAN_MACADDR_DATA, b"")))
        if IFLA_MACVLAN_MACADDR in data:
            wanted.add(bytes(data[IFLA_MACVLAN_MACADDR]))
    vlan.sources = wanted


def macvlan_newlink(
    net: "Net",
    name: str,
    data: LinkData,
    link: "NetDevice | None",
    *,
    address: bytes | None = None,
    mtu: int | None = None,
) -> MacvlanDevice:
    """Make a device above another one, down: ``ip link add NAME link LINK type macvlan mode MODE``.

    Above one that is a macvlan itself it stands beside that one. Without an address it gets a random one.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EADDRNOTAVAIL``; ``EBUSY`` if the other one's frames go elsewhere; ``EEXIST``.
    """
    if link is None:
        raise OSError(EINVAL, "a macvlan needs a device below it")
    if net.kernel is not link.kernel:
        raise ValueError("both devices must be of one kernel")
    macvlan_validate(data)
    if address is not None and not _is_valid(address):
        raise OSError(EADDRNOTAVAIL, f"{address.hex(':')} is no address of a device")
    lower = link.lowerdev if isinstance(link, MacvlanDevice) else link
    mode = data.get(IFLA_MACVLAN_MODE, MACVLAN_MODE_VEPA)
    vlan = MacvlanDevice(net, name, macvlan_ops, lower, mode, data.get(IFLA_MACVLAN_FLAGS, 0))
    ether_setup(vlan)
    vlan.flags |= IFF_BROADCAST | IFF_MULTICAST
    vlan.priv_flags |= IFF_NO_QUEUE | IFF_UNICAST_FLT
    netif_keep_dst(vlan)
    vlan.rtnl_link_ops = macvlan_link_ops
    vlan.dev_addr = address or eth_hw_addr_random(net.kernel)
    vlan.mtu = lower.mtu if mtu is None else mtu
    vlan.bc_queue_len_req = data.get(IFLA_MACVLAN_BC_QUEUE_LEN, vlan.bc_queue_len_req)
    if IFLA_MACVLAN_MACADDR_MODE in data:
        if mode != MACVLAN_MODE_SOURCE:
            raise OSError(EINVAL, "senders are for source mode")
        macvlan_changelink_sources(vlan, data)
    if macvlan_device_event not in lower.net.netdev_chain:
        register_netdevice_notifier(lower.net, macvlan_device_event)
    register_netdevice(vlan)
    return vlan


def macvlan_dellink(dev: "NetDevice") -> None:
    """Take a device away: ``ip link del NAME``."""
    unregister_netdevice(dev)


def macvlan_changelink(dev: "NetDevice", data: LinkData) -> None:
    """Change a device: ``ip link set NAME type macvlan ...``.

    Raises
    ------
    OSError
        ``EINVAL`` for values that are impossible, or cannot be had by a change; ``EADDRNOTAVAIL``.
    """
    macvlan_validate(data)
    with dev.kernel.rtnl:
        vlan, port = vlan_of(dev)
        mode = data.get(IFLA_MACVLAN_MODE, vlan.mode)
        if (mode == MACVLAN_MODE_PASSTHRU) != port.passthru:
            raise OSError(EINVAL, "passthru mode can neither be entered nor left")
        if IFLA_MACVLAN_MACADDR_MODE in data and mode != MACVLAN_MODE_SOURCE:
            raise OSError(EINVAL, "senders are for source mode")
        flags = data.get(IFLA_MACVLAN_FLAGS, vlan.mac_flags)
        if port.passthru and vlan.flags & IFF_UP and (flags ^ vlan.mac_flags) & MACVLAN_FLAG_NOPROMISC:
            dev_set_promiscuity(vlan.lowerdev, -1 if flags & MACVLAN_FLAG_NOPROMISC else 1)
        vlan.mac_flags = flags
        if mode != MACVLAN_MODE_SOURCE:
            vlan.sources.clear()
        vlan.mode = mode
        if IFLA_MACVLAN_MACADDR_MODE in data:
            macvlan_changelink_sources(vlan, data)
        vlan.bc_queue_len_req = data.get(IFLA_MACVLAN_BC_QUEUE_LEN, vlan.bc_queue_len_req)
        update_port_bc_queue_len(port)


def macvlan_fill_info(dev: "NetDevice") -> LinkData:
    """Return how a device is set."""
    vlan, port = vlan_of(dev)
    info: dict[int, int | bytes] = {
        IFLA_MACVLAN_MODE: vlan.mode,
        IFLA_MACVLAN_FLAGS: vlan.mac_flags,
        IFLA_MACVLAN_MACADDR_COUNT: len(vlan.sources),
        IFLA_MACVLAN_BC_QUEUE_LEN: vlan.bc_queue_len_req,
        IFLA_MACVLAN_BC_QUEUE_LEN_USED: port.bc_queue_len_used,
    }
    if vlan.sources:
        info[IFLA_MACVLAN_MACADDR_DATA] = b"".join(b"\x0a\0\x04\0" + addr + b"\0\0" for addr in sorted(vlan.sources))
    return info


def macvlan_device_event(event: NetdevEvent, dev: "NetDevice") -> None:
    """Follow what happens to a lower device."""
    port = macvlan_port_get(dev)
    if port is None:
        return
    if event in (NetdevEvent.UP, NetdevEvent.DOWN, NetdevEvent.CHANGE):
        for vlan in port.vlans:
            netif_stacked_transfer_operstate(dev, vlan)
    elif event == NetdevEvent.FEAT_CHANGE:
        for vlan in port.vlans:
            vlan.features = macvlan_features(dev.features) & vlan.set_features
            call_netdevice_notifiers(event, vlan)
    elif event == NetdevEvent.CHANGEMTU:
        for vlan in port.vlans:
            if vlan.mtu > dev.mtu:
                netif_set_mtu(vlan, dev.mtu)
    elif event == NetdevEvent.CHANGEADDR:
        if port.passthru and port.vlans and port.vlans[0].dev_addr != dev.dev_addr:
            macvlan_sync_address(port.vlans[0], port, dev.dev_addr)
            call_netdevice_notifiers(event, port.vlans[0])
    elif event == NetdevEvent.UNREGISTER:
        for vlan in list(port.vlans):
            unregister_netdevice_queue(vlan)
    elif event in (NetdevEvent.NOTIFY_PEERS, NetdevEvent.BONDING_FAILOVER):
        for vlan in port.vlans:
            call_netdevice_notifiers(event, vlan)


macvlan_link_ops = RtnlLinkOps(
    kind="macvlan",
    newlink=macvlan_newlink,
    dellink=macvlan_dellink,
    changelink=macvlan_changelink,
    fill_info=macvlan_fill_info,
    policy={
        IFLA_MACVLAN_MODE: "u32",
        IFLA_MACVLAN_FLAGS: "u16",
        IFLA_MACVLAN_MACADDR_MODE: "u32",
        IFLA_MACVLAN_MACADDR: "mac",
        IFLA_MACVLAN_MACADDR_DATA: "binary",
        IFLA_MACVLAN_MACADDR_COUNT: "u32",
        IFLA_MACVLAN_BC_QUEUE_LEN: "u32",
        IFLA_MACVLAN_BC_QUEUE_LEN_USED: "u32",
    },
)

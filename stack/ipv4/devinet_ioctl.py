"""Requests about IPv4 addresses, as ``struct ifreq`` (Linux: net/ipv4/devinet.c; netdevice(7))."""

from errno import EADDRNOTAVAIL, EINVAL, ENOTTY
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_ioctl import IFNAMSIZ, dev_change_flags_ioctl, ifreq_device, ifreq_name
from ..core.netdevice import IFF_BROADCAST, IFF_LOOPBACK, IFF_POINTOPOINT
from ..uapi import AF_INET
from ..uapi_ioctl import (
    SIOCGIFADDR,
    SIOCGIFBRDADDR,
    SIOCGIFDSTADDR,
    SIOCGIFNETMASK,
    SIOCSIFADDR,
    SIOCSIFBRDADDR,
    SIOCSIFDSTADDR,
    SIOCSIFFLAGS,
    SIOCSIFNETMASK,
)
from .devinet import InIfaddr, inet_del_ifa, inet_insert_ifa, inetdev_init
from .rtnetlink import RtScope
from .sockaddr_in import sockaddr_in, sockaddr_in_octets

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["DEVINET_REQUESTS", "bad_mask", "devinet_ioctl", "inet_abc_len", "inet_gifconf"]

_VALUE = IFNAMSIZ
_SHORT = Struct("=H")
_MEMBERS = {
    SIOCGIFADDR: "local",
    SIOCGIFBRDADDR: "broadcast",
    SIOCGIFDSTADDR: "address",
    SIOCGIFNETMASK: "mask",
}
_SETTERS = (SIOCSIFADDR, SIOCSIFBRDADDR, SIOCSIFDSTADDR, SIOCSIFNETMASK)
DEVINET_REQUESTS = frozenset((*_MEMBERS, *_SETTERS, SIOCSIFFLAGS))


def inet_abc_len(addr: int) -> int:
    """Return the prefix length of an address by its class (RFC 791 §3.2); -1: it has none."""
    if not addr >> 24 or addr == 0xFFFFFFFF:
        return 0
    if not addr >> 31:
        return 8
    if addr >> 30 == 2:
        return 16
    if addr >> 29 == 6:
        return 24
    return 32 if addr >> 28 == 0xF else -1


def bad_mask(mask: int, addr: int) -> bool:
    """Return whether a mask has a hole, or an address bits behind it."""
    host = ~mask & 0xFFFFFFFF
    return addr & host != 0 or host & host + 1 != 0


def devinet_ioctl(net: "Net", request: int, arg: bytearray) -> None:
    """Answer a request about an address of a device, or change it.

    Raises
    ------
    OSError
        ``ENODEV``, ``EINVAL``, ``EADDRNOTAVAIL`` if the device has no address, ``ENOTTY``.
    """
    if request not in DEVINET_REQUESTS:
        raise OSError(ENOTTY, f"no request {request:#x}")
    family = _SHORT.unpack_from(arg, _VALUE)[0]
    if request in _SETTERS and family != AF_INET:
        raise OSError(EINVAL, "not an IPv4 address")
    dev = ifreq_device(net, arg)
    if request == SIOCSIFFLAGS:
        dev_change_flags_ioctl(dev, arg)
        return
    _, address, _ = sockaddr_in(bytes(arg[_VALUE : _VALUE + 16]))
    # No address here has a label of its own, such as eth0:1.
    addresses = [] if ":" in ifreq_name(arg) else inetdev_init(dev).ifa_list
    ifa = addresses[0] if addresses else None
    if request in _MEMBERS and family == AF_INET:
        # Among several, the program may name the one that it means.
        ifa = next((one for one in addresses if one.local == address), ifa)
    if ifa is None and request != SIOCSIFADDR:
        raise OSError(EADDRNOTAVAIL, f"{dev.name} has no address")
    if request in _MEMBERS:
        arg[_VALUE : _VALUE + 16] = sockaddr_in_octets((AF_INET, getattr(ifa, _MEMBERS[request]), 0))
    elif request == SIOCSIFADDR:
        _set_address(dev, ifa, address)
    elif ifa is not None:
        _change(dev, ifa, request, address)


def _set_address(dev: "NetDevice", ifa: InIfaddr | None, address: int) -> None:
    """Give a device an address in place of its first, with the mask of its class."""
    prefixlen = inet_abc_len(address)
    if prefixlen < 0:
        raise OSError(EINVAL, "addresses of groups are nobody's")
    if ifa is not None:
        if ifa.local == address:
            return
        inet_del_ifa(dev, ifa)
    if not address:
        return
    if dev.flags & IFF_POINTOPOINT:
        prefixlen = 32
    broadcast = None if dev.flags & IFF_BROADCAST else 0
    scope = RtScope.HOST if dev.flags & IFF_LOOPBACK and address >> 24 == 127 else RtScope.UNIVERSE
    inet_insert_ifa(dev, InIfaddr(address, prefixlen, broadcast=broadcast, scope=scope))


def _change(dev: "NetDevice", ifa: InIfaddr, request: int, value: int) -> None:
    """Take an address away, and give it back with another mask, broadcast address or far end."""
    if request == SIOCSIFBRDADDR:
        changes = {"broadcast": value}
    elif request == SIOCSIFDSTADDR:
        if inet_abc_len(value) < 0:
            raise OSError(EINVAL, "addresses of groups are nobody's")
        changes = {"address": value}
    else:
        if bad_mask(value, 0):
            raise OSError(EINVAL, f"{value:#010x} is no mask")
        changes = {"mask": value, "prefixlen": value.bit_count()}
        if dev.flags & IFF_BROADCAST and value.bit_count() < 31 and ifa.broadcast == ifa.local | ~ifa.mask & 0xFFFFFFFF:
            changes["broadcast"] = ifa.local | ~value & 0xFFFFFFFF
    if all(getattr(ifa, name) == one for name, one in changes.items()):
        return
    inet_del_ifa(dev, ifa)
    for name, one in changes.items():
        setattr(ifa, name, one)
    inet_insert_ifa(dev, ifa)


def inet_gifconf(dev: "NetDevice") -> bytes:
    """Return a ``struct ifreq`` for each address of a device."""
    if dev.ip_ptr is None:
        return b""
    name = dev.name.encode().ljust(IFNAMSIZ, b"\0")
    return b"".join(name + sockaddr_in_octets((AF_INET, ifa.local, 0)) + bytes(8) for ifa in inetdev_init(dev).ifa_list)

"""Requests about devices, as ``struct ifreq`` (Linux: net/core/dev_ioctl.c; netdevice(7))."""

from errno import EINVAL, ENODEV, ENOTTY, EOPNOTSUPP
from struct import Struct
from typing import TYPE_CHECKING

from ..uapi_ioctl import (
    SIOCADDMULTI,
    SIOCDELMULTI,
    SIOCGIFFLAGS,
    SIOCGIFHWADDR,
    SIOCGIFINDEX,
    SIOCGIFMAP,
    SIOCGIFMETRIC,
    SIOCGIFMTU,
    SIOCGIFNAME,
    SIOCGIFSLAVE,
    SIOCGIFTXQLEN,
    SIOCSIFFLAGS,
    SIOCSIFHWADDR,
    SIOCSIFMETRIC,
    SIOCSIFMTU,
    SIOCSIFTXQLEN,
)
from .dev_addr_lists import dev_mc_add, dev_mc_del
from .dev_change import dev_change_flags
from .dev_register import dev_set_mac_address, dev_set_mtu
from .link_watch import dev_get_flags

if TYPE_CHECKING:
    from .net import Net
    from .netdevice import NetDevice

__all__ = [
    "IFNAMSIZ",
    "IFREQ_OCTETS",
    "dev_change_flags_ioctl",
    "dev_ifconf",
    "dev_ioctl",
    "ifreq_device",
    "ifreq_name",
]

IFNAMSIZ = 16
IFREQ_OCTETS = 40
_VALUE = IFNAMSIZ  # Where the union begins.
_PRIVATE = range(0x89F0, 0x8A00)  # Left to drivers.
_SHORT = Struct("=H")
_INT = Struct("=i")
_SOCKADDR = Struct("=H14s")


def ifreq_name(arg: bytearray) -> str:
    """Return the name of the device in a ``struct ifreq``."""
    return bytes(arg[: IFNAMSIZ - 1]).split(b"\0")[0].decode("ascii", "replace")


def ifreq_device(net: "Net", arg: bytearray) -> "NetDevice":
    """Return the device that a ``struct ifreq`` names; what is behind a colon is the label of an address.

    Raises
    ------
    OSError
        ``ENODEV``.
    """
    name = ifreq_name(arg).partition(":")[0]
    dev = net.dev_by_name.get(name)
    if dev is None:
        raise OSError(ENODEV, f"no device {name!r}")
    return dev


def dev_ioctl(net: "Net", request: int, arg: bytearray) -> None:
    """Answer a request about a device, or change it.

    Raises
    ------
    OSError
        ``ENODEV``, ``EINVAL``, ``EOPNOTSUPP``, ``ENOTTY`` for a request that there is not; what changing it raises.
    """
    if request == SIOCGIFNAME:
        _dev_ifname(net, arg)
    elif request in _GETTERS:
        _GETTERS[request](ifreq_device(net, arg), arg)
    elif request in _SETTERS:
        _SETTERS[request](ifreq_device(net, arg), arg)
    elif request in _PRIVATE:
        raise OSError(EOPNOTSUPP, f"{ifreq_device(net, arg).name} has no requests of its own")
    else:
        raise OSError(ENOTTY, f"no request {request:#x}")


def _dev_ifname(net: "Net", arg: bytearray) -> None:
    ifindex: int = _INT.unpack_from(arg, _VALUE)[0]
    dev = net.devices.get(ifindex)
    if dev is None:
        raise OSError(ENODEV, f"no device {ifindex}")
    arg[:IFNAMSIZ] = dev.name.encode().ljust(IFNAMSIZ, b"\0")


def _number(arg: bytearray) -> int:
    return int(_INT.unpack_from(arg, _VALUE)[0])


def _get_flags(dev: "NetDevice", arg: bytearray) -> None:
    _SHORT.pack_into(arg, _VALUE, dev_get_flags(dev) & 0xFFFF)


def _get_metric(dev: "NetDevice", arg: bytearray) -> None:
    _INT.pack_into(arg, _VALUE, 0)


def _get_mtu(dev: "NetDevice", arg: bytearray) -> None:
    _INT.pack_into(arg, _VALUE, dev.mtu)


def _get_hwaddr(dev: "NetDevice", arg: bytearray) -> None:
    _SOCKADDR.pack_into(arg, _VALUE, dev.type, dev.dev_addr)


def _get_index(dev: "NetDevice", arg: bytearray) -> None:
    _INT.pack_into(arg, _VALUE, dev.ifindex)


def _get_txqlen(dev: "NetDevice", arg: bytearray) -> None:
    _INT.pack_into(arg, _VALUE, dev.tx_queue_len)


def _get_map(dev: "NetDevice", arg: bytearray) -> None:
    arg[_VALUE : _VALUE + 24] = bytes(24)  # Of the time when devices had addresses that one set by hand.


def _get_slave(dev: "NetDevice", arg: bytearray) -> None:
    raise OSError(EINVAL, "of a protocol of before Linux 2.2")


_GETTERS = {
    SIOCGIFFLAGS: _get_flags,
    SIOCGIFMETRIC: _get_metric,
    SIOCGIFMTU: _get_mtu,
    SIOCGIFHWADDR: _get_hwaddr,
    SIOCGIFINDEX: _get_index,
    SIOCGIFTXQLEN: _get_txqlen,
    SIOCGIFMAP: _get_map,
    SIOCGIFSLAVE: _get_slave,
}


def dev_change_flags_ioctl(dev: "NetDevice", arg: bytearray) -> None:
    """Set a device's flags: up or down, which groups it receives, and whether it needs ARP.

    Raises
    ------
    OSError
        What bringing it up raises.
    """
    dev_change_flags(dev, _SHORT.unpack_from(arg, _VALUE)[0])


def _set_metric(dev: "NetDevice", arg: bytearray) -> None:
    raise OSError(EOPNOTSUPP, "devices have no metric")


def _set_mtu(dev: "NetDevice", arg: bytearray) -> None:
    dev_set_mtu(dev, _number(arg))


def _hwaddr(dev: "NetDevice", arg: bytearray) -> bytes:
    family, octets = _SOCKADDR.unpack_from(arg, _VALUE)
    if family != dev.type:
        raise OSError(EINVAL, f"{dev.name} has no addresses of type {family}")
    return bytes(octets[: dev.addr_len])


def _set_hwaddr(dev: "NetDevice", arg: bytearray) -> None:
    dev_set_mac_address(dev, _hwaddr(dev, arg))


def _group(dev: "NetDevice", arg: bytearray) -> bytes:
    family, octets = _SOCKADDR.unpack_from(arg, _VALUE)
    if dev.netdev_ops.ndo_set_rx_mode is None or family:
        raise OSError(EINVAL, f"{dev.name} does not filter, or this is no address of a link")
    return bytes(octets[: dev.addr_len])


def _add_multi(dev: "NetDevice", arg: bytearray) -> None:
    dev_mc_add(dev, _group(dev, arg))


def _del_multi(dev: "NetDevice", arg: bytearray) -> None:
    dev_mc_del(dev, _group(dev, arg))


def _set_txqlen(dev: "NetDevice", arg: bytearray) -> None:
    length = _number(arg)
    if length < 0:
        raise OSError(EINVAL, f"a queue of {length} packets")
    dev.tx_queue_len = length


_SETTERS = {
    SIOCSIFFLAGS: dev_change_flags_ioctl,
    SIOCSIFMETRIC: _set_metric,
    SIOCSIFMTU: _set_mtu,
    SIOCSIFHWADDR: _set_hwaddr,
    SIOCADDMULTI: _add_multi,
    SIOCDELMULTI: _del_multi,
    SIOCSIFTXQLEN: _set_txqlen,
}


def dev_ifconf(net: "Net", arg: bytearray) -> None:
    """Fill a buffer with the ``struct ifreq`` of each IPv4 address, as many as have room, and cut it down to those.

    Linux has a pointer to such a buffer in ``struct ifconf``; octets have no pointers, so it is the buffer itself.
    """
    from ..ipv4.devinet_ioctl import inet_gifconf

    found = b"".join(inet_gifconf(dev) for dev in net.devices.values())
    room = len(arg) - len(arg) % IFREQ_OCTETS
    arg[:] = found[:room]

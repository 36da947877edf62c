"""Requests about routes, as ``struct rtentry`` (Linux: net/ipv4/fib_frontend.c; route(8))."""

from errno import EAFNOSUPPORT, EFAULT, EINVAL, ENODEV
from struct import Struct
from typing import TYPE_CHECKING

from ..uapi import AF_INET
from ..uapi_ioctl import SIOCADDRT
from .devinet_ioctl import bad_mask
from .fib_config import FibConfig, FibNhConfig
from .fib_frontend import NextHop, fib_new_route, inet_addr_type
from .fib_table import fib_new_table, fib_table_delete
from .rtnetlink import RtScope, RtTable, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["RTF_GATEWAY", "RTF_HOST", "RTF_REJECT", "RTF_UP", "ip_rt_ioctl"]

# struct rtentry on 64 bits: destination, gateway, mask, flags, metric, pointer to the device's name, MTU.
_RTENTRY = Struct("=8xH2x4s8xH2x4s8xH2x4s8xH22xh6xQQ16x")
_OCTETS = 120
RTF_UP = 0x0001
RTF_GATEWAY = 0x0002
RTF_HOST = 0x0004
RTF_MTU = 0x0040
RTF_REJECT = 0x0200


def ip_rt_ioctl(net: "Net", request: int, arg: bytearray) -> None:
    """Add or delete a route.

    Octets have no pointers: if ``rt_dev`` is not 0, the device's name follows the structure.

    Raises
    ------
    OSError
        ``EAFNOSUPPORT``, ``EINVAL``, ``ENODEV``, ``ESRCH`` if there is no such route; what adding one raises.
    """
    family, dst, gw_family, gw, mask_family, mask, flags, metric, dev_pointer, mtu = _RTENTRY.unpack_from(arg)
    if family != AF_INET:
        raise OSError(EAFNOSUPPORT, "not an IPv4 address")
    prefix, gateway, full = (int.from_bytes(octets, "big") for octets in (dst, gw, mask))
    prefixlen = 32
    if not flags & RTF_HOST:
        if mask_family != AF_INET and (full or mask_family):
            raise OSError(EAFNOSUPPORT, "not an IPv4 mask")
        if bad_mask(full, prefix):
            raise OSError(EINVAL, "the mask has a hole, or the destination bits behind it")
        prefixlen = full.bit_count()
    dev = _named(net, arg) if dev_pointer else None
    priority = max(metric - 1, 0) if metric else 0
    reject = flags & RTF_REJECT != 0
    if gw_family != AF_INET:
        gateway = 0
    is_host = gateway != 0 and flags & RTF_GATEWAY != 0 and inet_addr_type(net, gateway) == RtType.UNICAST
    scope = RtScope.UNIVERSE if is_host else RtScope.LINK
    if request != SIOCADDRT:
        hops = [FibNhConfig(dev.ifindex if dev is not None else 0, gateway)] if dev is not None or gateway else []
        kind = RtType.UNREACHABLE if reject else RtType.UNSPEC
        cfg = FibConfig(prefix, prefixlen, protocol=0, scope=RtScope.NOWHERE, type=kind, hops=hops, priority=priority)
        fib_table_delete(net, fib_new_table(net, RtTable.MAIN), cfg)
        return
    if flags & RTF_GATEWAY and not gateway:
        raise OSError(EINVAL, "no gateway")
    if not reject and dev is None and not gateway:
        raise OSError(ENODEV, "neither a gateway nor a device")
    if reject:
        fib_new_route(net, prefix, prefixlen, (), type=RtType.UNREACHABLE, scope=RtScope.HOST, priority=priority)
        return
    way: tuple[NextHop, ...] = ((dev, gateway, 1),)
    fib_new_route(net, prefix, prefixlen, way, scope=scope, priority=priority, mtu=mtu if flags & RTF_MTU else 0)


def _named(net: "Net", arg: bytearray) -> "NetDevice":
    name = bytes(arg[_OCTETS : _OCTETS + 15]).split(b"\0")[0].decode("ascii", "replace")
    if not name:
        raise OSError(EFAULT, "the device's name does not follow")
    dev = net.dev_by_name.get(name)
    if dev is None:
        raise OSError(ENODEV, f"no device {name!r}")
    return dev

"""The groups that a host is in (Linux: net/ipv4/igmp.c); no IGMP messages are sent yet."""

from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV
from typing import TYPE_CHECKING

from ..core.dev_addr_lists import dev_mc_add, dev_mc_del
from ..core.netdevice import ARPHRD_ETHER, IFF_UP
from ..uapi import INADDR_ALLHOSTS_GROUP
from ..uapi_options import MCAST_EXCLUDE, MCAST_INCLUDE
from .devinet import __ip_dev_find
from .fib_trie import fib_lookup
from .flow import Flowi4

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from .devinet import InDevice
    from .inet_sock import InetSock

__all__ = [
    "IpMcSocklist",
    "ip_check_mc_rcu",
    "ip_eth_mc_map",
    "ip_mc_dec_group",
    "ip_mc_down",
    "ip_mc_drop_socket",
    "ip_mc_find_dev",
    "ip_mc_inc_group",
    "ip_mc_join_group",
    "ip_mc_join_group_ssm",
    "ip_mc_leave_group",
    "ip_mc_sf_allow",
    "ip_mc_up",
]


class IpMcSocklist:
    """What a socket wants of a group that it is in (Linux: ``struct ip_mc_socklist``).

    Members
    -------
    sfmode : int
        ``MCAST_EXCLUDE``: what comes from anybody but these; ``MCAST_INCLUDE``: from these only.
    sources : list[int]
        Addresses of sources.
    """

    __slots__ = ("sfmode", "sources")

    def __init__(self, sfmode: int) -> None:
        self.sfmode = sfmode
        self.sources: list[int] = []


def ip_eth_mc_map(group: int) -> bytes:
    """Return the link address of a group (RFC 1112 §6.4: its low 23 bits behind 01:00:5e)."""
    return b"\x01\x00\x5e" + (group & 0x7FFFFF).to_bytes(3, "big")


def ip_check_mc_rcu(in_dev: "InDevice", group: int) -> bool:
    """Return whether the device receives a group."""
    return group in in_dev.mc_list


def _filter_add(in_dev: "InDevice", group: int) -> None:
    if in_dev.dev.type == ARPHRD_ETHER:
        dev_mc_add(in_dev.dev, ip_eth_mc_map(group))


def _filter_del(in_dev: "InDevice", group: int) -> None:
    if in_dev.dev.type == ARPHRD_ETHER:
        dev_mc_del(in_dev.dev, ip_eth_mc_map(group))


def ip_rt_multicast_event(in_dev: "InDevice") -> None:
    """Make routes stale: those to a group tell whether this host is in it."""
    in_dev.dev.net.ipv4.rt_genid += 1


def ip_mc_inc_group(in_dev: "InDevice", group: int) -> None:
    """Have a device receive a group, for one more user."""
    users = in_dev.mc_list.get(group, 0)
    in_dev.mc_list[group] = users + 1
    if not users:
        ip_rt_multicast_event(in_dev)
    if not users and in_dev.dev.flags & IFF_UP:
        _filter_add(in_dev, group)


def ip_mc_dec_group(in_dev: "InDevice", group: int) -> None:
    """Take back one ``ip_mc_inc_group``."""
    users = in_dev.mc_list.get(group, 0)
    if users > 1:
        in_dev.mc_list[group] = users - 1
    elif users:
        del in_dev.mc_list[group]
        ip_rt_multicast_event(in_dev)
        if in_dev.dev.flags & IFF_UP:
            _filter_del(in_dev, group)


def ip_mc_up(in_dev: "InDevice") -> None:
    """Join the group of all hosts (RFC 1112 §7.2), and have the device, now up, receive all that are joined."""
    groups = list(in_dev.mc_list)
    ip_mc_inc_group(in_dev, INADDR_ALLHOSTS_GROUP)
    for group in groups:
        _filter_add(in_dev, group)


def ip_mc_down(in_dev: "InDevice") -> None:
    """Have the device, which went down, receive no groups; sockets stay in theirs."""
    for group in in_dev.mc_list:
        _filter_del(in_dev, group)
    users = in_dev.mc_list.get(INADDR_ALLHOSTS_GROUP, 0)
    if users > 1:
        in_dev.mc_list[INADDR_ALLHOSTS_GROUP] = users - 1
    elif users:
        del in_dev.mc_list[INADDR_ALLHOSTS_GROUP]


def ip_mc_find_dev(net: "Net", ifindex: int, address: int, group: int) -> "NetDevice | None":
    """Return the device of a number, an address, or else of the route to the group."""
    if ifindex:
        return net.devices.get(ifindex)
    if address:
        return __ip_dev_find(net, address)
    if not group:
        return net.loopback_dev  # The way to nowhere.
    found = fib_lookup(net, Flowi4(group))
    return None if isinstance(found, int) else found.nh.dev


def ip_mc_join_group(sk: "InetSock", group: int, address: int, ifindex: int) -> None:
    """Have a socket receive a group on one device, given by number or address, or by the route to the group.

    Raises
    ------
    OSError
        ``EINVAL`` if it is no group, ``ENODEV``, ``EADDRINUSE`` if the socket is in it, ``ENOBUFS`` if in too many.
    """
    __ip_mc_join_group(sk, group, address, ifindex, MCAST_EXCLUDE)


def ip_mc_join_group_ssm(sk: "InetSock", group: int, address: int, ifindex: int) -> None:
    """Have a socket in a group receive from those sources only that it names afterwards; as ``ip_mc_join_group``."""
    __ip_mc_join_group(sk, group, address, ifindex, MCAST_INCLUDE)


def __ip_mc_join_group(sk: "InetSock", group: int, address: int, ifindex: int, mode: int) -> None:
    if group >> 28 != 0xE:
        raise OSError(EINVAL, "not a group")
    dev = ip_mc_find_dev(sk.net, ifindex, address, group)
    if dev is None or dev.ip_ptr is None:
        raise OSError(ENODEV, "no device for the group")
    key = (group, dev.ifindex)
    if key in sk.mc_list:
        raise OSError(EADDRINUSE, "the socket is in the group")
    if len(sk.mc_list) >= sk.net.ipv4.sysctl_igmp_max_memberships:
        raise OSError(ENOBUFS, "the socket is in too many groups")
    sk.mc_list[key] = IpMcSocklist(mode)
    ip_mc_inc_group(dev.ip_ptr, group)


def ip_mc_leave_group(sk: "InetSock", group: int, address: int, ifindex: int) -> None:
    """Have a socket receive a group no longer.

    Raises
    ------
    OSError
        ``ENODEV``, ``EADDRNOTAVAIL`` if the socket is not in it.
    """
    dev = ip_mc_find_dev(sk.net, ifindex, address, group)
    if dev is None and not (ifindex or address):
        raise OSError(ENODEV, "no device for the group")
    for key in sk.mc_list:
        if key[0] == group and (not (ifindex or address) or (dev is not None and key[1] == dev.ifindex)):
            del sk.mc_list[key]
            _leave(sk.net, key)
            return
    raise OSError(EADDRNOTAVAIL, "the socket is not in the group")


def _leave(net: "Net", key: tuple[int, int]) -> None:
    dev = net.devices.get(key[1])
    if dev is not None and dev.ip_ptr is not None:
        ip_mc_dec_group(dev.ip_ptr, key[0])


def ip_mc_drop_socket(sk: "InetSock") -> None:
    """Leave all groups of a socket that is being closed."""
    for key in sk.mc_list:
        _leave(sk.net, key)
    sk.mc_list.clear()


def ip_mc_sf_allow(sk: "InetSock", daddr: int, saddr: int, dif: int) -> bool:
    """Return whether a socket wants a packet to an address, by the groups that it is in.

    One that is not in the group gets it all the same while ``IP_MULTICAST_ALL`` is on, as it is by default.
    """
    if daddr >> 28 != 0xE:
        return True
    pmc = sk.mc_list.get((daddr, dif))
    if pmc is None:
        return sk.mc_all
    return (saddr in pmc.sources) == (pmc.sfmode == MCAST_INCLUDE)

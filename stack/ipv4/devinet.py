"""Addresses of devices (Linux: net/ipv4/devinet.c)."""

from copy import copy
from errno import EADDRNOTAVAIL, EEXIST, EINVAL
from typing import TYPE_CHECKING

from ..core.timer import jiffies
from ..netlink.attr import NetlinkError
from ..netlink.rtnetlink import Rtm
from .flow import Flowi4
from .rtnetlink import RtScope, RtTable, RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.timer import TimerList
    from ..netlink.message import Nlmsghdr

__all__ = [
    "IFA_F_DEPRECATED",
    "IFA_F_NOPREFIXROUTE",
    "IFA_F_PERMANENT",
    "IFA_F_SECONDARY",
    "InDevice",
    "InIfaddr",
    "IpDevConf",
    "__ip_dev_find",
    "confirm_addr_indev",
    "inet_addr_onlink",
    "inet_del_ifa",
    "inet_ifa_byprefix",
    "inet_insert_ifa",
    "inet_select_addr",
    "inetdev_destroy",
    "inetdev_init",
]

IFA_F_SECONDARY = 0x01
IFA_F_DEPRECATED = 0x20
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200


class InIfaddr:
    """An address of a device (Linux: ``struct in_ifaddr``).

    Parameters
    ----------
    local : int
        The address.
    prefixlen : int
        Length of its network's prefix, 0 to 32.
    address : int or None
        Address of the peer on a point-to-point link, else None.
    broadcast : int or None
        Broadcast address; None for the usual one of the prefix.
    scope : int
        How far the address is good.

    Members
    -------
    label : str
        Name under which old programs know it: the device's, perhaps with ``:`` and more.
    rt_priority, proto : int
        Metric of its network's route; who made the address.
    cstamp, tstamp : int
        When it was made and last changed, in jiffies.
    valid_lft, preferred_lft : int
        For how many seconds from then on it is good, and preferred; 2**32 - 1: for ever.

    Raises
    ------
    OSError
        ``EINVAL`` if a value is out of range.
    """

    __slots__ = (
        *("address", "broadcast", "cstamp", "dev", "flags", "label", "local", "mask", "prefixlen", "proto"),
        *("preferred_lft", "rt_priority", "scope", "timer", "tstamp", "valid_lft"),
    )

    def __init__(
        self,
        local: int,
        prefixlen: int,
        *,
        address: int | None = None,
        broadcast: int | None = None,
        scope: int = RtScope.UNIVERSE,
    ) -> None:
        if not (0 < local < 1 << 32 and 0 <= prefixlen <= 32):
            raise OSError(EINVAL, f"{local:#x}/{prefixlen} cannot be an address")
        self.local = local
        self.prefixlen = prefixlen
        self.mask = 0xFFFFFFFF << 32 - prefixlen & 0xFFFFFFFF
        self.address = local if address is None else address
        self.scope = scope
        if broadcast is None:
            broadcast = self.address | ~self.mask & 0xFFFFFFFF if prefixlen < 31 else 0
        self.broadcast = broadcast
        self.flags = IFA_F_PERMANENT
        self.dev: NetDevice | None = None
        self.label = ""
        self.rt_priority = self.proto = 0
        self.cstamp = self.tstamp = 0
        self.valid_lft = self.preferred_lft = 0xFFFF_FFFF
        self.timer: TimerList | None = None

    @property
    def prefix(self) -> int:
        """The network's prefix."""
        return self.address & self.mask


class IpDevConf:
    """Settings of a device for IPv4, as under ``/proc/sys/net/ipv4/conf`` (Linux: ``struct ipv4_devconf``).

    Each device has its own, and those of ``all`` count besides: the larger one (``rp_filter``, ``arp_ignore``,
    ``arp_accept``), either one (``accept_local``, ``forwarding``, ``proxy_arp_pvlan`` and ``route_localnet`` of the
    device only, the others), or only both together (``accept_source_route``; ``accept_redirects`` of a router).
    """

    __slots__ = (
        "accept_local",
        "accept_source_route",
        "accept_redirects",
        "arp_accept",
        "arp_filter",
        "arp_ignore",
        "drop_gratuitous_arp",
        "drop_unicast_in_l2_multicast",
        "forwarding",
        "proxy_arp",
        "proxy_arp_pvlan",
        "route_localnet",
        "rp_filter",
        "send_redirects",
        "shared_media",
    )

    def __init__(self) -> None:
        self.accept_local = 0
        self.accept_redirects = 1
        self.accept_source_route = 0
        self.arp_accept = 0
        self.arp_filter = 0
        self.arp_ignore = 0
        self.drop_gratuitous_arp = 0
        self.drop_unicast_in_l2_multicast = 0
        self.forwarding = 0
        self.proxy_arp = 0
        self.proxy_arp_pvlan = 0
        self.route_localnet = 0
        self.rp_filter = 0
        self.send_redirects = 1
        self.shared_media = 1


class InDevice:
    """What IPv4 keeps for a device (Linux: ``struct in_device``).

    Members
    -------
    ifa_list : list[InIfaddr]
        Its addresses, primaries before their secondaries, the nearest scopes first.
    cnf : IpDevConf
        Its settings.
    mc_list : dict[int, int]
        The groups that it is in, with the number of users of each.
    """

    __slots__ = ("cnf", "dev", "ifa_list", "mc_list")

    def __init__(self, dev: "NetDevice") -> None:
        self.dev = dev
        self.ifa_list: list[InIfaddr] = []
        self.cnf = copy(dev.net.ipv4.devconf_dflt)
        self.mc_list: dict[int, int] = {}


def inetdev_init(dev: "NetDevice") -> InDevice:
    """Give a device its IPv4 part, unless it has it."""
    in_dev: InDevice | None = dev.ip_ptr
    if in_dev is None:
        in_dev = dev.ip_ptr = InDevice(dev)
        dev.arp_parms = dev.net.ipv4.arp_tbl.parms.clone()
    return in_dev


def inet_forward_change(net: "Net", on: bool) -> None:
    """Make a host a router, or a host again (``net.ipv4.ip_forward``): all its devices, and those that it will get.

    A router takes no redirects, unless it is told to afterwards (RFC 1812 §5.2.7.2).
    """
    from .fib_frontend import rt_cache_flush

    ipv4 = net.ipv4
    ipv4.devconf_all.forwarding = ipv4.devconf_dflt.forwarding = int(on)
    ipv4.devconf_all.accept_redirects = int(not on)
    for dev in net.devices.values():
        if dev.ip_ptr is not None:
            dev.ip_ptr.cnf.forwarding = int(on)
    rt_cache_flush(net)


def inetdev_destroy(dev: "NetDevice") -> None:
    """Take a device's IPv4 part away, with its addresses and their routes."""
    in_dev: InDevice | None = dev.ip_ptr
    if in_dev is not None:
        while in_dev.ifa_list:
            inet_del_ifa(dev, in_dev.ifa_list[0])
        dev.ip_ptr = None


def __ip_dev_find(net: "Net", addr: int) -> "NetDevice | None":
    """Return the device that has an address (or, as 127.0.0.0/8 does, answers for it), or None."""
    found = net.ipv4.inet_addr_lst.get(addr)
    if found is not None:
        return found[0].dev
    # Addresses of a whole local network have no entry of their own.
    from .fib_trie import fib_table_lookup

    local = fib_table_lookup(net.ipv4.fib_tables[RtTable.LOCAL], Flowi4(addr))
    return local.nh.dev if not isinstance(local, int) and local.type == RtType.LOCAL else None


def inet_insert_ifa(dev: "NetDevice", ifa: InIfaddr, portid: int = 0, nlh: "Nlmsghdr | None" = None) -> None:
    """Give a device an address, with the routes that follow from it, and notify of it.

    Raises
    ------
    OSError
        ``EEXIST`` if it has that address in that network; ``EINVAL`` if others there have another scope.
    """
    from .devinet_netlink import rtmsg_ifa
    from .fib_frontend import fib_add_ifaddr

    in_dev = inetdev_init(dev)
    place = 0  # Behind the last primary that is no farther.
    for at, other in enumerate(in_dev.ifa_list, 1):
        if not other.flags & IFA_F_SECONDARY and ifa.scope <= other.scope:
            place = at
        if other.mask == ifa.mask and inet_ifa_match(ifa.address, other):
            if other.local == ifa.local:
                raise NetlinkError(EEXIST, "ipv4: Address already assigned")
            if other.scope != ifa.scope:
                raise NetlinkError(EINVAL, "ipv4: Invalid scope value")
            ifa.flags |= IFA_F_SECONDARY
    ifa.dev = dev
    in_dev.ifa_list.insert(len(in_dev.ifa_list) if ifa.flags & IFA_F_SECONDARY else place, ifa)
    dev.net.ipv4.inet_addr_lst.setdefault(ifa.local, []).append(ifa)
    dev.net.ipv4.dev_addr_genid += 1
    ifa.label = ifa.label or dev.name
    ifa.cstamp = jiffies(dev.kernel)
    ifa.tstamp = ifa.tstamp or ifa.cstamp
    rtmsg_ifa(Rtm.NEWADDR, ifa, portid, nlh)
    fib_add_ifaddr(ifa)


def inet_del_ifa(dev: "NetDevice", ifa: InIfaddr, portid: int = 0, nlh: "Nlmsghdr | None" = None) -> None:
    """Take an address away, with its routes, and notify of it; secondaries of the same network go with their primary.

    Raises
    ------
    OSError
        ``EADDRNOTAVAIL`` if the device does not have it.
    """
    from ..core.neighbour_table import neigh_ifdown
    from .devinet_netlink import rtmsg_ifa
    from .fib_frontend import fib_del_ifaddr, fib_disable_ip

    in_dev = dev.ip_ptr
    if in_dev is None or ifa not in in_dev.ifa_list:
        raise OSError(EADDRNOTAVAIL, f"{dev.name} does not have the address")
    gone = [ifa]
    if not ifa.flags & IFA_F_SECONDARY:
        gone = [o for o in in_dev.ifa_list if o.mask == ifa.mask and inet_ifa_match(ifa.address, o) and o is not ifa]
        gone.append(ifa)
    ipv4 = dev.net.ipv4
    for entry in gone:
        in_dev.ifa_list.remove(entry)
        ipv4.inet_addr_lst[entry.local].remove(entry)
        if not ipv4.inet_addr_lst[entry.local]:
            del ipv4.inet_addr_lst[entry.local]
        ipv4.dev_addr_genid += 1
        rtmsg_ifa(Rtm.DELADDR, entry, portid, nlh)
        fib_del_ifaddr(entry)
        for notifier in tuple(ipv4.inetaddr_chain):
            notifier(entry)
    if not in_dev.ifa_list:  # With the last address goes what needs one.
        fib_disable_ip(dev)
        neigh_ifdown(ipv4.arp_tbl, dev)


def inet_ifa_match(addr: int, ifa: InIfaddr) -> bool:
    """Return whether an address is in the network of a device's address."""
    return not (addr ^ ifa.address) & ifa.mask


def inet_ifa_byprefix(in_dev: InDevice, ifa: InIfaddr) -> InIfaddr:
    """Return the primary address of the network that a device's address is in; itself if there is none."""
    for other in in_dev.ifa_list:
        if other.mask == ifa.mask and not other.flags & IFA_F_SECONDARY and inet_ifa_match(ifa.address, other):
            return other
    return ifa


def inet_addr_onlink(in_dev: InDevice, addr: int, other: int = 0) -> bool:
    """Return whether an address (and the other, if not 0) is in a network of the device."""
    for ifa in in_dev.ifa_list:
        if not ifa.flags & IFA_F_SECONDARY and inet_ifa_match(addr, ifa) and (not other or inet_ifa_match(other, ifa)):
            return True
    return False


def _localnet_scope(in_dev: InDevice) -> RtScope:
    """Return how far addresses of this host only reach from a device: to the link, with ``route_localnet``."""
    on = in_dev.cnf.route_localnet or in_dev.dev.net.ipv4.devconf_all.route_localnet
    return RtScope.LINK if on else RtScope.HOST


def confirm_addr_indev(in_dev: InDevice, dst: int, local: int, scope: int) -> int:
    """Return a local address of the device that serves: ``local`` (0: any) within a scope, on the link with ``dst``."""
    localnet = _localnet_scope(in_dev)
    for ifa in in_dev.ifa_list:
        if local and ifa.local != local:
            continue
        if min(ifa.scope, localnet) <= scope and (not dst or inet_ifa_match(dst, ifa)):
            return ifa.local
    return 0


def inet_select_addr(net: "Net", dev: "NetDevice | None", dst: int, scope: int) -> int:
    """Return the source address to use on a device towards ``dst`` (0: anywhere), good in a scope; 0 if there is none.

    A primary address in the network of ``dst`` is best, else the device's first of that scope, else one of another
    device that is good beyond the link.
    """
    first = 0
    localnet = _localnet_scope(dev.ip_ptr) if dev is not None and dev.ip_ptr is not None else RtScope.HOST
    for ifa in _addresses(dev):
        if ifa.flags & IFA_F_SECONDARY or min(ifa.scope, localnet) > scope:
            continue
        if not dst or inet_ifa_match(dst, ifa):
            return ifa.local
        first = first or ifa.local
    if first:
        return first
    for other in net.devices.values():
        for ifa in _addresses(other):
            if (
                other is not dev
                and not ifa.flags & IFA_F_SECONDARY
                and ifa.scope != RtScope.LINK
                and ifa.scope <= scope
            ):
                return ifa.local
    return 0


def _addresses(dev: "NetDevice | None") -> list[InIfaddr]:
    in_dev: InDevice | None = dev.ip_ptr if dev is not None else None
    return in_dev.ifa_list if in_dev is not None else []

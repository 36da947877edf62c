"""Setting a host's IPv4 up, with the words of ip(8): addresses, routes and neighbours as text."""

from collections.abc import Sequence
from errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOENT, ESRCH
from typing import TYPE_CHECKING

from .core.neighbour import NUD_FAILED, NUD_NAMES, NUD_PERMANENT, NUD_VALID, Neighbour
from .core.neighbour_proxy import pneigh_delete, pneigh_lookup
from .core.neighbour_table import __neigh_create, neigh_lookup, neigh_remove_one
from .core.neighbour_update import NEIGH_UPDATE_F_ADMIN, NEIGH_UPDATE_F_OVERRIDE, neigh_update
from .ipv4.devinet import InIfaddr, inet_del_ifa, inet_insert_ifa, inetdev_init
from .ipv4.fib_config import FibConfig
from .ipv4.fib_frontend import NextHop, fib_new_route
from .ipv4.fib_table import fib_new_table, fib_table_delete
from .ipv4.fib_trie import FibAlias
from .ipv4.rtnetlink import RtProtocol, RtScope, RtTable, RtType
from .wire.address import ipv4_from_text, ipv4_to_text, mac_from_text, mac_to_text

if TYPE_CHECKING:
    from .core.net import Net
    from .core.netdevice import NetDevice

__all__ = [
    "addr_add",
    "addr_del",
    "neigh_add",
    "neigh_del",
    "neigh_proxy_add",
    "neigh_proxy_del",
    "neigh_show",
    "route_add",
    "route_del",
]


def _prefix(text: str) -> tuple[int, int]:
    """Return address and prefix length of ``"10.0.0.1/24"``; without a length it is 32."""
    address, _, length = text.partition("/")
    if length and not (length.isascii() and length.isdigit() and int(length) <= 32):
        raise OSError(EINVAL, f"{text!r} has no prefix length of 0..32")
    return ipv4_from_text(address), int(length or 32)


def addr_add(dev: "NetDevice", address: str) -> InIfaddr:
    """Give a device an address: ``ip address add 10.0.0.1/24 dev DEV``.

    Raises
    ------
    OSError
        ``EINVAL``, ``EEXIST``.
    WireError
        If the text is not an address.
    """
    local, prefixlen = _prefix(address)
    ifa = InIfaddr(local, prefixlen, scope=RtScope.HOST if local >> 24 == 127 else RtScope.UNIVERSE)
    inet_insert_ifa(dev, ifa)
    return ifa


def addr_del(dev: "NetDevice", address: str) -> None:
    """Take an address away: ``ip address del 10.0.0.1/24 dev DEV``.

    Raises
    ------
    OSError
        ``EADDRNOTAVAIL`` if the device does not have it.
    """
    local, prefixlen = _prefix(address)
    for ifa in inetdev_init(dev).ifa_list:
        if ifa.local == local and ifa.prefixlen == prefixlen:
            inet_del_ifa(dev, ifa)
            return
    raise OSError(EADDRNOTAVAIL, f"{dev.name} does not have {address}")


def route_add(
    net: "Net",
    prefix: str,
    *,
    dev: "NetDevice | None" = None,
    via: str | None = None,
    nexthops: Sequence[NextHop] = (),
    type: RtType = RtType.UNICAST,
    src: str | None = None,
    metric: int = 0,
    tos: int = 0,
    mtu: int = 0,
    table: int = RtTable.MAIN,
    append: bool = False,
) -> FibAlias:
    """Add a route: ``ip route add 192.0.2.0/24 via 10.0.0.254 dev DEV``; the prefix may be ``"default"``.

    Instead of ``via`` and ``dev`` there may be several ``nexthops``: device or None, gateway's address or 0, weight.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``ENETDOWN``, ``ENETUNREACH``, ``EEXIST``.
    """
    address, prefixlen = (0, 0) if prefix == "default" else _prefix(prefix)
    gateway = ipv4_from_text(via) if via is not None else 0
    hops = [(dev, gateway, 1)] if dev is not None or gateway else list(nexthops)
    if not hops and type == RtType.UNICAST:
        raise OSError(ENODEV, "a route needs a gateway or a device")
    return fib_new_route(
        net,
        address,
        prefixlen,
        hops,
        type=type,
        scope=RtScope.UNIVERSE if nexthops else None,
        prefsrc=ipv4_from_text(src) if src is not None else 0,
        priority=metric,
        tos=tos,
        mtu=mtu,
        table=table,
        append=append,
    )


def route_del(net: "Net", prefix: str, table: int = RtTable.MAIN) -> None:
    """Delete a table's first route to a prefix that was not made by an address: ``ip route del 192.0.2.0/24``.

    Raises
    ------
    OSError
        ``ESRCH`` if there is none.
    """
    wanted = (0, 0) if prefix == "default" else _prefix(prefix)
    routes = fib_new_table(net, table)
    for alias in routes:
        info = alias.info
        key = (alias.prefix, alias.prefixlen, alias.table)
        if key == (*wanted, table) and info.protocol != RtProtocol.KERNEL:
            cfg = FibConfig(
                alias.prefix,
                alias.prefixlen,
                tos=alias.tos,
                table=alias.table,
                protocol=info.protocol,
                scope=info.scope,
                type=alias.type,
                priority=info.priority,
            )
            fib_table_delete(net, routes, cfg)
            return
    raise OSError(ESRCH, f"no route to {prefix}")


def neigh_add(dev: "NetDevice", address: str, lladdr: str, state: int = NUD_PERMANENT) -> Neighbour:
    """Add or change a neighbour: ``ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 nud permanent dev DEV``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOBUFS``.
    """
    inetdev_init(dev)
    neigh = __neigh_create(dev.net.ipv4.arp_tbl, ipv4_from_text(address), dev)
    mac = mac_from_text(lladdr) if state & NUD_VALID else None
    error = neigh_update(neigh, mac, state, NEIGH_UPDATE_F_ADMIN | NEIGH_UPDATE_F_OVERRIDE)
    if error:
        raise OSError(-error, f"{address} cannot be set")
    return neigh


def neigh_proxy_add(dev: "NetDevice", address: str) -> None:
    """Let a router's device answer ARP for a host behind it: ``ip neigh add proxy 10.0.2.1 dev DEV``."""
    pneigh_lookup(dev.net.ipv4.arp_tbl, ipv4_from_text(address), dev, creat=True)


def neigh_proxy_del(dev: "NetDevice", address: str) -> None:
    """Let it do so no more: ``ip neigh del proxy 10.0.2.1 dev DEV``.

    Raises
    ------
    OSError
        ``ENOENT`` if it does not.
    """
    if not pneigh_delete(dev.net.ipv4.arp_tbl, ipv4_from_text(address), dev):
        raise OSError(ENOENT, f"{dev.name} does not speak for {address}")


def neigh_del(dev: "NetDevice", address: str) -> None:
    """Delete a neighbour: ``ip neigh del 10.0.0.2 dev DEV``.

    Raises
    ------
    OSError
        ``ENOENT`` if there is none.
    """
    neigh = neigh_lookup(dev.net.ipv4.arp_tbl, ipv4_from_text(address), dev)
    if neigh is None:
        raise OSError(ENOENT, f"no neighbour {address} on {dev.name}")
    # Fails first, so that senders of what waits are told.
    neigh_update(neigh, None, NUD_FAILED, NEIGH_UPDATE_F_ADMIN | NEIGH_UPDATE_F_OVERRIDE)
    neigh_remove_one(neigh)


def neigh_show(net: "Net") -> list[str]:
    """Return the neighbours as ``ip neigh show`` prints them."""
    lines: list[str] = []
    for neigh in net.ipv4.arp_tbl.nht.values():
        mac = f" lladdr {mac_to_text(neigh.ha)}" if neigh.nud_state & NUD_VALID else ""
        lines.append(f"{ipv4_to_text(neigh.primary_key)} dev {neigh.dev.name}{mac} {NUD_NAMES[neigh.nud_state]}")
    return lines

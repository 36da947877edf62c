"""Kinds of virtual devices, as configuration makes and changes them (Linux: include/net/rtnetlink.h)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .net import Net
    from .netdevice import NetDevice

__all__ = ["LinkData", "RtnlLinkOps"]

# IFLA_* numbers of the kind and their values: int, bytes (an address), or str, as the policy says.
LinkData = Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class RtnlLinkOps:
    """How ``ip link add NAME type KIND`` makes a device (Linux: ``struct rtnl_link_ops``).

    A driver has one, as a module constant; a device of it has it as ``dev.rtnl_link_ops``.

    Members
    -------
    kind : str
        Its name for ``ip link``.
    newlink : callable
        Takes namespace, name, the ``LinkData``, the lower device (``link DEV``) or None; makes and registers a device,
        and returns it. Raises ``OSError``.
    dellink : callable
        Takes a device, and unregisters it.
    changelink : callable or None
        Takes a device and the ``LinkData``: ``ip link set NAME type KIND ...``.
    fill_info : callable or None
        Takes a device, and returns its ``LinkData``.
    policy : Mapping[int, str]
        How each number is encoded in ``IFLA_INFO_DATA``: ``"u8"``, ``"u16"``, ``"u32"``, ``"be16"``, ``"be32"`` (in
        network order, as an IPv4 address), ``"flag"``, ``"string"``, ``"mac"``, ``"binary"``.
    get_link_net : callable or None
        Takes a device, and returns the namespace of the one that it is on top of, or joined to.
    slave_policy, slave_changelink, fill_slave_info
        The same of ``IFLA_INFO_SLAVE_DATA``, for what is enslaved to such a device; both take the slave.
    """

    kind: str
    newlink: "Callable[[Net, str, LinkData, NetDevice | None], NetDevice]"
    dellink: "Callable[[NetDevice], None]"
    changelink: "Callable[[NetDevice, LinkData], None] | None" = None
    fill_info: "Callable[[NetDevice], LinkData] | None" = None
    get_link_net: "Callable[[NetDevice], Net] | None" = None
    policy: Mapping[int, str] = field(default_factory=dict[int, str])
    slave_policy: Mapping[int, str] = field(default_factory=dict[int, str])
    slave_changelink: "Callable[[NetDevice, LinkData], None] | None" = None
    fill_slave_info: "Callable[[NetDevice], LinkData] | None" = None

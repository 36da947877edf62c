"""Kinds of virtual devices that ``ip link add`` can make: the table."""

from typing import TYPE_CHECKING

from ..bridge.br_netlink import br_link_ops
from ..drivers.bonding.bond_netlink import bond_link_ops
from ..drivers.dummy import dummy_link_ops
from ..drivers.macvlan_link import macvlan_link_ops
from ..drivers.veth import veth_link_ops
from ..ipv4.ipip import ipip_link_ops
from ..vlan.vlan_netlink import vlan_link_ops

if TYPE_CHECKING:
    from .net import Kernel
    from .rtnl_link import RtnlLinkOps

__all__ = ["LINK_KINDS", "rtnl_link_register"]

LINK_KINDS = (
    bond_link_ops,
    br_link_ops,
    dummy_link_ops,
    ipip_link_ops,
    macvlan_link_ops,
    veth_link_ops,
    vlan_link_ops,
)


def rtnl_link_register(kernel: "Kernel", ops: "RtnlLinkOps") -> None:
    """Let a host's administrator make devices of a kind."""
    kernel.rtnl_link_ops[ops.kind] = ops

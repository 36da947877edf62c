"""Making bonds, and telling of them (Linux: drivers/net/bonding/bond_netlink.c)."""

from enum import IntEnum
from typing import TYPE_CHECKING

from ...core.dev_register import register_netdevice, register_netdevice_notifier, unregister_netdevice
from ...core.link_watch import netif_carrier_off
from ...core.netdevice import NetDevice
from ...core.rtnl_link import LinkData, RtnlLinkOps
from .bond_main import bond_create, bond_netdev_event
from .bond_options import IflaBond, bond_set_options
from .bonding import Bonding, BondMode, bond_uses_primary, bonding_of, slave_of

if TYPE_CHECKING:
    from ...core.net import Net

__all__ = [
    "IflaBondSlave",
    "bond_changelink",
    "bond_dellink",
    "bond_fill_info",
    "bond_link_ops",
    "bond_newlink",
]


class IflaBondSlave(IntEnum):
    """What is told of a slave (``IFLA_BOND_SLAVE_*``)."""

    STATE = 1
    MII_STATUS = 2
    LINK_FAILURE_COUNT = 3
    PERM_HWADDR = 4
    AD_AGGREGATOR_ID = 6
    AD_ACTOR_OPER_PORT_STATE = 7
    AD_PARTNER_OPER_PORT_STATE = 8


def bond_newlink(net: "Net", name: str, data: LinkData, link: NetDevice | None = None) -> Bonding:
    """Make a bond without slaves, down: ``ip link add NAME type bond mode MODE ...``; ``link`` means nothing.

    Raises
    ------
    OSError
        ``EINVAL``, ``EACCES``, ``EPERM``, ``ENODEV`` for impossible settings; ``EEXIST``.
    """
    bond = bond_create(net, name)
    bond.rtnl_link_ops = bond_link_ops
    bond_set_options(bond, data)
    netif_carrier_off(bond)
    if bond_netdev_event not in net.netdev_chain:
        register_netdevice_notifier(net, bond_netdev_event)
    register_netdevice(bond)
    return bond


def bond_dellink(dev: NetDevice) -> None:
    """Take a bond away; its slaves are let go: ``ip link del NAME``."""
    unregister_netdevice(dev)


def bond_changelink(dev: NetDevice, data: LinkData) -> None:
    """Change settings: ``ip link set NAME type bond ...``.

    Raises
    ------
    OSError
        As for a new bond; ``ENOTEMPTY``, ``EBUSY`` for what a bond with slaves, or one that is up, cannot change.
    """
    with dev.kernel.rtnl:
        bond_set_options(bonding_of(dev), data)


def bond_fill_info(dev: NetDevice) -> LinkData:
    """Return the settings of a bond."""
    bond = bonding_of(dev)
    params = bond.params
    info: dict[int, int] = {
        IflaBond.MODE: params.mode,
        IflaBond.MIIMON: params.miimon,
        IflaBond.UPDELAY: params.updelay * params.miimon,
        IflaBond.DOWNDELAY: params.downdelay * params.miimon,
        IflaBond.PEER_NOTIF_DELAY: params.peer_notif_delay * params.miimon,
        IflaBond.PRIMARY_RESELECT: params.primary_reselect,
        IflaBond.XMIT_HASH_POLICY: params.xmit_policy,
        IflaBond.NUM_PEER_NOTIF: params.num_peer_notif,
        IflaBond.ALL_SLAVES_ACTIVE: params.all_slaves_active,
        IflaBond.MIN_LINKS: params.min_links,
        IflaBond.PACKETS_PER_SLAVE: params.packets_per_slave,
        IflaBond.AD_LACP_ACTIVE: params.lacp_active,
        IflaBond.AD_LACP_RATE: params.lacp_fast,
        IflaBond.AD_SELECT: params.ad_select,
    }
    if bond.curr_active_slave is not None and bond_uses_primary(bond):
        info[IflaBond.ACTIVE_SLAVE] = bond.curr_active_slave.dev.ifindex
    if bond.primary_slave is not None:
        info[IflaBond.PRIMARY] = bond.primary_slave.dev.ifindex
    if params.mode == BondMode.AD:
        info[IflaBond.AD_ACTOR_SYS_PRIO] = params.ad_actor_sys_prio
        info[IflaBond.AD_USER_PORT_KEY] = params.ad_user_port_key
    return info


def bond_fill_slave_info(dev: NetDevice) -> LinkData:
    """Return what is known of a slave."""
    slave = slave_of(dev)
    if slave is None:
        return {}
    info: dict[int, int | bytes] = {
        IflaBondSlave.STATE: int(slave.backup),
        IflaBondSlave.MII_STATUS: slave.link,
        IflaBondSlave.LINK_FAILURE_COUNT: slave.link_failure_count,
        IflaBondSlave.PERM_HWADDR: slave.perm_hwaddr,
    }
    if slave.ad is not None and slave.ad.aggregator is not None:
        info[IflaBondSlave.AD_AGGREGATOR_ID] = slave.ad.aggregator.identifier
        info[IflaBondSlave.AD_ACTOR_OPER_PORT_STATE] = slave.ad.actor.state
        info[IflaBondSlave.AD_PARTNER_OPER_PORT_STATE] = slave.ad.partner.state
    return info


_U32 = (
    IflaBond.ACTIVE_SLAVE,
    IflaBond.MIIMON,
    IflaBond.UPDELAY,
    IflaBond.DOWNDELAY,
    IflaBond.PRIMARY,
    IflaBond.MIN_LINKS,
    IflaBond.PACKETS_PER_SLAVE,
    IflaBond.PEER_NOTIF_DELAY,
)
_U16 = (IflaBond.AD_ACTOR_SYS_PRIO, IflaBond.AD_USER_PORT_KEY)

bond_link_ops = RtnlLinkOps(
    kind="bond",
    newlink=bond_newlink,
    dellink=bond_dellink,
    changelink=bond_changelink,
    fill_info=bond_fill_info,
    policy={number: "u32" if number in _U32 else "u16" if number in _U16 else "u8" for number in IflaBond},
    slave_policy={
        IflaBondSlave.STATE: "u8",
        IflaBondSlave.MII_STATUS: "u8",
        IflaBondSlave.LINK_FAILURE_COUNT: "u32",
        IflaBondSlave.PERM_HWADDR: "mac",
        IflaBondSlave.AD_AGGREGATOR_ID: "u16",
        IflaBondSlave.AD_ACTOR_OPER_PORT_STATE: "u8",
        IflaBondSlave.AD_PARTNER_OPER_PORT_STATE: "u16",
    },
    fill_slave_info=bond_fill_slave_info,
)

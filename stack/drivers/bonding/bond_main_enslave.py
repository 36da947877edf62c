"""Taking slaves in and letting them go (Linux: drivers/net/bonding/bond_main.c)."""

from errno import EBUSY, EINVAL, EPERM

from ...core.dev_addr_lists import dev_mc_add, dev_mc_del, dev_mc_sync, dev_uc_sync
from ...core.dev_receive import netdev_rx_handler_register, netdev_rx_handler_unregister
from ...core.dev_register import (
    dev_get_stats,
    netif_close,
    netif_open,
    netif_set_mac_address,
    netif_set_mtu,
)
from ...core.dev_upper import netdev_master_upper_dev_link, netdev_upper_dev_unlink
from ...core.link_watch import netif_carrier_off
from ...core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ...core.netdevice import (
    IFF_SLAVE,
    IFF_UP,
    IFF_XMIT_DST_RELEASE,
    NETIF_F_CSUM_MASK,
    NETIF_F_FRAGLIST,
    NETIF_F_GRO,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_VLAN_CTAG_FILTER,
    NETIF_F_LLTX,
    NETIF_F_SG,
    NetDevice,
)
from ...ethernet.eth import eth_hw_addr_random
from ...vlan.vlan_core import vlan_vids_add_by_dev, vlan_vids_del_by_dev
from ...wire.lacp import SLOW_PROTOCOLS
from .bond_3ad import bond_3ad_bind_slave, bond_3ad_initialize, bond_3ad_unbind_slave
from .bond_main_active import (
    bond_change_active_slave,
    bond_hw_addr_flush,
    bond_select_active_slave,
    bond_set_carrier,
    hand_down_modes,
)
from .bond_main_mii import bond_check_dev_link
from .bond_main_rx import bond_fold_stats, bond_handle_frame
from .bonding import (
    Bonding,
    BondLink,
    BondMode,
    Slave,
    bond_set_slave_active_flags,
    bond_set_slave_inactive_flags,
    bond_update_slave_arr,
    bond_uses_primary,
    bonding_of,
    slave_of,
)

__all__ = ["BOND_ALWAYS_ON_FEATURES", "bond_compute_features", "bond_enslave", "bond_release", "bond_release_one"]

BOND_ALWAYS_ON_FEATURES = NETIF_F_LLTX | NETIF_F_HW_VLAN_CTAG_FILTER
BOND_FEATURES = NETIF_F_SG | NETIF_F_CSUM_MASK | NETIF_F_HIGHDMA | NETIF_F_FRAGLIST


def bond_enslave(master: NetDevice, dev: NetDevice) -> None:
    """Take a device that is down into a bond, and bring it up (``ndo_add_slave``).

    It gets the bond's address, which the first slave gives the bond, and its MTU.

    Raises
    ------
    OSError
        ``EPERM`` if it is up or the bond itself; ``EBUSY`` if it is in a bond, or its frames go elsewhere; ``EINVAL``
        for another kind of device, or one of another namespace; what opening it raises. Then it is as it was.
    """
    with master.kernel.rtnl:
        _enslave(bonding_of(master), dev)


def _enslave(bond: Bonding, dev: NetDevice) -> None:
    if dev.flags & IFF_SLAVE or dev.master is not None or dev.rx_handler is not None:
        raise OSError(EBUSY, f"{dev.name} is in use")
    if dev is bond or dev.flags & IFF_UP:
        raise OSError(EPERM, f"{dev.name} is up, or the bond itself")
    if dev.type != bond.type or dev.net is not bond.net:
        raise OSError(EINVAL, f"{dev.name} cannot be in one bond with others")
    slave = Slave(bond, dev, dev.dev_addr, dev.mtu)
    address = bond.dev_addr
    if not bond.slave_list and bond.addr_random:
        netif_set_mac_address_of_bond(bond, dev.dev_addr)
    try:
        netif_set_mtu(dev, bond.mtu)
        netif_set_mac_address(dev, bond.dev_addr)
        dev.flags |= IFF_SLAVE
        netif_open(dev)
        netdev_rx_handler_register(dev, bond_handle_frame)
        dev.rx_handler_data = slave
        netdev_master_upper_dev_link(dev, bond)
        vlan_vids_add_by_dev(dev, bond)
    except OSError:
        if dev in bond.slaves:
            netdev_upper_dev_unlink(dev, bond)
        if dev.rx_handler_data is slave:
            netdev_rx_handler_unregister(dev)
            dev.rx_handler_data = None
        _give_back(slave)
        if not bond.slave_list:
            netif_set_mac_address_of_bond(bond, address)
        raise
    slave.slave_stats = dev_get_stats(dev)
    slave.link = _first_link(slave)
    if bond_uses_primary(bond) and bond.params.primary == dev.name:
        bond.primary_slave = slave
        bond.force_primary = True
    if not bond_uses_primary(bond):
        hand_down_modes(bond, dev, 1)
        if bond.flags & IFF_UP:
            dev_uc_sync(dev, bond)
            dev_mc_sync(dev, bond)
    if bond.params.mode == BondMode.AD:
        dev_mc_add(dev, SLOW_PROTOCOLS)
    _set_first_flags(slave)
    bond.slave_list.append(slave)
    bond_compute_features(bond)
    bond_set_carrier(bond)
    if bond_uses_primary(bond):
        bond_select_active_slave(bond)
    bond_update_slave_arr(bond)


def netif_set_mac_address_of_bond(bond: Bonding, addr: bytes) -> None:
    """Give the bond an address that its slaves shall follow (``bond_set_dev_addr``)."""
    bond.dev_addr = addr
    call_netdevice_notifiers(NetdevEvent.CHANGEADDR, bond)


def _first_link(slave: Slave) -> BondLink:
    """Return what a new slave's link counts as: without monitoring every link is there."""
    params = slave.bond.params
    if not params.miimon:
        return BondLink.UP
    if not bond_check_dev_link(slave):
        return BondLink.DOWN
    if params.updelay:
        slave.delay = params.updelay
        return BondLink.BACK
    return BondLink.UP


def _set_first_flags(slave: Slave) -> None:
    """Make a new slave active, or wait until it is chosen, as the mode wants it."""
    bond = slave.bond
    if bond.params.mode == BondMode.ACTIVEBACKUP:
        bond_set_slave_inactive_flags(slave)
    elif bond.params.mode == BondMode.AD:
        bond_set_slave_inactive_flags(slave)
        if not bond.slave_list:
            bond_3ad_initialize(bond)
        bond_3ad_bind_slave(slave)
    else:
        bond_set_slave_active_flags(slave)
        if bond.curr_active_slave is None and slave.link == BondLink.UP:
            bond.curr_active_slave = slave


def bond_release(master: NetDevice, dev: NetDevice) -> None:
    """Let a slave go, down, with its own address and MTU (``ndo_del_slave``).

    Raises
    ------
    OSError
        ``EINVAL`` if it is none of this bond.
    """
    with master.kernel.rtnl:
        bond_release_one(bonding_of(master), dev, unregister=False)


def bond_release_one(bond: Bonding, dev: NetDevice, *, unregister: bool) -> None:
    """Do the same for a caller that holds ``rtnl``; ``unregister`` if the device is going away."""
    slave = slave_of(dev)
    if slave is None or slave.bond is not bond:
        raise OSError(EINVAL, f"{dev.name} is not in {bond.name}")
    bond_set_slave_inactive_flags(slave)
    bond_fold_stats(bond)
    bond.slave_list.remove(slave)
    vlan_vids_del_by_dev(dev, bond)
    netdev_upper_dev_unlink(dev, bond)
    netdev_rx_handler_unregister(dev)
    dev.rx_handler_data = None
    if bond.params.mode == BondMode.AD:
        bond_3ad_unbind_slave(slave)
        dev_mc_del(dev, SLOW_PROTOCOLS)
    bond_update_slave_arr(bond, slave)
    if bond.primary_slave is slave:
        bond.primary_slave = None
    if bond.curr_active_slave is slave:
        bond_change_active_slave(bond, None)
        bond_select_active_slave(bond)
    bond_set_carrier(bond)
    if not bond.slave_list:
        netif_carrier_off(bond)
        bond.addr_random = True
        netif_set_mac_address_of_bond(bond, eth_hw_addr_random(bond.kernel))
    bond_compute_features(bond)
    if not bond_uses_primary(bond):
        hand_down_modes(bond, dev, -1)
        if bond.flags & IFF_UP:
            bond_hw_addr_flush(bond, dev)
    if not unregister:
        _give_back(slave)


def _give_back(slave: Slave) -> None:
    """Leave a device as it was before it came."""
    dev = slave.dev
    netif_close(dev)
    dev.flags &= ~IFF_SLAVE
    netif_set_mac_address(dev, slave.perm_hwaddr)
    netif_set_mtu(dev, slave.original_mtu)


def bond_compute_features(bond: Bonding) -> None:
    """Give the bond the features that all its slaves have; it keeps routes on its packets if one of them needs them."""
    features = BOND_FEATURES
    keep = False
    for slave in bond.slave_list:
        features &= slave.dev.features
        keep |= not slave.dev.priv_flags & IFF_XMIT_DST_RELEASE
    bond.features = (features if bond.slave_list else 0) | BOND_ALWAYS_ON_FEATURES | bond.features & NETIF_F_GRO
    bond.needed_headroom = max((slave.dev.needed_headroom for slave in bond.slave_list), default=0)
    if keep:
        bond.priv_flags &= ~IFF_XMIT_DST_RELEASE
    else:
        bond.priv_flags |= IFF_XMIT_DST_RELEASE
    call_netdevice_notifiers(NetdevEvent.FEAT_CHANGE, bond)

"""Bonds: several devices that act as one (Linux: drivers/net/bonding/bond_main.c)."""

from errno import EADDRNOTAVAIL
from typing import TYPE_CHECKING

from ...core.dev_addr_lists import (
    dev_mc_sync,
    dev_set_allmulti,
    dev_set_promiscuity,
    dev_uc_sync,
)
from ...core.dev_register import netif_set_mac_address, netif_set_mtu
from ...core.netdev_event import NetdevEvent
from ...core.netdevice import (
    IFF_ALLMULTI,
    IFF_BROADCAST,
    IFF_MASTER,
    IFF_MULTICAST,
    IFF_NO_QUEUE,
    IFF_PROMISC,
    IFF_UNICAST_FLT,
    NETIF_F_GRO,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from ...core.workqueue import DelayedWork, cancel_delayed_work, queue_delayed_work
from ...ethernet.eth import eth_hw_addr_random, ether_setup
from ...vlan.vlan_core import vlan_vid_add, vlan_vid_del
from .bond_3ad import (
    ad_update_actor_keys,
    bond_3ad_initiate_agg_selection,
    bond_3ad_lacpdu_recv,
    bond_3ad_state_machine_handler,
    bond_3ad_update_system,
)
from .bond_3ad_port import AdBond
from .bond_main_active import bond_hw_addr_flush
from .bond_main_enslave import (
    BOND_ALWAYS_ON_FEATURES,
    BOND_FEATURES,
    bond_compute_features,
    bond_enslave,
    bond_release,
    bond_release_one,
)
from .bond_main_mii import bond_mii_monitor
from .bond_main_rx import bond_get_stats
from .bond_main_xmit import bond_select_queue, bond_start_xmit
from .bonding import (
    BOND_DEFAULT_TX_QUEUES,
    Bonding,
    BondMode,
    Slave,
    bond_set_slave_active_flags,
    bond_set_slave_inactive_flags,
    bond_update_slave_arr,
    bond_uses_primary,
    bonding_of,
    slave_of,
)

if TYPE_CHECKING:
    from ...core.net import Net

__all__ = ["bond_create", "bond_netdev_event"]


def bond_open(dev: NetDevice) -> None:
    """Bring a bond up: its slaves begin to act as one."""
    bond = bonding_of(dev)
    for slave in bond.slave_list:
        if bond_uses_primary(bond) and slave is not bond.curr_active_slave:
            bond_set_slave_inactive_flags(slave)
        elif bond.params.mode != BondMode.AD:
            bond_set_slave_active_flags(slave)
    if bond.params.miimon:
        queue_delayed_work(bond.mii_work, 0)
    if bond.params.mode == BondMode.AD:
        queue_delayed_work(bond.ad_work, 0)
        bond.recv_probe = bond_3ad_lacpdu_recv
        bond_3ad_initiate_agg_selection(bond, 1)
    bond_update_slave_arr(bond)


def bond_close(dev: NetDevice) -> None:
    """Take a bond down."""
    bond = bonding_of(dev)
    cancel_delayed_work(bond.mii_work)
    cancel_delayed_work(bond.ad_work)
    bond.send_peer_notif = 0
    bond.recv_probe = None
    for slave in _receivers(bond):
        bond_hw_addr_flush(bond, slave.dev)


def bond_uninit(dev: NetDevice) -> None:
    """Let all slaves go."""
    bond = bonding_of(dev)
    for slave in list(bond.slave_list):
        bond_release_one(bond, slave.dev, unregister=False)


def _receivers(bond: Bonding) -> list[Slave]:
    """Return the slaves that receive what the bond is to receive."""
    if not bond_uses_primary(bond):
        return bond.slave_list
    return [] if bond.curr_active_slave is None else [bond.curr_active_slave]


def bond_set_rx_mode(dev: NetDevice) -> None:
    """Hand addresses and groups down (``ndo_set_rx_mode``)."""
    for slave in _receivers(bonding_of(dev)):
        dev_uc_sync(slave.dev, dev)
        dev_mc_sync(slave.dev, dev)


def bond_change_rx_flags(dev: NetDevice, change: int) -> None:
    """Hand modes down (``ndo_change_rx_flags``)."""
    for slave in _receivers(bonding_of(dev)):
        if change & IFF_PROMISC:
            dev_set_promiscuity(slave.dev, 1 if dev.flags & IFF_PROMISC else -1)
        if change & IFF_ALLMULTI:
            dev_set_allmulti(slave.dev, 1 if dev.flags & IFF_ALLMULTI else -1)


def bond_change_mtu(dev: NetDevice, mtu: int) -> None:
    """Set the MTU of all slaves, and so the bond's, or of none (``ndo_change_mtu``)."""
    bond = bonding_of(dev)
    done: list[Slave] = []
    try:
        for slave in bond.slave_list:
            netif_set_mtu(slave.dev, mtu)
            done.append(slave)
    except OSError:
        for slave in done:
            netif_set_mtu(slave.dev, bond.mtu)
        raise
    bond.mtu = mtu


def bond_vlan_rx_add_vid(dev: NetDevice, proto: int, vid: int) -> None:
    """Have all slaves receive a VLAN (``ndo_vlan_rx_add_vid``); if one of them cannot, none does."""
    added: list[NetDevice] = []
    try:
        for slave in bonding_of(dev).slave_list:
            vlan_vid_add(slave.dev, proto, vid)
            added.append(slave.dev)
    except OSError:
        for slave_dev in added:
            vlan_vid_del(slave_dev, proto, vid)
        raise


def bond_vlan_rx_kill_vid(dev: NetDevice, proto: int, vid: int) -> None:
    """End that (``ndo_vlan_rx_kill_vid``)."""
    for slave in bonding_of(dev).slave_list:
        vlan_vid_del(slave.dev, proto, vid)


def bond_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Set the address of all slaves, and so the bond's, or of none (``ndo_set_mac_address``)."""
    bond = bonding_of(dev)
    if not any(addr):
        raise OSError(EADDRNOTAVAIL, f"{addr.hex(':')} is no address for {bond.name}")
    done: list[Slave] = []
    try:
        for slave in bond.slave_list:
            netif_set_mac_address(slave.dev, addr)
            done.append(slave)
    except OSError:
        for slave in done:
            netif_set_mac_address(slave.dev, bond.dev_addr)
        raise
    bond.dev_addr = bytes(addr)
    bond.addr_random = False
    bond_3ad_update_system(bond)


def bond_netdev_event(event: NetdevEvent, dev: NetDevice) -> None:
    """Follow what happens to a slave."""
    slave = slave_of(dev)
    if slave is None:
        return
    bond = slave.bond
    if event == NetdevEvent.UNREGISTER:
        bond_release_one(bond, dev, unregister=True)
    elif event in (NetdevEvent.UP, NetdevEvent.CHANGE, NetdevEvent.DOWN):
        if slave.ad is not None and event != NetdevEvent.DOWN:
            ad_update_actor_keys(slave.ad)
        bond_update_slave_arr(bond)
    elif event == NetdevEvent.FEAT_CHANGE:
        bond_compute_features(bond)


_OPS = NetDeviceOps(
    ndo_start_xmit=bond_start_xmit,
    ndo_select_queue=bond_select_queue,
    ndo_uninit=bond_uninit,
    ndo_open=bond_open,
    ndo_stop=bond_close,
    ndo_change_mtu=bond_change_mtu,
    ndo_set_mac_address=bond_set_mac_address,
    ndo_get_stats64=bond_get_stats,
    ndo_set_rx_mode=bond_set_rx_mode,
    ndo_change_rx_flags=bond_change_rx_flags,
    ndo_vlan_rx_add_vid=bond_vlan_rx_add_vid,
    ndo_vlan_rx_kill_vid=bond_vlan_rx_kill_vid,
    ndo_add_slave=bond_enslave,
    ndo_del_slave=bond_release,
)
_CAPABILITIES = Capabilities(
    features=BOND_FEATURES | BOND_ALWAYS_ON_FEATURES, max_mtu=65535, tx_queues=BOND_DEFAULT_TX_QUEUES
)


def bond_create(net: "Net", name: str) -> Bonding:
    """Return a bond with default settings and a random address, not registered (``bond_setup``)."""
    bond = Bonding(net, name, _OPS, _CAPABILITIES)
    ether_setup(bond)
    bond.flags |= IFF_BROADCAST | IFF_MULTICAST | IFF_MASTER
    bond.priv_flags |= IFF_NO_QUEUE | IFF_UNICAST_FLT
    bond.features = BOND_ALWAYS_ON_FEATURES | NETIF_F_GRO
    bond.dev_addr = eth_hw_addr_random(net.kernel)
    bond.ad = AdBond()
    bond.mii_work = DelayedWork(net.kernel, lambda: bond_mii_monitor(bond))
    bond.ad_work = DelayedWork(net.kernel, lambda: bond_3ad_state_machine_handler(bond))
    return bond

"""Looking at the links of the slaves (Linux: drivers/net/bonding/bond_main.c)."""

from ...core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ...core.netdevice import netif_carrier_ok, netif_running
from ...core.workqueue import queue_delayed_work
from .bond_3ad import bond_3ad_handle_link_change
from .bond_main_active import (
    bond_select_active_slave,
    bond_set_carrier,
    bond_should_notify_peers,
)
from .bonding import (
    Bonding,
    BondLink,
    BondMode,
    Slave,
    bond_set_slave_inactive_flags,
    bond_update_slave_arr,
    msecs_to_jiffies,
)

__all__ = ["bond_check_dev_link", "bond_mii_monitor", "bond_miimon_link_change"]


def bond_check_dev_link(slave: Slave) -> bool:
    """Return whether a slave is up and says that it has a link."""
    return netif_running(slave.dev) and netif_carrier_ok(slave.dev)


def bond_mii_monitor(bond: Bonding) -> None:
    """Look at all links, do what follows, and look again later."""
    delay = msecs_to_jiffies(bond.params.miimon)
    notify = False
    if bond.slave_list:
        notify = bond_should_notify_peers(bond)
        changed = bond_miimon_inspect(bond)
        if bond.kernel.rtnl.is_locked and (changed or notify):
            delay, notify = 1, False  # Somebody is changing devices: when he has done.
        else:
            if bond.send_peer_notif:
                bond.send_peer_notif -= 1
            if changed:
                bond_miimon_commit(bond)
    if bond.params.miimon:
        queue_delayed_work(bond.mii_work, delay)
    if notify:
        call_netdevice_notifiers(NetdevEvent.NOTIFY_PEERS, bond)


def bond_miimon_inspect(bond: Bonding) -> bool:
    """Look at all links, and propose what to make of them; return whether anything is to change.

    A link that comes while there is none counts at once.
    """
    ignore_updelay = bond.curr_active_slave is None
    for slave in bond.slave_list:
        slave.link_new_state = None
        present = bond_check_dev_link(slave)
        if slave.link in (BondLink.UP, BondLink.FAIL):
            if present:
                if slave.link == BondLink.FAIL:
                    slave.link_new_state = BondLink.UP
                continue
            if slave.link == BondLink.UP:
                slave.link_new_state = BondLink.FAIL
                slave.delay = bond.params.downdelay
            if slave.delay <= 0:
                slave.link_new_state = BondLink.DOWN
            else:
                slave.delay -= 1
        else:
            if not present:
                if slave.link == BondLink.BACK:
                    slave.link_new_state = BondLink.DOWN
                continue
            if slave.link == BondLink.DOWN:
                slave.link_new_state = BondLink.BACK
                slave.delay = bond.params.updelay
            if ignore_updelay:
                slave.delay = 0
            if slave.delay <= 0:
                slave.link_new_state = BondLink.UP
                ignore_updelay = False
            else:
                slave.delay -= 1
    return any(slave.link_new_state is not None for slave in bond.slave_list)


def bond_miimon_commit(bond: Bonding) -> None:
    """Do what was proposed."""
    failover = False
    for slave in bond.slave_list:
        state = slave.link_new_state
        if state is None:
            continue
        slave.link, before = state, slave.link
        slave.link_new_state = None
        if state == BondLink.UP:
            if bond.params.mode == BondMode.AD:
                slave.backup = True  # Until its aggregator is the active one.
            elif bond.params.mode != BondMode.ACTIVEBACKUP:
                slave.backup = False
            bond_miimon_link_change(bond, slave)
            failover |= bond.curr_active_slave is None or slave is bond.primary_slave
        elif state == BondLink.DOWN:
            if before != BondLink.BACK:
                slave.link_failure_count += 1
            if bond.params.mode in (BondMode.ACTIVEBACKUP, BondMode.AD):
                bond_set_slave_inactive_flags(slave)
            bond_miimon_link_change(bond, slave)
            failover |= slave is bond.curr_active_slave
    if failover:
        bond_select_active_slave(bond)
    bond_set_carrier(bond)


def bond_miimon_link_change(bond: Bonding, slave: Slave) -> None:
    """Tell the mode that a link came or went for good."""
    if bond.params.mode == BondMode.AD:
        bond_3ad_handle_link_change(slave, slave.link == BondLink.UP)
    bond_update_slave_arr(bond)

"""Which slave is the active one, and the link of the bond (Linux: drivers/net/bonding/bond_main.c)."""

from ...core.dev_addr_lists import (
    dev_mc_sync,
    dev_mc_unsync,
    dev_set_allmulti,
    dev_set_promiscuity,
    dev_uc_sync,
    dev_uc_unsync,
)
from ...core.link_watch import netif_carrier_off, netif_carrier_on
from ...core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ...core.netdevice import (
    IFF_ALLMULTI,
    IFF_PROMISC,
    IFF_UP,
    LINK_STATE_LINKWATCH_PENDING,
    NetDevice,
    netif_carrier_ok,
    netif_running,
)
from .bond_3ad import bond_3ad_handle_link_change
from .bond_3ad_agg import bond_3ad_set_carrier
from .bonding import (
    Bonding,
    BondLink,
    BondMode,
    PrimaryReselect,
    Slave,
    bond_set_slave_active_flags,
    bond_set_slave_inactive_flags,
    bond_slave_is_up,
    bond_uses_primary,
    speed_of,
)

__all__ = [
    "bond_change_active_slave",
    "bond_hw_addr_flush",
    "bond_select_active_slave",
    "bond_set_carrier",
    "bond_should_notify_peers",
    "hand_down_modes",
]


def bond_choose_primary_or_current(bond: Bonding) -> Slave | None:
    """Return the preferred slave or the present one, if either has a link and may be the active one."""
    primary, current = bond.primary_slave, bond.curr_active_slave
    current_up = current is not None and current.link == BondLink.UP
    if primary is None or primary.link != BondLink.UP:
        return current if current_up else None
    if bond.force_primary:
        bond.force_primary = False
        return primary
    if current is None or not current_up:
        return primary
    reselect = bond.params.primary_reselect
    if reselect == PrimaryReselect.ALWAYS:
        return primary
    if reselect == PrimaryReselect.BETTER:
        return primary if speed_of(primary) > speed_of(current) else current
    return current


def bond_find_best_slave(bond: Bonding) -> Slave | None:
    """Return the slave that should be the active one: one with a link, else the one that soonest has it."""
    chosen = bond_choose_primary_or_current(bond)
    if chosen is not None:
        return chosen
    best, least = None, bond.params.updelay
    for slave in bond.slave_list:
        if slave.link == BondLink.UP:
            return slave
        if slave.link == BondLink.BACK and bond_slave_is_up(slave) and slave.delay < least:
            best, least = slave, slave.delay
    return best


def bond_select_active_slave(bond: Bonding) -> None:
    """Make the slave the active one that should be it."""
    best = bond_find_best_slave(bond)
    if best is not bond.curr_active_slave:
        bond_change_active_slave(bond, best)
        bond_set_carrier(bond)


def bond_change_active_slave(bond: Bonding, new_active: Slave | None) -> None:
    """Make a slave the active one, and tell the peers behind it where the bond is now."""
    old_active = bond.curr_active_slave
    if old_active is new_active:
        return
    if new_active is not None and new_active.link == BondLink.BACK:
        new_active.delay = 0
        new_active.link = BondLink.UP
        if bond.params.mode == BondMode.AD:
            bond_3ad_handle_link_change(new_active, True)
    if bond_uses_primary(bond):
        bond_hw_addr_swap(bond, new_active, old_active)
    bond.curr_active_slave = new_active
    if bond.params.mode != BondMode.ACTIVEBACKUP:
        return
    if old_active is not None:
        bond_set_slave_inactive_flags(old_active)
    if new_active is None:
        return
    bond_set_slave_active_flags(new_active)
    notify = False
    if netif_running(bond):
        bond.send_peer_notif = bond.params.num_peer_notif * max(1, bond.params.peer_notif_delay)
        notify = bond_should_notify_peers(bond)
    call_netdevice_notifiers(NetdevEvent.BONDING_FAILOVER, bond)
    if notify:
        bond.send_peer_notif -= 1
        call_netdevice_notifiers(NetdevEvent.NOTIFY_PEERS, bond)


def bond_should_notify_peers(bond: Bonding) -> bool:
    """Return whether to tell the peers now: that is still to be done, and can be."""
    slave = bond.curr_active_slave
    return (
        slave is not None
        and bond.send_peer_notif > 0
        and not bond.send_peer_notif % max(1, bond.params.peer_notif_delay)
        and netif_carrier_ok(bond)
        and not slave.dev.state & LINK_STATE_LINKWATCH_PENDING
    )


def bond_set_carrier(bond: Bonding) -> None:
    """Give the bond a link if it can send."""
    if bond.params.mode == BondMode.AD:
        bond_3ad_set_carrier(bond)
    elif any(slave.link == BondLink.UP for slave in bond.slave_list):
        netif_carrier_on(bond)
    else:
        netif_carrier_off(bond)


def hand_down_modes(bond: Bonding, dev: NetDevice, inc: int) -> None:
    """Have a slave receive all frames, or all groups', as the bond does; or no longer."""
    if bond.flags & IFF_PROMISC:
        dev_set_promiscuity(dev, inc)
    if bond.flags & IFF_ALLMULTI:
        dev_set_allmulti(dev, inc)


def bond_hw_addr_flush(bond: Bonding, dev: NetDevice) -> None:
    """Have a slave receive the bond's addresses and groups no longer."""
    dev_uc_unsync(dev, bond)
    dev_mc_unsync(dev, bond)


def bond_hw_addr_swap(bond: Bonding, new_active: Slave | None, old_active: Slave | None) -> None:
    """Have the new active slave receive what the old one did."""
    if old_active is not None:
        hand_down_modes(bond, old_active.dev, -1)
        if bond.flags & IFF_UP:
            bond_hw_addr_flush(bond, old_active.dev)
    if new_active is not None:
        hand_down_modes(bond, new_active.dev, 1)
        if bond.flags & IFF_UP:
            dev_uc_sync(new_active.dev, bond)
            dev_mc_sync(new_active.dev, bond)

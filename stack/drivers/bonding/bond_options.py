"""Settings of a bond, and what each asks for (Linux: drivers/net/bonding/bond_options.c)."""

from collections.abc import Callable
from enum import IntEnum
from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOTEMPTY, EPERM

from ...core.netdevice import IFF_UP
from ...core.rtnl_link import LinkData
from ...core.workqueue import cancel_delayed_work, queue_delayed_work
from .bond_main_active import bond_change_active_slave, bond_select_active_slave
from .bonding import (
    AdSelect,
    Bonding,
    BondLink,
    BondMode,
    PrimaryReselect,
    XmitPolicy,
    bond_is_active_slave,
    bond_slave_is_up,
    bond_update_slave_arr,
    slave_of,
)

__all__ = ["IflaBond", "bond_set_options"]

_DEFAULT_MIIMON_MS = 100


class IflaBond(IntEnum):
    """Settings of a bond (``IFLA_BOND_*``)."""

    MODE = 1
    ACTIVE_SLAVE = 2
    MIIMON = 3
    UPDELAY = 4
    DOWNDELAY = 5
    PRIMARY = 11
    PRIMARY_RESELECT = 12
    XMIT_HASH_POLICY = 14
    NUM_PEER_NOTIF = 16
    ALL_SLAVES_ACTIVE = 17
    MIN_LINKS = 18
    PACKETS_PER_SLAVE = 20
    AD_LACP_RATE = 21
    AD_SELECT = 22
    AD_ACTOR_SYS_PRIO = 24
    AD_USER_PORT_KEY = 25
    PEER_NOTIF_DELAY = 28
    AD_LACP_ACTIVE = 29


def _checked(value: int, least: int, most: int, what: str) -> int:
    if not least <= value <= most:
        raise OSError(EINVAL, f"{what} must be {least}..{most}, not {value}")
    return value


def _needs(bond: Bonding, mode: BondMode) -> None:
    if bond.params.mode != mode:
        raise OSError(EACCES, f"{bond.name} is not in mode {mode.name}")


def _needs_down(bond: Bonding) -> None:
    if bond.flags & IFF_UP:
        raise OSError(EBUSY, f"{bond.name} is up")


def _set_mode(bond: Bonding, value: int) -> None:
    if value not in tuple(BondMode):
        raise OSError(EINVAL, f"there is no mode {value}")
    if bond.slave_list:
        raise OSError(ENOTEMPTY, f"{bond.name} has slaves")
    _needs_down(bond)
    bond.params.mode = BondMode(value)
    if value == BondMode.AD and not bond.params.miimon:
        bond.params.miimon = _DEFAULT_MIIMON_MS


def _set_miimon(bond: Bonding, value: int) -> None:
    params = bond.params
    updelay, downdelay = params.updelay * params.miimon, params.downdelay * params.miimon
    params.miimon = _checked(value, 0, 0x7FFFFFFF, "miimon")
    params.updelay = updelay // value if value else 0
    params.downdelay = downdelay // value if value else 0
    if bond.flags & IFF_UP:
        cancel_delayed_work(bond.mii_work)
        if value:
            queue_delayed_work(bond.mii_work, 0)


def _delay(bond: Bonding, value: int, what: str) -> int:
    if not bond.params.miimon:
        raise OSError(EPERM, f"{what} needs miimon")
    return _checked(value, 0, 0x7FFFFFFF, what) // bond.params.miimon


def _set_updelay(bond: Bonding, value: int) -> None:
    bond.params.updelay = _delay(bond, value, "updelay")


def _set_downdelay(bond: Bonding, value: int) -> None:
    bond.params.downdelay = _delay(bond, value, "downdelay")


def _set_peer_notif_delay(bond: Bonding, value: int) -> None:
    bond.params.peer_notif_delay = _delay(bond, value, "peer_notif_delay")


def _set_primary(bond: Bonding, value: int) -> None:
    _needs(bond, BondMode.ACTIVEBACKUP)
    dev = bond.net.devices.get(value)
    if value and dev is None:
        raise OSError(ENODEV, f"there is no device {value}")
    bond.params.primary = "" if dev is None else dev.name
    slave = None if dev is None else slave_of(dev)
    bond.primary_slave = slave if slave is not None and slave.bond is bond else None
    bond.force_primary = bond.primary_slave is not None
    bond_select_active_slave(bond)


def _set_primary_reselect(bond: Bonding, value: int) -> None:
    bond.params.primary_reselect = PrimaryReselect(_checked(value, 0, 2, "primary_reselect"))
    bond_select_active_slave(bond)


def _set_active_slave(bond: Bonding, value: int) -> None:
    """Make a slave the active one by hand; 0 lets the bond choose."""
    _needs(bond, BondMode.ACTIVEBACKUP)
    if not value:
        bond_change_active_slave(bond, None)
        bond_select_active_slave(bond)
        return
    dev = bond.net.devices.get(value)
    if dev is None:
        raise OSError(ENODEV, f"there is no device {value}")
    slave = slave_of(dev)
    if slave is None or slave.bond is not bond:
        raise OSError(EINVAL, f"{dev.name} is not in {bond.name}")
    if slave is not bond.curr_active_slave:
        if slave.link != BondLink.UP or not bond_slave_is_up(slave):
            raise OSError(EINVAL, f"{dev.name} has no link")
        bond_change_active_slave(bond, slave)


def _set_xmit_hash_policy(bond: Bonding, value: int) -> None:
    bond.params.xmit_policy = XmitPolicy(_checked(value, 0, max(XmitPolicy), "xmit_hash_policy"))


def _set_num_peer_notif(bond: Bonding, value: int) -> None:
    bond.params.num_peer_notif = _checked(value, 0, 255, "num_peer_notif")


def _set_all_slaves_active(bond: Bonding, value: int) -> None:
    bond.params.all_slaves_active = bool(_checked(value, 0, 1, "all_slaves_active"))
    for slave in bond.slave_list:
        if not bond_is_active_slave(slave):
            slave.inactive = not value


def _set_min_links(bond: Bonding, value: int) -> None:
    bond.params.min_links = value


def _set_packets_per_slave(bond: Bonding, value: int) -> None:
    _needs(bond, BondMode.ROUNDROBIN)
    bond.params.packets_per_slave = _checked(value, 0, 65535, "packets_per_slave")


def _set_ad(name: str, least: int, most: int, convert: Callable[[int], int]) -> Callable[[Bonding, int], None]:
    """Return what sets a setting of the Link Aggregation Control Protocol, of a bond that is down."""

    def set_one(bond: Bonding, value: int) -> None:
        _needs(bond, BondMode.AD)
        _needs_down(bond)
        setattr(bond.params, name, convert(_checked(value, least, most, name)))

    return set_one


# In the order in which they are set: some need others.
_SETTERS: dict[IflaBond, Callable[[Bonding, int], None]] = {
    IflaBond.MODE: _set_mode,
    IflaBond.MIIMON: _set_miimon,
    IflaBond.UPDELAY: _set_updelay,
    IflaBond.DOWNDELAY: _set_downdelay,
    IflaBond.PEER_NOTIF_DELAY: _set_peer_notif_delay,
    IflaBond.PRIMARY: _set_primary,
    IflaBond.PRIMARY_RESELECT: _set_primary_reselect,
    IflaBond.ACTIVE_SLAVE: _set_active_slave,
    IflaBond.XMIT_HASH_POLICY: _set_xmit_hash_policy,
    IflaBond.NUM_PEER_NOTIF: _set_num_peer_notif,
    IflaBond.ALL_SLAVES_ACTIVE: _set_all_slaves_active,
    IflaBond.MIN_LINKS: _set_min_links,
    IflaBond.PACKETS_PER_SLAVE: _set_packets_per_slave,
    IflaBond.AD_LACP_RATE: _set_ad("lacp_fast", 0, 1, bool),
    IflaBond.AD_SELECT: _set_ad("ad_select", 0, 2, AdSelect),
    IflaBond.AD_ACTOR_SYS_PRIO: _set_ad("ad_actor_sys_prio", 1, 65535, int),
    IflaBond.AD_USER_PORT_KEY: _set_ad("ad_user_port_key", 0, 1023, int),
    IflaBond.AD_LACP_ACTIVE: _set_ad("lacp_active", 0, 1, bool),
}


def bond_set_options(bond: Bonding, data: LinkData) -> None:
    """Set some settings, in the order in which they need each other.

    Raises
    ------
    OSError
        ``EINVAL`` for impossible values; ``EACCES`` in a mode without use for it; ``ENOTEMPTY``, ``EBUSY``, ``EPERM``
        while there are slaves, the bond is up, or a setting is missing; ``ENODEV``.
    """
    unknown = set(data) - set(_SETTERS)
    if unknown:
        raise OSError(EINVAL, f"a bond has no settings {sorted(unknown)}")
    for number, setter in _SETTERS.items():
        if number in data:
            setter(bond, data[number])
    bond_update_slave_arr(bond)

"""What a bond and its slaves are (Linux: include/net/bonding.h)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from ...core.dev_receive import RxHandlerResult
from ...core.netdevice import Capabilities, NetDevice, NetDeviceOps, Stats64, netif_carrier_ok, netif_running
from ...core.timer import HZ
from ...core.workqueue import DelayedWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.net import Net
    from ...core.skbuff import SkBuff
    from .bond_3ad_port import AdBond, Port

__all__ = [
    "AdSelect",
    "BondLink",
    "BondMode",
    "BondParams",
    "Bonding",
    "PrimaryReselect",
    "Slave",
    "XmitPolicy",
    "bond_is_active_slave",
    "bond_is_slave_inactive",
    "bond_mode_can_use_xmit_hash",
    "bond_set_slave_active_flags",
    "bond_set_slave_inactive_flags",
    "bond_slave_can_tx",
    "bond_slave_is_up",
    "bond_update_slave_arr",
    "bond_uses_primary",
    "bonding_of",
    "msecs_to_jiffies",
    "slave_of",
    "speed_of",
]

BOND_DEFAULT_TX_QUEUES = 16


class BondMode(IntEnum):
    """How frames are spread over the slaves (``BOND_MODE_*``)."""

    ROUNDROBIN = 0
    ACTIVEBACKUP = 1
    XOR = 2
    BROADCAST = 3
    AD = 4  # 8023AD


class BondLink(IntEnum):
    """What monitoring says of a slave's link (``BOND_LINK_*``)."""

    UP = 0
    FAIL = 1  # It went, not long enough ago.
    DOWN = 2
    BACK = 3  # It came, not long enough ago.


class XmitPolicy(IntEnum):
    """What a frame's slave is chosen by (``BOND_XMIT_POLICY_*``)."""

    LAYER2 = 0
    LAYER34 = 1
    LAYER23 = 2


class PrimaryReselect(IntEnum):
    """When the primary slave takes over again (``BOND_PRI_RESELECT_*``)."""

    ALWAYS = 0
    BETTER = 1
    FAILURE = 2


class AdSelect(IntEnum):
    """Which aggregator is used (``BOND_AD_*``)."""

    STABLE = 0
    BANDWIDTH = 1
    COUNT = 2


@dataclass(slots=True)
class BondParams:
    """Settings of a bond (Linux: ``struct bond_params``).

    Parameters
    ----------
    mode : BondMode
        How frames are spread.
    xmit_policy : XmitPolicy
        What a frame's slave is chosen by.
    miimon : int
        Every how many ms links are looked at; 0 for never.
    updelay, downdelay : int
        How often in a row a link must be seen so until it counts.
    num_peer_notif, peer_notif_delay : int
        How often the peers are told of a new active slave, and every how many looks.
    primary : str
        Name of the slave that is preferred.
    primary_reselect : PrimaryReselect
        When it takes over again.
    all_slaves_active : bool
        Whether backup slaves receive, too.
    packets_per_slave : int
        How many frames in a row a slave sends; 0 for a random slave each.
    min_links : int
        How many ports an aggregator needs so that the bond has a link.
    lacp_active, lacp_fast : bool
        Whether LACPDUs are sent unasked, and whether they are asked for every second.
    ad_select : AdSelect
        Which aggregator is used.
    ad_actor_sys_prio, ad_user_port_key : int
        Priority of this system; upper bits of its ports' keys.
    """

    mode: BondMode = BondMode.ROUNDROBIN
    xmit_policy: XmitPolicy = XmitPolicy.LAYER2
    miimon: int = 0
    updelay: int = 0
    downdelay: int = 0
    num_peer_notif: int = 1
    peer_notif_delay: int = 0
    primary: str = ""
    primary_reselect: PrimaryReselect = PrimaryReselect.ALWAYS
    all_slaves_active: bool = False
    packets_per_slave: int = 1
    min_links: int = 0
    lacp_active: bool = True
    lacp_fast: bool = False
    ad_select: AdSelect = AdSelect.STABLE
    ad_actor_sys_prio: int = 65535
    ad_user_port_key: int = 0


@dataclass(eq=False, slots=True)
class Slave:
    """A device in a bond (Linux: ``struct slave``).

    Members
    -------
    link, link_new_state : BondLink
        What is known of its link, and what the last look proposes; None for no change.
    delay : int
        How many looks until it counts.
    backup : bool
        It does not send.
    inactive : bool
        What it receives is for exactly this device only.
    perm_hwaddr, original_mtu : bytes, int
        What it gets back when it is released.
    slave_stats : Stats64
        Its counters when the bond's were made up last.
    ad : Port or None
        Its side of the Link Aggregation Control Protocol.
    """

    bond: "Bonding"
    dev: NetDevice
    perm_hwaddr: bytes
    original_mtu: int
    link: BondLink = BondLink.DOWN
    link_new_state: BondLink | None = None
    delay: int = 0
    backup: bool = True
    inactive: bool = True
    link_failure_count: int = 0
    slave_stats: Stats64 = field(default_factory=Stats64)
    ad: "Port | None" = None


class Bonding(NetDevice):
    """A bond (Linux: ``struct bonding``).

    Members
    -------
    params : BondParams
        Its settings.
    slave_list : list[Slave]
        Its slaves, in the order in which they came.
    curr_active_slave, primary_slave : Slave or None
        The one that sends, in the modes where only one does; and the preferred one.
    force_primary : bool
        The preferred one has just come.
    usable_slaves : list[Slave]
        Those that a hash chooses from.
    recv_probe : callable or None
        What looks at each received frame first.
    send_peer_notif : int
        How often the peers are still to be told.
    addr_random : bool
        Its address is none that was given to it.
    bond_stats : Stats64
        What its slaves have done in it.
    ad : AdBond
        What its ports share.
    """

    ad: "AdBond"

    def __init__(self, net: "Net", name: str, ops: NetDeviceOps, capabilities: Capabilities) -> None:
        super().__init__(net, name, ops, capabilities)
        self.params = BondParams()
        self.slave_list: list[Slave] = []
        self.curr_active_slave: Slave | None = None
        self.primary_slave: Slave | None = None
        self.force_primary = False
        self.usable_slaves: list[Slave] = []
        self.recv_probe: Callable[[SkBuff, Bonding, Slave], RxHandlerResult] | None = None
        self.rr_tx_counter = 0
        self.send_peer_notif = 0
        self.addr_random = True
        self.bond_stats = Stats64()
        self.mii_work: DelayedWork
        self.ad_work: DelayedWork


def bonding_of(dev: NetDevice) -> Bonding:
    """Return a device of this driver as what it is."""
    assert isinstance(dev, Bonding)
    return dev


def slave_of(dev: NetDevice) -> Slave | None:
    """Return what a device is in a bond, None if it is in none."""
    slave = dev.rx_handler_data
    return slave if isinstance(slave, Slave) else None


def msecs_to_jiffies(ms: int) -> int:
    """Return so many ms in ticks, rounded up."""
    return -(-ms * HZ // 1000)


def bond_uses_primary(bond: Bonding) -> bool:
    """Return whether one slave does it all at a time."""
    return bond.params.mode == BondMode.ACTIVEBACKUP


def bond_mode_can_use_xmit_hash(bond: Bonding) -> bool:
    """Return whether slaves are chosen by a hash."""
    return bond.params.mode in (BondMode.AD, BondMode.XOR)


def bond_slave_is_up(slave: Slave) -> bool:
    """Return whether a slave is up and has a link."""
    return netif_running(slave.dev) and netif_carrier_ok(slave.dev)


def bond_is_active_slave(slave: Slave) -> bool:
    """Return whether a slave sends."""
    return not slave.backup


def bond_is_slave_inactive(slave: Slave) -> bool:
    """Return whether the bond does not receive what a slave does."""
    return slave.inactive


def bond_slave_can_tx(slave: Slave) -> bool:
    """Return whether a slave can send now."""
    return not slave.backup and slave.link == BondLink.UP and bond_slave_is_up(slave)


def bond_set_slave_inactive_flags(slave: Slave) -> None:
    """Make a slave a backup, which receives nothing for the bond."""
    slave.backup = True
    if not slave.bond.params.all_slaves_active:
        slave.inactive = True


def bond_set_slave_active_flags(slave: Slave) -> None:
    """Make a slave one that sends and receives."""
    slave.backup = slave.inactive = False


def bond_update_slave_arr(bond: Bonding, skip: Slave | None = None) -> None:
    """Note between which slaves a hash chooses; ``skip`` is about to go."""
    if not bond_mode_can_use_xmit_hash(bond):
        return
    slaves = bond.slave_list
    if bond.params.mode == BondMode.AD:
        active = bond.ad.active
        slaves = [s for s in slaves if active is not None and s.ad is not None and s.ad.aggregator is active]
    bond.usable_slaves = [slave for slave in slaves if slave is not skip and bond_slave_can_tx(slave)]


def speed_of(slave: Slave) -> int:
    """Return the speed of a slave's link, in Mb/s: 10000 if it is a virtual one."""
    ethtool = slave.dev.ethtool_ops
    speed: int | None = 10_000 if ethtool is None else ethtool.get_link_ksettings().speed_mbps
    return speed or 0

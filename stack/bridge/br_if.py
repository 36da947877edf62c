"""Devices that become ports of a bridge, and leave it (Linux: net/bridge/br_if.c)."""

from contextlib import suppress
from errno import EBUSY, EINVAL, ELOOP, ENOSPC
from typing import TYPE_CHECKING

from ..core.dev_addr_lists import dev_set_allmulti, dev_set_promiscuity
from ..core.dev_receive import netdev_rx_handler_register, netdev_rx_handler_unregister
from ..core.dev_register import netif_set_mtu
from ..core.dev_upper import netdev_master_upper_dev_link, netdev_upper_dev_unlink
from ..core.ethtool import __ethtool_get_link_ksettings
from ..core.link_watch import netif_oper_up
from ..core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ..core.netdevice import ARPHRD_ETHER, IFF_BRIDGE_PORT, IFF_EBRIDGE, IFF_LOOPBACK, IFF_UP, NetDevice, netif_running
from .br_fdb import br_fdb_add_local, br_fdb_delete_by_port
from .br_input import br_handle_frame
from .br_private import (
    BR_ADMIN_COST,
    BR_MAX_PORTS,
    BR_PROMISC,
    BR_STATE_DISABLED,
    NetBridge,
    NetBridgePort,
    br_port_get_rcu,
)
from .br_stp_if import (
    br_init_port,
    br_stp_disable_port,
    br_stp_enable_port,
    br_stp_recalculate_bridge_id,
)
from .br_stp_timer import br_stp_port_timer_init

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["br_add_if", "br_del_if", "br_mtu_auto_adjust", "br_port_carrier_check", "port_cost"]

# As the kernel compared with has it: of IEEE Std 802.1D-1998 table 8-5 with room for what lies between 1 and 10 Gb/s.
_COSTS = {10_000: 2, 5000: 3, 2500: 4, 1000: 5, 100: 19, 10: 100}
_DEFAULT_COST = 100
_MTU = 1500


def port_cost(dev: NetDevice) -> int:
    """Return the cost of sending by a device, by its speed."""
    try:
        speed = __ethtool_get_link_ksettings(dev).speed_mbps or 0
    except OSError:
        return _DEFAULT_COST
    return 1 if speed > max(_COSTS) else _COSTS.get(speed, _DEFAULT_COST)


def br_port_carrier_check(p: NetBridgePort) -> None:
    """Follow the link of a port's device."""
    dev, br = p.dev, p.br
    usable = netif_running(dev) and netif_oper_up(dev)
    if usable and not p.flags & BR_ADMIN_COST:
        p.path_cost = port_cost(dev)
    if not netif_running(br.dev):
        return
    if usable and p.state == BR_STATE_DISABLED:
        br_stp_enable_port(p)
    elif not usable and p.state != BR_STATE_DISABLED:
        br_stp_disable_port(p)


def br_manage_promisc(br: NetBridge) -> None:
    """Have the ports receive all frames, since the bridge learns from them (without VLAN filtering it must)."""
    for p in br.port_list:
        if not p.flags & BR_PROMISC:
            dev_set_promiscuity(p.dev, 1)
            p.flags |= BR_PROMISC


def find_portno(br: NetBridge) -> int:
    """Return the lowest free number of a port; 0 is the bridge's own.

    Raises
    ------
    OSError
        ``ENOSPC`` (Linux: ``EXFULL``) if there is none.
    """
    used = {p.port_no for p in br.port_list}
    for number in range(1, BR_MAX_PORTS):
        if number not in used:
            return number
    raise OSError(ENOSPC, f"{br.dev.name} has {BR_MAX_PORTS - 1} ports")


def new_nbp(br: NetBridge, dev: NetDevice) -> NetBridgePort:
    """Return a new port, disabled."""
    p = NetBridgePort(br, dev, find_portno(br), port_cost(dev))
    br_init_port(p)
    p.state = BR_STATE_DISABLED
    br_stp_port_timer_init(p)
    return p


def del_nbp(p: NetBridgePort) -> None:
    """Take a port out of its bridge."""
    br, dev = p.br, p.dev
    br_stp_disable_port(p)
    br_fdb_delete_by_port(br, p, do_all=True)
    br.port_list.remove(p)
    netdev_rx_handler_unregister(dev)
    netdev_upper_dev_unlink(dev, br.dev)
    dev.priv_flags &= ~IFF_BRIDGE_PORT
    dev.rx_handler_data = None
    dev_set_allmulti(dev, -1)
    if p.flags & BR_PROMISC:
        dev_set_promiscuity(dev, -1)


def br_mtu_min(br: NetBridge) -> int:
    """Return the smallest MTU of the ports."""
    return min((p.dev.mtu for p in br.port_list), default=_MTU)


def br_mtu_auto_adjust(br: NetBridge) -> None:
    """Give a bridge the smallest MTU of its ports, unless somebody chose one."""
    if not br.mtu_set:
        with suppress(OSError):  # A port's may be too small for a bridge.
            netif_set_mtu(br.dev, br_mtu_min(br))
        br.mtu_set = False  # This one was nobody's choice.


def _headroom(ports: "Iterable[NetBridgePort]") -> int:
    return max((p.dev.needed_headroom for p in ports), default=0)


def br_add_if(br: NetBridge, dev: NetDevice) -> None:
    """Make a device a port of a bridge.

    Raises
    ------
    OSError
        ``EINVAL`` for loopback, for what is no Ethernet, and for a device without an address; ``ELOOP`` for another
        bridge; ``EBUSY`` if it is enslaved or has a receive handler.
    """
    addr = dev.dev_addr
    if dev.flags & IFF_LOOPBACK or dev.type != ARPHRD_ETHER or len(addr) != 6 or addr == bytes(6) or addr[0] & 1:
        raise OSError(EINVAL, f"{dev.name} cannot be a port of a bridge")
    if dev.priv_flags & IFF_EBRIDGE:
        raise OSError(ELOOP, f"{dev.name} is a bridge itself")
    if dev.master is not None:
        raise OSError(EBUSY, f"{dev.name} is enslaved to {dev.master.name}")
    p = new_nbp(br, dev)
    dev_set_allmulti(dev, 1)
    try:
        netdev_rx_handler_register(dev, br_handle_frame)
        # Who is told of the new master looks at the port.
        dev.rx_handler_data = p
        dev.priv_flags |= IFF_BRIDGE_PORT
        try:
            netdev_master_upper_dev_link(dev, br.dev)
        except OSError:
            dev.priv_flags &= ~IFF_BRIDGE_PORT
            dev.rx_handler_data = None
            netdev_rx_handler_unregister(dev)
            raise
    except OSError:
        dev_set_allmulti(dev, -1)
        raise
    br.port_list.insert(0, p)
    br_manage_promisc(br)
    br.dev.needed_headroom = _headroom(br.port_list)
    br_fdb_add_local(br, p, addr, 0)
    changed_addr = br_stp_recalculate_bridge_id(br)
    if netif_running(dev) and netif_oper_up(dev) and br.dev.flags & IFF_UP:
        br_stp_enable_port(p)
    if changed_addr:
        call_netdevice_notifiers(NetdevEvent.CHANGEADDR, br.dev)
    br_mtu_auto_adjust(br)


def br_del_if(br: NetBridge, dev: NetDevice) -> None:
    """Make a port a device by itself again.

    Raises
    ------
    OSError
        ``EINVAL`` if it is no port of that bridge.
    """
    p = br_port_get_rcu(dev)
    if p is None or p.br is not br:
        raise OSError(EINVAL, f"{dev.name} is no port of {br.dev.name}")
    del_nbp(p)
    br.dev.needed_headroom = _headroom(br.port_list)
    br_mtu_auto_adjust(br)
    if br_stp_recalculate_bridge_id(br):
        call_netdevice_notifiers(NetdevEvent.CHANGEADDR, br.dev)

"""Configuring bridges and their ports (Linux: net/bridge/br_netlink.c)."""

from collections.abc import Callable
from errno import EBUSY, EINVAL, ENETDOWN, EOPNOTSUPP
from typing import TYPE_CHECKING

from ..core.dev_register import register_netdevice, unregister_netdevice
from ..core.link_watch import netif_oper_up
from ..core.netdevice import netif_running
from ..core.rtnl_link import LinkData, RtnlLinkOps
from ..core.timer import HZ, TimerList, jiffies, timer_pending
from .br import br_net_init
from .br_device import br_dev_setup
from .br_fdb import br_fdb_delete_by_port, br_fdb_flush
from .br_if import del_nbp
from .br_netlink_attrs import BR_POLICY, BR_PORT_POLICY, IflaBr, IflaBrport
from .br_private import (
    BR_BCAST_FLOOD,
    BR_BPDU_GUARD,
    BR_FLOOD,
    BR_GROUPFWD_RESTRICTED,
    BR_HAIRPIN_MODE,
    BR_ISOLATED,
    BR_KERNEL_STP,
    BR_LEARNING,
    BR_MCAST_FLOOD,
    BR_MULTICAST_FAST_LEAVE,
    BR_PORT_LOCKED,
    BR_ROOT_BLOCK,
    BR_STATE_BLOCKING,
    BR_STATE_DISABLED,
    NetBridge,
    NetBridgePort,
    br_port_get_rcu,
    is_link_local_ether_addr,
)
from .br_stp import br_port_state_selection, br_set_state
from .br_stp_if import (
    br_set_ageing_time,
    br_set_forward_delay,
    br_set_hello_time,
    br_set_max_age,
    br_stp_set_bridge_priority,
    br_stp_set_enabled,
    br_stp_set_path_cost,
    br_stp_set_port_priority,
)

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["br_changelink", "br_dev_delete", "br_dev_newlink", "br_link_ops", "br_setport"]

_USER_HZ = 100  # Times in messages are in 1/100 s (clock_t).


_PORT_FLAGS = {
    IflaBrport.MODE: BR_HAIRPIN_MODE,
    IflaBrport.GUARD: BR_BPDU_GUARD,
    IflaBrport.PROTECT: BR_ROOT_BLOCK,
    IflaBrport.FAST_LEAVE: BR_MULTICAST_FAST_LEAVE,
    IflaBrport.LEARNING: BR_LEARNING,
    IflaBrport.UNICAST_FLOOD: BR_FLOOD,
    IflaBrport.MCAST_FLOOD: BR_MCAST_FLOOD,
    IflaBrport.BCAST_FLOOD: BR_BCAST_FLOOD,
    IflaBrport.ISOLATED: BR_ISOLATED,
    IflaBrport.LOCKED: BR_PORT_LOCKED,
}


def clock_t_to_jiffies(time: int) -> int:
    """Return a time of a message in jiffies."""
    return time * HZ // _USER_HZ


def jiffies_to_clock_t(time: int) -> int:
    """Return a time in jiffies as in messages."""
    return time * _USER_HZ // HZ


def br_timer_value(timer: TimerList) -> bytes:
    """Return how long a timer still runs, as the 64 bit of a message."""
    left = max(timer.expires - jiffies(timer.kernel), 0) if timer_pending(timer) else 0
    return jiffies_to_clock_t(left).to_bytes(8, "little")


def br_dev_newlink(net: "Net", name: str, data: LinkData, lower: "NetDevice | None" = None) -> "NetDevice":
    """Make a bridge: ``ip link add NAME type bridge``.

    Raises
    ------
    OSError
        ``EEXIST``, ``EOPNOTSUPP`` for a lower device; as ``br_changelink``, and then there is no bridge.
    """
    if lower is not None:
        raise OSError(EOPNOTSUPP, "a bridge has ports, and is on no link")
    br_net_init(net)
    dev = br_dev_setup(net, name)
    dev.rtnl_link_ops = br_link_ops
    register_netdevice(dev)
    try:
        br_changelink(dev, data)
    except OSError:
        br_dev_delete(dev)
        raise
    return dev


def br_dev_delete(dev: "NetDevice") -> None:
    """Take a bridge away; its ports become devices by themselves again: ``ip link del NAME``."""
    br: NetBridge = dev.priv
    for p in tuple(br.port_list):
        del_nbp(p)
    br.fdb_hash.clear()
    unregister_netdevice(dev)


def br_set_group_fwd_mask(br: NetBridge, mask: int) -> None:
    """Choose which of the bridges' own addresses are forwarded to; some may not be."""
    if mask & BR_GROUPFWD_RESTRICTED:
        raise OSError(EINVAL, f"group_fwd_mask {mask:#x} has bits of addresses that are never forwarded to")
    br.group_fwd_mask = mask


def br_set_group_addr(br: NetBridge, addr: bytes) -> None:
    """Choose the address of the spanning tree's messages."""
    if len(addr) != 6 or not is_link_local_ether_addr(addr) or addr[5] in (1, 2, 3):
        raise OSError(EINVAL, f"{addr.hex(':')} is no address for bridges")
    br.group_addr = bytes(addr)


def _only_off(what: str) -> "Callable[[NetBridge, int], None]":
    def check(_: NetBridge, value: int) -> None:
        if value:
            raise OSError(EOPNOTSUPP, f"there is no {what}")

    return check


_SETTERS: "dict[int, Callable[[NetBridge, int], None]]" = {
    IflaBr.FORWARD_DELAY: lambda br, value: br_set_forward_delay(br, clock_t_to_jiffies(value)),
    IflaBr.HELLO_TIME: lambda br, value: br_set_hello_time(br, clock_t_to_jiffies(value)),
    IflaBr.MAX_AGE: lambda br, value: br_set_max_age(br, clock_t_to_jiffies(value)),
    IflaBr.AGEING_TIME: lambda br, value: br_set_ageing_time(br, clock_t_to_jiffies(value)),
    IflaBr.STP_STATE: lambda br, value: br_stp_set_enabled(br, bool(value)),
    IflaBr.PRIORITY: br_stp_set_bridge_priority,
    IflaBr.VLAN_FILTERING: _only_off("VLAN filtering"),
    IflaBr.GROUP_FWD_MASK: br_set_group_fwd_mask,
    IflaBr.FDB_FLUSH: lambda br, _: br_fdb_flush(br),
    IflaBr.MCAST_SNOOPING: _only_off("IGMP snooping"),
}


def br_changelink(dev: "NetDevice", data: LinkData) -> None:
    """Change a bridge: ``ip link set NAME type bridge ...``; what comes before a wrong value stays.

    Raises
    ------
    OSError
        ``ERANGE``, ``EINVAL``, ``EOPNOTSUPP``.
    """
    br: NetBridge = dev.priv
    for number in sorted(data):
        if number == IflaBr.GROUP_ADDR:
            br_set_group_addr(br, data[number])
        elif number in _SETTERS:
            _SETTERS[number](br, data[number])
        else:
            raise OSError(EOPNOTSUPP, f"a bridge has no setting {number}")


def br_fill_info(dev: "NetDevice") -> LinkData:
    """Return what there is to say of a bridge."""
    br: NetBridge = dev.priv
    return {
        IflaBr.HELLO_TIMER: br_timer_value(br.hello_timer),
        IflaBr.TCN_TIMER: br_timer_value(br.tcn_timer),
        IflaBr.TOPOLOGY_CHANGE_TIMER: br_timer_value(br.topology_change_timer),
        IflaBr.GC_TIMER: br_timer_value(br.gc_work),
        IflaBr.FORWARD_DELAY: jiffies_to_clock_t(br.forward_delay),
        IflaBr.HELLO_TIME: jiffies_to_clock_t(br.hello_time),
        IflaBr.MAX_AGE: jiffies_to_clock_t(br.max_age),
        IflaBr.AGEING_TIME: jiffies_to_clock_t(br.ageing_time),
        IflaBr.STP_STATE: br.stp_enabled,
        IflaBr.PRIORITY: int.from_bytes(br.bridge_id[:2], "big"),
        IflaBr.VLAN_FILTERING: 0,
        IflaBr.GROUP_FWD_MASK: br.group_fwd_mask,
        IflaBr.ROOT_ID: br.designated_root,
        IflaBr.BRIDGE_ID: br.bridge_id,
        IflaBr.ROOT_PORT: br.root_port,
        IflaBr.ROOT_PATH_COST: br.root_path_cost,
        IflaBr.TOPOLOGY_CHANGE: int(br.topology_change),
        IflaBr.TOPOLOGY_CHANGE_DETECTED: int(br.topology_change_detected),
        IflaBr.GROUP_ADDR: br.group_addr,
        IflaBr.MCAST_SNOOPING: 0,
    }


def br_set_port_state(p: NetBridgePort, state: int) -> None:
    """Set the state of a port by hand.

    Raises
    ------
    OSError
        ``EINVAL`` for no state; ``EBUSY`` while the protocol does it; ``ENETDOWN`` without a link.
    """
    if not BR_STATE_DISABLED <= state <= BR_STATE_BLOCKING:
        raise OSError(EINVAL, f"no port can be in state {state}")
    if p.br.stp_enabled == BR_KERNEL_STP:
        raise OSError(EBUSY, "the spanning tree protocol sets the states of ports")
    if not netif_running(p.dev) or (not netif_oper_up(p.dev) and state != BR_STATE_DISABLED):
        raise OSError(ENETDOWN, f"{p.dev.name} has no link")
    br_set_state(p, state)
    br_port_state_selection(p.br)


def br_setport(dev: "NetDevice", data: LinkData) -> None:
    """Change a port: ``ip link set DEV type bridge_slave ...``, ``bridge link set dev DEV ...``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ERANGE``, ``EBUSY``, ``ENETDOWN``, ``EOPNOTSUPP``.
    """
    p = br_port_get_rcu(dev)
    if p is None:
        raise OSError(EINVAL, f"{dev.name} is no port of a bridge")
    for number in sorted(data):
        value = data[number]
        match number:
            case _ if number in _PORT_FLAGS:
                flag = _PORT_FLAGS[IflaBrport(number)]
                p.flags = p.flags | flag if value else p.flags & ~flag
            case IflaBrport.STATE:
                br_set_port_state(p, value)
            case IflaBrport.PRIORITY:
                br_stp_set_port_priority(p, value)
            case IflaBrport.COST:
                br_stp_set_path_cost(p, value)
            case IflaBrport.GROUP_FWD_MASK:
                if value & 1 << 1:
                    raise OSError(EINVAL, "pause frames are never forwarded")
                p.group_fwd_mask = value
            case IflaBrport.FLUSH:
                br_fdb_delete_by_port(p.br, p, do_all=False)
            case _:
                raise OSError(EOPNOTSUPP, f"a port has no setting {number}")


def br_port_fill_attrs(dev: "NetDevice") -> LinkData:
    """Return what there is to say of a port."""
    p = br_port_get_rcu(dev)
    assert p is not None
    flags: LinkData = {number: int(p.flags & flag != 0) for number, flag in _PORT_FLAGS.items()}
    return {
        **flags,
        IflaBrport.STATE: p.state,
        IflaBrport.PRIORITY: p.priority,
        IflaBrport.COST: p.path_cost,
        IflaBrport.ROOT_ID: p.designated_root,
        IflaBrport.BRIDGE_ID: p.designated_bridge,
        IflaBrport.DESIGNATED_PORT: p.designated_port,
        IflaBrport.DESIGNATED_COST: p.designated_cost & 0xFFFF,
        IflaBrport.ID: p.port_id,
        IflaBrport.NO: p.port_no,
        IflaBrport.TOPOLOGY_CHANGE_ACK: int(p.topology_change_ack),
        IflaBrport.CONFIG_PENDING: int(p.config_pending),
        IflaBrport.MESSAGE_AGE_TIMER: br_timer_value(p.message_age_timer),
        IflaBrport.FORWARD_DELAY_TIMER: br_timer_value(p.forward_delay_timer),
        IflaBrport.HOLD_TIMER: br_timer_value(p.hold_timer),
        IflaBrport.GROUP_FWD_MASK: p.group_fwd_mask,
    }


br_link_ops = RtnlLinkOps(
    kind="bridge",
    newlink=br_dev_newlink,
    dellink=br_dev_delete,
    changelink=br_changelink,
    fill_info=br_fill_info,
    policy=BR_POLICY,
    slave_policy=BR_PORT_POLICY,
    slave_changelink=br_setport,
    fill_slave_info=br_port_fill_attrs,
)

"""Switching bridges and ports on and off, and what their identifiers are (Linux: net/bridge/br_stp_if.c)."""

from errno import ERANGE

from ..core.link_watch import netif_oper_up
from ..core.netdevice import IFF_UP, netif_running
from ..core.timer import HZ, del_timer, jiffies, mod_timer
from .br_fdb import br_fdb_change_mac_address, br_fdb_delete_by_port
from .br_private import (
    BR_ADMIN_COST,
    BR_KERNEL_STP,
    BR_NO_STP,
    BR_PORT_BITS,
    BR_STATE_BLOCKING,
    BR_STATE_DISABLED,
    NetBridge,
    NetBridgePort,
    br_is_root_bridge,
)
from .br_stp import (
    __br_set_topology_change,
    br_become_designated_port,
    br_become_root_bridge,
    br_config_bpdu_generation,
    br_configuration_update,
    br_is_designated_port,
    br_port_state_selection,
    br_set_state,
)

__all__ = [
    "br_init_port",
    "br_make_port_id",
    "br_set_ageing_time",
    "br_set_forward_delay",
    "br_set_hello_time",
    "br_set_max_age",
    "br_stp_change_bridge_id",
    "br_stp_disable_bridge",
    "br_stp_disable_port",
    "br_stp_enable_bridge",
    "br_stp_enable_port",
    "br_stp_recalculate_bridge_id",
    "br_stp_set_bridge_priority",
    "br_stp_set_enabled",
    "br_stp_set_path_cost",
    "br_stp_set_port_priority",
]

_GC_FIRST = HZ // 10
_HELLO_TIME = 1 * HZ, 10 * HZ  # Bounds of IEEE Std 802.1D-1998 §8.10.2; of the forward delay Linux has a lower one.
_FORWARD_DELAY = 2 * HZ, 30 * HZ
_MAX_AGE = 6 * HZ, 40 * HZ
_MAX_PATH_COST = 65535
_MAX_PORT_PRIORITY = 0xFFFF >> BR_PORT_BITS


def br_make_port_id(priority: int, port_no: int) -> int:
    """Return the identifier of a port: its priority, then its number."""
    return priority << BR_PORT_BITS | port_no


def br_init_port(p: NetBridgePort) -> None:
    """Set a port up as one that is alone on its link, blocking (IEEE Std 802.1D-1998 §8.8.1.4)."""
    p.port_id = br_make_port_id(p.priority, p.port_no)
    br_become_designated_port(p)
    br_set_state(p, BR_STATE_BLOCKING)
    p.topology_change_ack = p.config_pending = False


def br_stp_enable_bridge(br: NetBridge) -> None:
    """Begin to work, when the bridge comes up."""
    now = jiffies(br.dev.kernel)
    if br.stp_enabled == BR_KERNEL_STP:
        mod_timer(br.hello_timer, now + br.hello_time)
    mod_timer(br.gc_work, now + _GC_FIRST)
    br_config_bpdu_generation(br)
    for p in br.port_list:
        if netif_running(p.dev) and netif_oper_up(p.dev):
            br_stp_enable_port(p)


def br_stp_disable_bridge(br: NetBridge) -> None:
    """Stop working, when the bridge goes down."""
    for p in br.port_list:
        if p.state != BR_STATE_DISABLED:
            br_stp_disable_port(p)
    __br_set_topology_change(br, False)
    br.topology_change_detected = False
    for timer in (br.hello_timer, br.topology_change_timer, br.tcn_timer, br.gc_work):
        del_timer(timer)


def br_stp_enable_port(p: NetBridgePort) -> None:
    """Let a port take part, when its device is up and has a link."""
    br_init_port(p)
    br_port_state_selection(p.br)


def br_stp_disable_port(p: NetBridgePort) -> None:
    """Let a port take part no more, and forget what was learned there."""
    br = p.br
    was_root = br_is_root_bridge(br)
    br_become_designated_port(p)
    br_set_state(p, BR_STATE_DISABLED)
    p.topology_change_ack = p.config_pending = False
    for timer in (p.message_age_timer, p.forward_delay_timer, p.hold_timer):
        del_timer(timer)
    br_fdb_delete_by_port(br, p, do_all=False)
    br_configuration_update(br)
    br_port_state_selection(br)
    if br_is_root_bridge(br) and not was_root:
        br_become_root_bridge(br)


def br_stp_set_enabled(br: NetBridge, val: bool) -> None:
    """Switch the protocol on or off: ``ip link set BRIDGE type bridge stp_state 1``."""
    if not val:
        br.stp_enabled = BR_NO_STP
    elif br.stp_enabled == BR_NO_STP:
        low, high = _FORWARD_DELAY
        _take_forward_delay(br, min(max(br.bridge_forward_delay, low), high))
        br.stp_enabled = BR_KERNEL_STP
        if br.dev.flags & IFF_UP:
            mod_timer(br.hello_timer, jiffies(br.dev.kernel) + br.hello_time)
        br_port_state_selection(br)


def br_stp_change_bridge_id(br: NetBridge, addr: bytes) -> None:
    """Give a bridge another address, and with it another identifier."""
    was_root = br_is_root_bridge(br)
    old = br.bridge_id
    br_fdb_change_mac_address(br, addr)
    br.dev.dev_addr = addr
    _take_bridge_id(br, old, old[:2] + addr, was_root)


def _take_bridge_id(br: NetBridge, old: bytes, new: bytes, was_root: bool) -> None:
    """Have the ports know the bridge by its new identifier."""
    br.bridge_id = new
    for p in br.port_list:
        if p.designated_bridge == old:
            p.designated_bridge = new
        if p.designated_root == old:
            p.designated_root = new
    br_configuration_update(br)
    br_port_state_selection(br)
    if br_is_root_bridge(br) and not was_root:
        br_become_root_bridge(br)


def br_stp_recalculate_bridge_id(br: NetBridge) -> bool:
    """Give a bridge the lowest address of its ports, unless somebody chose one; return whether that changed it."""
    if br.addr_set:
        return False
    addr = min((p.dev.dev_addr for p in br.port_list), default=bytes(6))
    if br.bridge_id[2:] == addr:
        return False
    br_stp_change_bridge_id(br, addr)
    return True


def br_stp_set_bridge_priority(br: NetBridge, newprio: int) -> None:
    """Set the first two octets of the identifier: ``priority``."""
    was_root = br_is_root_bridge(br)
    old = br.bridge_id
    _take_bridge_id(br, old, newprio.to_bytes(2, "big") + old[2:], was_root)


def br_stp_set_port_priority(p: NetBridgePort, newprio: int) -> None:
    """Set the priority of a port: ``priority``; a better one makes it designated.

    Raises
    ------
    OSError
        ``ERANGE``.
    """
    if not 0 <= newprio <= _MAX_PORT_PRIORITY:
        raise OSError(ERANGE, f"a port's priority is 0..{_MAX_PORT_PRIORITY}, not {newprio}")
    br = p.br
    new_id = br_make_port_id(newprio, p.port_no)
    if br_is_designated_port(p):
        p.designated_port = new_id
    p.port_id = new_id
    p.priority = newprio
    if br.bridge_id == p.designated_bridge and p.port_id < p.designated_port:
        br_become_designated_port(p)
        br_port_state_selection(br)


def br_stp_set_path_cost(p: NetBridgePort, path_cost: int) -> None:
    """Set the cost of a port, which follows its speed no more: ``cost``.

    Raises
    ------
    OSError
        ``ERANGE``.
    """
    if not 1 <= path_cost <= _MAX_PATH_COST:
        raise OSError(ERANGE, f"a path costs 1..{_MAX_PATH_COST}, not {path_cost}")
    p.flags |= BR_ADMIN_COST
    p.path_cost = path_cost
    br_configuration_update(p.br)
    br_port_state_selection(p.br)


def _check_range(what: str, time: int, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if not low <= time <= high:
        raise OSError(ERANGE, f"{what} is {low / HZ:g}..{high / HZ:g} s, not {time / HZ:g}")


def br_set_hello_time(br: NetBridge, time: int) -> None:
    """Set how often the root sends messages: ``hello_time``.

    Raises
    ------
    OSError
        ``ERANGE``.
    """
    _check_range("hello_time", time, _HELLO_TIME)
    br.bridge_hello_time = time
    if br_is_root_bridge(br):
        br.hello_time = time


def br_set_max_age(br: NetBridge, time: int) -> None:
    """Set how old a message may get: ``max_age``.

    Raises
    ------
    OSError
        ``ERANGE``.
    """
    _check_range("max_age", time, _MAX_AGE)
    br.bridge_max_age = time
    if br_is_root_bridge(br):
        br.max_age = time


def br_set_forward_delay(br: NetBridge, time: int) -> None:
    """Set how long a port listens, and how long it learns: ``forward_delay``; without the protocol it may be short.

    Raises
    ------
    OSError
        ``ERANGE``.
    """
    if br.stp_enabled != BR_NO_STP:
        _check_range("forward_delay", time, _FORWARD_DELAY)
    _take_forward_delay(br, time)


def _take_forward_delay(br: NetBridge, time: int) -> None:
    br.bridge_forward_delay = time
    if br_is_root_bridge(br):
        br.forward_delay = time


def br_set_ageing_time(br: NetBridge, time: int) -> None:
    """Set how long an address that is not heard of is kept: ``ageing_time``; at 0 nothing is learned."""
    br.bridge_ageing_time = br.ageing_time = time
    mod_timer(br.gc_work, jiffies(br.dev.kernel))

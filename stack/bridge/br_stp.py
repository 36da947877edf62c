"""The spanning tree protocol: electing the root, and what each port is (Linux: net/bridge/br_stp.c).

The procedures are those of IEEE Std 802.1D-1998 §8.6, and do what their clauses say; each names its own.
"""

from ..core.link_watch import netif_carrier_off, netif_carrier_on
from ..core.netdevice import IFF_UP
from ..core.timer import HZ, del_timer, jiffies, mod_timer, timer_pending
from .br_private import (
    BR_KERNEL_STP,
    BR_NO_STP,
    BR_ROOT_BLOCK,
    BR_STATE_BLOCKING,
    BR_STATE_DISABLED,
    BR_STATE_FORWARDING,
    BR_STATE_LEARNING,
    BR_STATE_LISTENING,
    BrConfigBpdu,
    NetBridge,
    NetBridgePort,
    br_is_root_bridge,
)
from .br_stp_bpdu import br_send_config_bpdu, br_send_tcn_bpdu

__all__ = [
    "__br_set_topology_change",
    "br_become_designated_port",
    "br_become_root_bridge",
    "br_config_bpdu_generation",
    "br_configuration_update",
    "br_is_designated_for_some_port",
    "br_is_designated_port",
    "br_port_state_selection",
    "br_set_state",
    "br_topology_change_detection",
    "br_transmit_config",
    "br_transmit_tcn",
]

_BR_HOLD_TIME = HZ
_MESSAGE_AGE_INCR = 1  # IEEE Std 802.1D-1998 §8.10.1 has 1 s at most; in ticks it is next to nothing.


def br_set_state(p: NetBridgePort, state: int) -> None:
    """Set the state of a port."""
    p.state = state


def br_get_port(br: NetBridge, port_no: int) -> NetBridgePort | None:
    """Return a port by its number."""
    return next((p for p in br.port_list if p.port_no == port_no), None)


def br_is_designated_port(p: NetBridgePort) -> bool:
    """Return whether a port is the one by which its link reaches the root."""
    return p.designated_bridge == p.br.bridge_id and p.designated_port == p.port_id


def br_is_designated_for_some_port(br: NetBridge) -> bool:
    """Return whether a link reaches the root by this bridge."""
    return any(p.state != BR_STATE_DISABLED and p.designated_bridge == br.bridge_id for p in br.port_list)


def _priority_vector(p: NetBridgePort) -> tuple[bytes, int, bytes, int, int]:
    """Return what makes a port the better way to the root, the best being the least (§8.6.8.3.1)."""
    return p.designated_root, p.designated_cost + p.path_cost, p.designated_bridge, p.designated_port, p.port_id


def br_should_become_root_port(p: NetBridgePort) -> bool:
    """Return whether a port may be the way to the root: enabled, not designated, and to a better one than us."""
    return p.state != BR_STATE_DISABLED and not br_is_designated_port(p) and p.designated_root < p.br.bridge_id


def br_root_port_block(br: NetBridge, p: NetBridgePort) -> None:
    """Keep a port, beyond which there shall be no root, from forwarding as long as one is told of there."""
    br_set_state(p, BR_STATE_LISTENING)
    if br.forward_delay > 0:
        mod_timer(p.forward_delay_timer, jiffies(br.dev.kernel) + br.forward_delay)


def br_root_selection(br: NetBridge) -> None:
    """Choose root and root port (§8.6.8)."""
    best: NetBridgePort | None = None
    for p in br.port_list:
        if not br_should_become_root_port(p):
            continue
        if p.flags & BR_ROOT_BLOCK:
            br_root_port_block(br, p)
        elif best is None or _priority_vector(p) < _priority_vector(best):
            best = p
    if best is None:
        br.root_port = br.root_path_cost = 0
        br.designated_root = br.bridge_id
    else:
        br.root_port = best.port_no
        br.designated_root = best.designated_root
        br.root_path_cost = best.designated_cost + best.path_cost


def br_become_root_bridge(br: NetBridge) -> None:
    """Act as the root from now on (§8.7.1, §8.8.2)."""
    br.max_age = br.bridge_max_age
    br.hello_time = br.bridge_hello_time
    br.forward_delay = br.bridge_forward_delay
    br_topology_change_detection(br)
    del_timer(br.tcn_timer)
    if br.dev.flags & IFF_UP:
        br_config_bpdu_generation(br)
        mod_timer(br.hello_timer, jiffies(br.dev.kernel) + br.hello_time)


def br_transmit_config(p: NetBridgePort) -> None:
    """Send a configuration message by a port, but not more than one in each hold time (§8.6.1)."""
    br = p.br
    if timer_pending(p.hold_timer):
        p.config_pending = True
        return
    now = jiffies(br.dev.kernel)
    message_age = 0
    if not br_is_root_bridge(br):
        root = br_get_port(br, br.root_port)
        assert root is not None
        message_age = now - root.designated_age + _MESSAGE_AGE_INCR
    if message_age < br.max_age:
        br_send_config_bpdu(p, message_age)
        p.topology_change_ack = False
        p.config_pending = False
        if br.stp_enabled == BR_KERNEL_STP:
            mod_timer(p.hold_timer, now + _BR_HOLD_TIME)


def br_record_config_information(p: NetBridgePort, bpdu: BrConfigBpdu) -> None:
    """Take over what a message says of its link (§8.6.2)."""
    now = jiffies(p.br.dev.kernel)
    p.designated_root = bpdu.root
    p.designated_cost = bpdu.root_path_cost
    p.designated_bridge = bpdu.bridge_id
    p.designated_port = bpdu.port_id
    p.designated_age = now - bpdu.message_age
    mod_timer(p.message_age_timer, now + bpdu.max_age - bpdu.message_age)


def br_record_config_timeout_values(br: NetBridge, bpdu: BrConfigBpdu) -> None:
    """Take over the times of the root (§8.6.3)."""
    br.max_age = bpdu.max_age
    br.hello_time = bpdu.hello_time
    br.forward_delay = bpdu.forward_delay
    __br_set_topology_change(br, bpdu.topology_change)


def br_transmit_tcn(br: NetBridge) -> None:
    """Tell the root, by the root port, that the topology changed (§8.6.6)."""
    p = br_get_port(br, br.root_port)
    if p is not None:
        br_send_tcn_bpdu(p)


def br_should_become_designated_port(p: NetBridgePort) -> bool:
    """Return whether a port is the best on its link (§8.6.9.3)."""
    br = p.br
    if br_is_designated_port(p) or p.designated_root != br.designated_root:
        return True
    mine = br.root_path_cost, br.bridge_id, p.port_id
    return mine < (p.designated_cost, p.designated_bridge, p.designated_port)


def br_designated_port_selection(br: NetBridge) -> None:
    """Choose the ports that are designated (§8.6.9)."""
    for p in br.port_list:
        if p.state != BR_STATE_DISABLED and br_should_become_designated_port(p):
            br_become_designated_port(p)


def br_supersedes_port_info(p: NetBridgePort, bpdu: BrConfigBpdu) -> bool:
    """Return whether a message is better than, or as good as, what is known of its link (§8.6.2.2)."""
    told = bpdu.root, bpdu.root_path_cost, bpdu.bridge_id
    known = p.designated_root, p.designated_cost, p.designated_bridge
    if told != known:
        return told < known
    return bpdu.bridge_id != p.br.bridge_id or bpdu.port_id <= p.designated_port


def br_topology_change_acknowledged(br: NetBridge) -> None:
    """Stop telling of a change (§8.6.15)."""
    br.topology_change_detected = False
    del_timer(br.tcn_timer)


def br_topology_change_detection(br: NetBridge) -> None:
    """Have all bridges know that the topology changed (§8.6.14)."""
    if br.stp_enabled != BR_KERNEL_STP:
        return
    now = jiffies(br.dev.kernel)
    if br_is_root_bridge(br):
        __br_set_topology_change(br, True)
        mod_timer(br.topology_change_timer, now + br.bridge_forward_delay + br.bridge_max_age)
    elif not br.topology_change_detected:
        br_transmit_tcn(br)
        mod_timer(br.tcn_timer, now + br.bridge_hello_time)
    br.topology_change_detected = True


def br_config_bpdu_generation(br: NetBridge) -> None:
    """Send configuration messages by all designated ports (§8.6.4)."""
    for p in br.port_list:
        if p.state != BR_STATE_DISABLED and br_is_designated_port(p):
            br_transmit_config(p)


def br_reply(p: NetBridgePort) -> None:
    """Correct a bridge that knows less (§8.6.5)."""
    br_transmit_config(p)


def br_configuration_update(br: NetBridge) -> None:
    """Choose root, root port and designated ports anew (§8.6.7)."""
    br_root_selection(br)
    br_designated_port_selection(br)


def br_become_designated_port(p: NetBridgePort) -> None:
    """Make a port the designated one of its link (§8.6.10)."""
    br = p.br
    p.designated_root = br.designated_root
    p.designated_cost = br.root_path_cost
    p.designated_bridge = br.bridge_id
    p.designated_port = p.port_id


def br_make_blocking(p: NetBridgePort) -> None:
    """Have a port forward nothing (§8.6.13)."""
    if p.state in (BR_STATE_DISABLED, BR_STATE_BLOCKING):
        return
    if p.state in (BR_STATE_FORWARDING, BR_STATE_LEARNING):
        br_topology_change_detection(p.br)
    br_set_state(p, BR_STATE_BLOCKING)
    del_timer(p.forward_delay_timer)


def br_make_forwarding(p: NetBridgePort) -> None:
    """Begin to let a port forward: with the protocol by way of listening and learning (§8.6.12)."""
    br = p.br
    if p.state != BR_STATE_BLOCKING:
        return
    if br.stp_enabled == BR_NO_STP or not br.forward_delay:
        br_set_state(p, BR_STATE_FORWARDING)
        br_topology_change_detection(br)
        del_timer(p.forward_delay_timer)
    else:
        br_set_state(p, BR_STATE_LISTENING)
    if br.forward_delay:
        mod_timer(p.forward_delay_timer, jiffies(br.dev.kernel) + br.forward_delay)


def br_port_state_selection(br: NetBridge) -> None:
    """Have root and designated ports forward, and all others block (§8.6.11); the bridge has a link if one forwards."""
    for p in br.port_list:
        if p.state == BR_STATE_DISABLED:
            continue
        if p.port_no == br.root_port:
            p.config_pending = p.topology_change_ack = False
            br_make_forwarding(p)
        elif br_is_designated_port(p):
            del_timer(p.message_age_timer)
            br_make_forwarding(p)
        else:
            p.config_pending = p.topology_change_ack = False
            br_make_blocking(p)
    if any(p.state == BR_STATE_FORWARDING for p in br.port_list):
        netif_carrier_on(br.dev)
    else:
        netif_carrier_off(br.dev)


def br_topology_change_acknowledge(p: NetBridgePort) -> None:
    """Tell a bridge that its notification was heard (§8.6.16)."""
    p.topology_change_ack = True
    br_transmit_config(p)


def br_received_config_bpdu(p: NetBridgePort, bpdu: BrConfigBpdu) -> None:
    """Take in a configuration message (§8.7.1)."""
    br = p.br
    was_root = br_is_root_bridge(br)
    if br_supersedes_port_info(p, bpdu):
        br_record_config_information(p, bpdu)
        br_configuration_update(br)
        br_port_state_selection(br)
        if was_root and not br_is_root_bridge(br):
            del_timer(br.hello_timer)
            if br.topology_change_detected:
                del_timer(br.topology_change_timer)
                br_transmit_tcn(br)
                mod_timer(br.tcn_timer, jiffies(br.dev.kernel) + br.bridge_hello_time)
        if p.port_no == br.root_port:
            br_record_config_timeout_values(br, bpdu)
            br_config_bpdu_generation(br)
            if bpdu.topology_change_ack:
                br_topology_change_acknowledged(br)
    elif br_is_designated_port(p):
        br_reply(p)


def br_received_tcn_bpdu(p: NetBridgePort) -> None:
    """Take in a topology change notification (§8.7.2)."""
    if br_is_designated_port(p):
        br_topology_change_detection(p.br)
        br_topology_change_acknowledge(p)


def __br_set_topology_change(br: NetBridge, val: bool) -> None:
    """Note whether the topology changes; meanwhile addresses age fast."""
    if br.stp_enabled == BR_KERNEL_STP and br.topology_change != val:
        br.ageing_time = 2 * br.forward_delay if val else br.bridge_ageing_time
    br.topology_change = val

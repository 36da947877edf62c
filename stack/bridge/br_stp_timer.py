"""The timers of the spanning tree protocol (Linux: net/bridge/br_stp_timer.c; IEEE Std 802.1D-1998 §8.7)."""

from ..core.link_watch import netif_carrier_on
from ..core.netdevice import IFF_UP
from ..core.timer import TimerList, jiffies, mod_timer
from .br_fdb import br_fdb_cleanup
from .br_private import (
    BR_KERNEL_STP,
    BR_STATE_DISABLED,
    BR_STATE_FORWARDING,
    BR_STATE_LEARNING,
    BR_STATE_LISTENING,
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
    br_is_designated_for_some_port,
    br_port_state_selection,
    br_set_state,
    br_topology_change_detection,
    br_transmit_config,
    br_transmit_tcn,
)

__all__ = ["br_stp_port_timer_init", "br_stp_timer_init"]


def br_hello_timer_expired(br: NetBridge) -> None:
    """Send configuration messages, as the root does each hello time."""
    if br.dev.flags & IFF_UP:
        br_config_bpdu_generation(br)
        if br.stp_enabled == BR_KERNEL_STP:
            # Messages of another root may have said 0.
            mod_timer(br.hello_timer, jiffies(br.dev.kernel) + max(br.hello_time, 1))


def br_message_age_timer_expired(p: NetBridgePort) -> None:
    """Do without what was known of a link: nobody repeats it."""
    br = p.br
    if p.state == BR_STATE_DISABLED:
        return
    was_root = br_is_root_bridge(br)
    br_become_designated_port(p)
    br_configuration_update(br)
    br_port_state_selection(br)
    if br_is_root_bridge(br) and not was_root:
        br_become_root_bridge(br)


def br_forward_delay_timer_expired(p: NetBridgePort) -> None:
    """Let a port go on from listening to learning, and from there to forwarding."""
    br = p.br
    if p.state == BR_STATE_LISTENING:
        br_set_state(p, BR_STATE_LEARNING)
        mod_timer(p.forward_delay_timer, jiffies(br.dev.kernel) + br.forward_delay)
    elif p.state == BR_STATE_LEARNING:
        br_set_state(p, BR_STATE_FORWARDING)
        if br_is_designated_for_some_port(br):
            br_topology_change_detection(br)
        netif_carrier_on(br.dev)


def br_tcn_timer_expired(br: NetBridge) -> None:
    """Tell the root again that the topology changed, until it is acknowledged."""
    if not br_is_root_bridge(br) and br.dev.flags & IFF_UP:
        br_transmit_tcn(br)
        mod_timer(br.tcn_timer, jiffies(br.dev.kernel) + br.bridge_hello_time)


def br_topology_change_timer_expired(br: NetBridge) -> None:
    """End the time in which the root says that the topology changes."""
    br.topology_change_detected = False
    __br_set_topology_change(br, False)


def br_hold_timer_expired(p: NetBridgePort) -> None:
    """Send the message that had to wait."""
    if p.config_pending:
        br_transmit_config(p)


def br_stp_timer_init(br: NetBridge) -> None:
    """Give a bridge its timers."""
    kernel = br.dev.kernel
    br.hello_timer = TimerList(kernel, lambda: br_hello_timer_expired(br))
    br.tcn_timer = TimerList(kernel, lambda: br_tcn_timer_expired(br))
    br.topology_change_timer = TimerList(kernel, lambda: br_topology_change_timer_expired(br))
    br.gc_work = TimerList(kernel, lambda: br_fdb_cleanup(br))


def br_stp_port_timer_init(p: NetBridgePort) -> None:
    """Give a port its timers."""
    kernel = p.dev.kernel
    p.message_age_timer = TimerList(kernel, lambda: br_message_age_timer_expired(p))
    p.forward_delay_timer = TimerList(kernel, lambda: br_forward_delay_timer_expired(p))
    p.hold_timer = TimerList(kernel, lambda: br_hold_timer_expired(p))

"""Link aggregation by LACP: ports, ticks, frames (Linux: drivers/net/bonding/bond_3ad.c; IEEE Std 802.1AX-2008)."""

from dataclasses import replace

from ...core.dev import dev_queue_xmit
from ...core.dev_receive import RxHandlerResult
from ...core.skbuff import SkBuff, alloc_skb, skb_put_data, skb_reserve
from ...core.skbuff_data import skb_copy_bits
from ...core.workqueue import queue_delayed_work
from ...ethernet.eth import ETH_HLEN, eth_header
from ...wire.error import WireError
from ...wire.lacp import SLOW_PROTOCOLS, Lacpdu, LacpInfo, LacpState, MarkerPdu
from .bond_3ad_agg import ad_agg_selection_logic, ad_port_leave, ad_port_selection_logic
from .bond_3ad_port import AD_TIMER_INTERVAL_MS, Aggregator, Port, ad_ticks
from .bond_3ad_sm import ad_mux_machine, ad_periodic_machine, ad_rx_machine
from .bonding import Bonding, BondLink, Slave, msecs_to_jiffies, speed_of

__all__ = [
    "ETH_P_SLOW",
    "ad_update_actor_keys",
    "bond_3ad_bind_slave",
    "bond_3ad_handle_link_change",
    "bond_3ad_initialize",
    "bond_3ad_initiate_agg_selection",
    "bond_3ad_lacpdu_recv",
    "bond_3ad_state_machine_handler",
    "bond_3ad_unbind_slave",
    "bond_3ad_update_system",
]

ETH_P_SLOW = 0x8809

_AGGREGATOR_SELECTION = 2  # In s.
_MAX_TX_IN_SECOND = 3
_PORT_PRIORITY = 0xFF
# The key of a port says its speed (Linux: enum ad_link_speed_type): ports of different speeds do not go together.
_SPEEDS_MBPS = (1, 10, 100, 1000, 2500, 5000, 10_000, 14_000, 20_000, 25_000, 40_000, 50_000, 56_000, 100_000)


def bond_3ad_initialize(bond: Bonding) -> None:
    """Begin, with the first slave."""
    bond.ad.system = bond.dev_addr
    bond.ad.last_port = 0
    bond_3ad_initiate_agg_selection(bond, ad_ticks(_AGGREGATOR_SELECTION))


def bond_3ad_initiate_agg_selection(bond: Bonding, timeout: int) -> None:
    """Have an aggregator chosen in so many runs of the state machines."""
    bond.ad.agg_select_timer = timeout


def _key(slave: Slave) -> int:
    speed = speed_of(slave)
    code = _SPEEDS_MBPS.index(speed) + 1 if speed in _SPEEDS_MBPS else 0
    return slave.bond.params.ad_user_port_key << 6 | code << 1 | 1


def bond_3ad_bind_slave(slave: Slave) -> None:
    """Make a new slave a port, and give it an aggregator of its own, which it may not need."""
    bond, ad = slave.bond, slave.bond.ad
    ad.last_port += 1
    state = LacpState.AGGREGATION
    state |= LacpState.ACTIVITY if bond.params.lacp_active else LacpState(0)
    state |= LacpState.TIMEOUT if bond.params.lacp_fast else LacpState(0)
    actor = LacpInfo(bond.params.ad_actor_sys_prio, ad.system, _key(slave), _PORT_PRIORITY, ad.last_port, state)
    slave.ad = Port(slave, ad.last_port, actor, enabled=slave.link == BondLink.UP)
    ad.last_aggregator += 1
    ad.aggregators.append(Aggregator(ad.last_aggregator))


def bond_3ad_unbind_slave(slave: Slave) -> None:
    """Tell the partner that a port goes, and go on without it."""
    port, bond = slave.ad, slave.bond
    assert port is not None
    was_active = port.aggregator is not None and port.aggregator.is_active
    gone = LacpState.SYNCHRONIZATION | LacpState.COLLECTING | LacpState.DISTRIBUTING | LacpState.AGGREGATION
    port.actor = replace(port.actor, state=port.actor.state & ~gone)
    ad_lacpdu_send(port)
    ad_port_leave(port)
    slave.ad = None
    # As many aggregators as ports, so one of them is empty now.
    bond.ad.aggregators.remove(next(a for a in reversed(bond.ad.aggregators) if not a.ports))
    if was_active:
        ad_agg_selection_logic(bond)


def bond_3ad_handle_link_change(slave: Slave, up: bool) -> None:
    """Note that a port's link came or went."""
    port = slave.ad
    if port is None:
        return
    port.enabled = up
    if up:
        ad_update_actor_keys(port)
    ad_agg_selection_logic(slave.bond)


def ad_update_actor_keys(port: Port) -> None:
    """Have another aggregator found if a port's speed is another one now."""
    key = _key(port.slave)
    if key != port.actor.key:
        port.actor = replace(port.actor, key=key)
        port.selected = False
        port.ntt = True


def bond_3ad_update_system(bond: Bonding) -> None:
    """Take over the bond's new address, and other settings of the system."""
    bond.ad.system = bond.dev_addr
    for slave in bond.slave_list:
        port = slave.ad
        if port is not None:
            priority = bond.params.ad_actor_sys_prio
            port.actor = replace(port.actor, system=bond.dev_addr, system_priority=priority)
            port.ntt = True


def bond_3ad_state_machine_handler(bond: Bonding) -> None:
    """Run the state machines of all ports, and again in 100 ms."""
    if bond.slave_list:
        if bond.ad.agg_select_timer:
            bond.ad.agg_select_timer -= 1
            if not bond.ad.agg_select_timer:
                ad_agg_selection_logic(bond)
        for slave in bond.slave_list:
            port = slave.ad
            if port is not None:
                ad_rx_machine(port)
                ad_periodic_machine(port)
                ad_mux_machine(port)  # First: a port that is unselected is to leave its old aggregator for good.
                ad_port_selection_logic(port)
                ad_tx_machine(port)
    queue_delayed_work(bond.ad_work, msecs_to_jiffies(AD_TIMER_INTERVAL_MS))


def ad_tx_machine(port: Port) -> None:
    """Send a LACPDU if there is something to tell, at most three a second (IEEE Std 802.1AX-2008 §5.4.16)."""
    if port.tx_timer:
        port.tx_timer -= 1
    if port.ntt and port.lacp_enabled and not port.tx_timer and port.enabled:
        ad_lacpdu_send(port)
        port.ntt = False
        port.tx_timer = ad_ticks(1) // _MAX_TX_IN_SECOND


def ad_lacpdu_send(port: Port) -> None:
    """Send a LACPDU."""
    slave = port.slave
    if _send(slave, Lacpdu(port.actor, port.partner).emit()):
        slave.bond.ad.stats.lacpdu_tx += 1


def ad_marker_send(port: Port, marker: MarkerPdu) -> None:
    """Answer a marker: what was sent before it has arrived."""
    if _send(port.slave, replace(marker, response=True).emit()):
        port.slave.bond.ad.stats.marker_resp_tx += 1


def _send(slave: Slave, octets: bytes) -> bool:
    """Send a frame of a slow protocol, by the slave's own address; return whether there was memory for it."""
    dev = slave.dev
    try:
        skb = alloc_skb(dev.kernel, ETH_HLEN + 2 + dev.needed_headroom + len(octets))
    except OSError:
        return False
    skb_reserve(skb, ETH_HLEN + 2 + dev.needed_headroom)
    skb.network_header = skb.data
    skb_put_data(skb, octets)
    skb.dev = dev
    skb.protocol = ETH_P_SLOW
    eth_header(skb, dev, ETH_P_SLOW, SLOW_PROTOCOLS, slave.perm_hwaddr, len(octets))
    dev_queue_xmit(skb)
    return True


def bond_3ad_lacpdu_recv(skb: SkBuff, bond: Bonding, slave: Slave) -> RxHandlerResult:
    """Take frames of slow protocols out of what a slave receives."""
    at = skb.mac_header
    if skb.protocol != ETH_P_SLOW or bytes(skb.view[at : at + 6]) != SLOW_PROTOCOLS:
        return RxHandlerResult.ANOTHER
    return bond_3ad_rx_indication(skb_copy_bits(skb, 0, skb.len), slave)


def bond_3ad_rx_indication(octets: bytes, slave: Slave) -> RxHandlerResult:
    """Take a PDU of a slow protocol; those that are none of ours go on."""
    port, stats = slave.ad, slave.bond.ad.stats
    if port is None or not octets:
        return RxHandlerResult.ANOTHER
    if octets[0] == 1:
        try:
            lacpdu = Lacpdu.parse(octets)
        except WireError:
            stats.lacpdu_illegal_rx += 1
            return RxHandlerResult.ANOTHER
        if (lacpdu.actor.system, lacpdu.actor.port) == (port.actor.system, port.actor.port):
            stats.lacpdu_illegal_rx += 1  # Our own: the cable leads back.
        else:
            stats.lacpdu_rx += 1
            ad_rx_machine(port, lacpdu)
        return RxHandlerResult.CONSUMED
    if octets[0] == 2:
        try:
            marker = MarkerPdu.parse(octets)
        except WireError:
            stats.marker_unknown_rx += 1
            return RxHandlerResult.CONSUMED
        if marker.response:
            stats.marker_resp_rx += 1
        else:
            stats.marker_rx += 1
            ad_marker_send(port, marker)
        return RxHandlerResult.CONSUMED
    stats.lacpdu_unknown_rx += 1
    return RxHandlerResult.ANOTHER

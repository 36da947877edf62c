"""Which ports go together, and which of these aggregates is used (Linux: drivers/net/bonding/bond_3ad.c)."""

from dataclasses import replace

from ...core.link_watch import netif_carrier_off, netif_carrier_on
from ...wire.lacp import LacpState
from .bond_3ad_port import Aggregator, Port
from .bonding import (
    AdSelect,
    Bonding,
    BondLink,
    bond_set_slave_active_flags,
    bond_set_slave_inactive_flags,
    bond_slave_is_up,
    bond_update_slave_arr,
    speed_of,
)

__all__ = [
    "ad_agg_selection_logic",
    "ad_disable_collecting_distributing",
    "ad_enable_collecting_distributing",
    "ad_port_leave",
    "ad_port_selection_logic",
    "bond_3ad_set_carrier",
]


def _enable_port(port: Port) -> None:
    slave = port.slave
    if slave.link == BondLink.UP and bond_slave_is_up(slave):
        bond_set_slave_active_flags(slave)


def ad_enable_collecting_distributing(port: Port) -> None:
    """Let a port send and receive, if its aggregator is used."""
    if port.aggregator is not None and port.aggregator.is_active:
        _enable_port(port)
        bond_update_slave_arr(port.slave.bond)


def ad_disable_collecting_distributing(port: Port) -> None:
    """Let a port, whose partner answers, neither send nor receive."""
    if port.aggregator is not None and port.aggregator.has_partner:
        bond_set_slave_inactive_flags(port.slave)
        bond_update_slave_arr(port.slave.bond)


def ad_port_leave(port: Port) -> None:
    """Take a port out of its aggregator."""
    aggregator = port.aggregator
    if aggregator is None:
        return
    aggregator.ports.remove(port)
    if not aggregator.ports:
        aggregator.is_active = False
        aggregator.partner_system = bytes(6)
    port.aggregator = None
    port.selected = False


def _fits(aggregator: Aggregator, port: Port) -> bool:
    """Return whether a port leads where those of an aggregator do."""
    partner = port.partner
    return (
        bool(aggregator.ports)
        and not aggregator.is_individual
        and any(partner.system)
        and aggregator.actor_key == port.actor.key
        and aggregator.partner_key == partner.key
        and aggregator.partner_system == partner.system
        and aggregator.partner_system_priority == partner.system_priority
    )


def ad_port_selection_logic(port: Port) -> None:
    """Find a port that was unselected an aggregator (IEEE Std 802.1AX-2008 §5.4.14)."""
    bond = port.slave.bond
    if not port.selected:
        ad_port_leave(port)
        aggregators = bond.ad.aggregators
        aggregator = next((a for a in aggregators if _fits(a, port)), None)
        if aggregator is None:
            aggregator = next(a for a in aggregators if not a.ports)
            aggregator.actor_key = port.actor.key
            aggregator.partner_key = port.partner.key
            aggregator.partner_system = port.partner.system
            aggregator.partner_system_priority = port.partner.system_priority
            aggregator.is_individual = not port.full_duplex or not port.partner_has(LacpState.AGGREGATION)
        aggregator.ports.append(port)
        port.aggregator = aggregator
        port.selected = True
        ad_agg_selection_logic(bond)
    aggregator = port.aggregator
    assert aggregator is not None
    ready = all(other.ready_n for other in aggregator.ports)
    for other in aggregator.ports:
        other.ready = ready
    if not aggregator.is_active:
        port.actor = replace(port.actor, state=port.actor.state & ~LacpState.SYNCHRONIZATION)


def _rank(aggregator: Aggregator, select: AdSelect) -> tuple[bool, bool, int, int]:
    """Return what an aggregator is compared with others by, the better the greater."""
    ports = aggregator.active_ports
    bandwidth = sum(speed_of(port.slave) for port in aggregator.ports if port.enabled)
    size = ports if select == AdSelect.COUNT else 0
    return (not aggregator.is_individual, aggregator.has_partner, size, bandwidth)


def ad_agg_selection_logic(bond: Bonding) -> None:
    """Choose the aggregator that the bond uses.

    One that answers is best, then the one with most bandwidth, or most ports. By default (``AdSelect.STABLE``) the one
    that is in use stays so as long as it can be used.
    """
    active = bond.ad.active
    candidates = [a for a in bond.ad.aggregators if a.active_ports]
    best = active if active in candidates else None
    for aggregator in candidates:
        if best is None or _rank(aggregator, bond.params.ad_select) > _rank(best, bond.params.ad_select):
            best = aggregator
    if (
        active is not None
        and best is not None
        and bond.params.ad_select == AdSelect.STABLE
        and active in candidates
        and (active.has_partner or not best.has_partner)
        and (not active.is_individual or best.is_individual)
    ):
        best = active
    if best is not active:
        if active is not None:
            active.is_active = False
            for port in active.ports:
                bond_set_slave_inactive_flags(port.slave)
        if best is not None:
            best.is_active = True
    if best is not None and not best.has_partner:
        for port in best.ports:
            _enable_port(port)  # Nobody answers: a single link without the protocol.
    bond_update_slave_arr(bond)
    bond_3ad_set_carrier(bond)


def bond_3ad_set_carrier(bond: Bonding) -> None:
    """Give the bond a link while the aggregator that it uses has ports enough."""
    active = bond.ad.active
    if active is not None and active.active_ports >= max(1, bond.params.min_links):
        netif_carrier_on(bond)
    else:
        netif_carrier_off(bond)

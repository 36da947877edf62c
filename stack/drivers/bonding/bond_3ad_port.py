"""Ports, aggregators and what they share (Linux: include/net/bond_3ad.h; IEEE Std 802.1AX-2008 §5.4)."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from ...wire.lacp import LacpInfo, LacpState

if TYPE_CHECKING:
    from .bonding import Slave

__all__ = ["AdBond", "AdStats", "Aggregator", "MuxState", "PeriodicState", "Port", "RxState", "ad_ticks"]

AD_TIMER_INTERVAL_MS = 100


def ad_ticks(seconds: int) -> int:
    """Return a time as a number of runs of the state machines."""
    return seconds * 1000 // AD_TIMER_INTERVAL_MS


class RxState(Enum):
    """States of the Receive machine (§5.4.12)."""

    INITIALIZE = auto()
    PORT_DISABLED = auto()
    LACP_DISABLED = auto()
    EXPIRED = auto()
    DEFAULTED = auto()
    CURRENT = auto()


class PeriodicState(Enum):
    """States of the Periodic Transmission machine (§5.4.13)."""

    NO_PERIODIC = auto()
    FAST_PERIODIC = auto()
    SLOW_PERIODIC = auto()
    PERIODIC_TX = auto()


class MuxState(Enum):
    """States of the Mux machine with coupled control (§5.4.15)."""

    DETACHED = auto()
    WAITING = auto()
    ATTACHED = auto()
    COLLECTING_DISTRIBUTING = auto()


@dataclass(eq=False, slots=True)
class Port:
    """A slave's side of the protocol (Linux: ``struct port``); times are in runs of the state machines.

    Members
    -------
    actor, partner : LacpInfo
        What this port is, and what is known of the other end.
    enabled, full_duplex : bool
        There is a link; and it is one that can be aggregated.
    selected, ready_n, ready : bool
        It has an aggregator; it has waited long enough for others; all of that one have.
    ntt : bool
        There is something to tell.
    """

    slave: "Slave"
    number: int
    actor: LacpInfo
    partner: LacpInfo = field(default_factory=LacpInfo)
    enabled: bool = False
    full_duplex: bool = True
    selected: bool = False
    ready_n: bool = False
    ready: bool = False
    ntt: bool = False
    aggregator: "Aggregator | None" = None
    rx_state: RxState | None = None
    periodic_state: PeriodicState | None = None
    mux_state: MuxState | None = None
    current_while: int = 0
    periodic_timer: int = 0
    wait_while: int = 0
    tx_timer: int = 0

    @property
    def lacp_enabled(self) -> bool:
        """Whether the protocol runs: on full duplex links only (§5.4.8 of the standard)."""
        return self.full_duplex

    def has(self, state: LacpState) -> bool:
        """Return whether this port says so of itself."""
        return bool(self.actor.state & state)

    def partner_has(self, state: LacpState) -> bool:
        """Return whether the other end does."""
        return bool(self.partner.state & state)


@dataclass(eq=False, slots=True)
class Aggregator:
    """Ports that lead to the same system and may be used together (Linux: ``struct aggregator``).

    Members
    -------
    ports : list[Port]
        Those that are in it.
    actor_key, partner_key, partner_system, partner_system_priority
        What they have in common.
    is_individual : bool
        It can have one port only.
    is_active : bool
        It is the one that the bond uses.
    """

    identifier: int
    ports: list[Port] = field(default_factory=list[Port])
    actor_key: int = 0
    partner_key: int = 0
    partner_system: bytes = bytes(6)
    partner_system_priority: int = 0
    is_individual: bool = False
    is_active: bool = False

    @property
    def has_partner(self) -> bool:
        """Whether somebody answers at the other end (Linux: ``__agg_has_partner``)."""
        return any(self.partner_system)

    @property
    def active_ports(self) -> int:
        """How many ports have a link (Linux: ``__agg_active_ports``)."""
        return sum(port.enabled for port in self.ports)


@dataclass(slots=True)
class AdStats:
    """Counters of the protocol (Linux: ``struct bond_3ad_stats``)."""

    lacpdu_rx: int = 0
    lacpdu_tx: int = 0
    lacpdu_unknown_rx: int = 0
    lacpdu_illegal_rx: int = 0
    marker_rx: int = 0
    marker_resp_tx: int = 0
    marker_resp_rx: int = 0
    marker_unknown_rx: int = 0


@dataclass(slots=True)
class AdBond:
    """What the ports of a bond share (Linux: ``struct ad_bond_info``).

    Members
    -------
    aggregators : list[Aggregator]
        As many as there are ports.
    system : bytes
        The bond's address, which names the system.
    agg_select_timer : int
        How long still to wait for partners to answer, before an aggregator is chosen.
    """

    aggregators: list[Aggregator] = field(default_factory=list[Aggregator])
    system: bytes = bytes(6)
    agg_select_timer: int = 0
    last_aggregator: int = 0
    last_port: int = 0
    stats: AdStats = field(default_factory=AdStats)

    @property
    def active(self) -> Aggregator | None:
        """The aggregator that the bond uses."""
        return next((aggregator for aggregator in self.aggregators if aggregator.is_active), None)

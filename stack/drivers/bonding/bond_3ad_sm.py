"""The state machines of a port (Linux: drivers/net/bonding/bond_3ad.c; IEEE Std 802.1AX-2008 §5.4).

Each is a function that gives the next state, if there is one, and a table of what entering a state does.
"""

from collections.abc import Callable
from dataclasses import replace

from ...wire.lacp import Lacpdu, LacpInfo, LacpState
from .bond_3ad_agg import ad_disable_collecting_distributing, ad_enable_collecting_distributing
from .bond_3ad_port import MuxState, PeriodicState, Port, RxState, ad_ticks

__all__ = ["ad_mux_machine", "ad_periodic_machine", "ad_rx_machine"]

# §5.4.4, in s.
_FAST_PERIODIC, _SLOW_PERIODIC = 1, 30
_SHORT_TIMEOUT, _LONG_TIMEOUT = 3, 90
_AGGREGATE_WAIT = 2

_NTT_STATES = LacpState.ACTIVITY | LacpState.TIMEOUT | LacpState.SYNCHRONIZATION | LacpState.AGGREGATION
# What is taken for granted of a partner that does not answer: nothing, and that it cannot be aggregated.
_PARTNER_ADMIN = LacpInfo(system_priority=0xFFFF, key=1, port_priority=0xFF, port=1, state=LacpState.ACTIVITY)


def _set(port: Port, states: LacpState) -> None:
    port.actor = replace(port.actor, state=port.actor.state | states)


def _clear(port: Port, states: LacpState) -> None:
    port.actor = replace(port.actor, state=port.actor.state & ~states)


def _set_partner(port: Port, states: LacpState) -> None:
    port.partner = replace(port.partner, state=port.partner.state | states)


def _clear_partner(port: Port, states: LacpState) -> None:
    port.partner = replace(port.partner, state=port.partner.state & ~states)


def _same(one: LacpInfo, other: LacpInfo, states: LacpState) -> bool:
    """Return whether two descriptions of a port agree, of its states on those only."""
    return replace(one, state=one.state & states) == replace(other, state=other.state & states)


# The Receive machine.


def ad_rx_machine(port: Port, lacpdu: Lacpdu | None = None) -> None:
    """Take a LACPDU, or see whether it is time that one came (§5.4.12)."""
    if port.current_while and lacpdu is None:
        port.current_while -= 1
    state = _rx_next(port, lacpdu)
    while state is not None:
        port.rx_state = state
        if state == RxState.CURRENT:
            assert lacpdu is not None
            _update_selected(port, lacpdu.actor)
            _update_ntt(port, lacpdu.partner)
            _record_pdu(port, lacpdu)
            _clear(port, LacpState.EXPIRED)
            port.current_while = ad_ticks(_SHORT_TIMEOUT if port.has(LacpState.TIMEOUT) else _LONG_TIMEOUT)
            return
        _RX_ENTRY[state](port)
        state = _rx_next(port, None)


def _rx_next(port: Port, lacpdu: Lacpdu | None) -> RxState | None:
    state = port.rx_state
    if state is None:
        return RxState.INITIALIZE
    if state == RxState.INITIALIZE:
        return RxState.PORT_DISABLED
    if not port.enabled:
        return None if state == RxState.PORT_DISABLED else RxState.PORT_DISABLED
    if state == RxState.PORT_DISABLED or port.lacp_enabled == (state == RxState.LACP_DISABLED):
        return RxState.EXPIRED if port.lacp_enabled else RxState.LACP_DISABLED
    if state == RxState.LACP_DISABLED:
        return None
    if lacpdu is not None:
        return RxState.CURRENT
    if port.current_while or state == RxState.DEFAULTED:
        return None
    return RxState.EXPIRED if state == RxState.CURRENT else RxState.DEFAULTED


def _enter_initialize(port: Port) -> None:
    port.selected = False
    _record_default(port)
    _clear(port, LacpState.EXPIRED)


def _enter_port_disabled(port: Port) -> None:
    _clear_partner(port, LacpState.SYNCHRONIZATION)


def _enter_lacp_disabled(port: Port) -> None:
    port.selected = False
    _record_default(port)
    _clear_partner(port, LacpState.AGGREGATION)
    _clear(port, LacpState.EXPIRED)


def _enter_expired(port: Port) -> None:
    """Ask for a LACPDU: as if the partner wanted one every second, too."""
    _clear_partner(port, LacpState.SYNCHRONIZATION)
    _set_partner(port, LacpState.TIMEOUT)
    port.current_while = ad_ticks(_SHORT_TIMEOUT)
    _set(port, LacpState.EXPIRED)


def _enter_defaulted(port: Port) -> None:
    if not _same(port.partner, _PARTNER_ADMIN, LacpState.AGGREGATION):
        port.selected = False
    _record_default(port)
    _clear(port, LacpState.EXPIRED)


_RX_ENTRY: dict[RxState, Callable[[Port], None]] = {
    RxState.INITIALIZE: _enter_initialize,
    RxState.PORT_DISABLED: _enter_port_disabled,
    RxState.LACP_DISABLED: _enter_lacp_disabled,
    RxState.EXPIRED: _enter_expired,
    RxState.DEFAULTED: _enter_defaulted,
}


def _record_default(port: Port) -> None:
    """Take for granted what is known of no partner (``recordDefault``)."""
    port.partner = _PARTNER_ADMIN
    _set(port, LacpState.DEFAULTED)


def _record_pdu(port: Port, lacpdu: Lacpdu) -> None:
    """Take over what the partner says of itself; it is in step only if it means this port (``recordPDU``)."""
    matched = _same(lacpdu.partner, port.actor, LacpState.AGGREGATION)
    port.partner = lacpdu.actor
    _clear(port, LacpState.DEFAULTED)
    if not matched and lacpdu.actor.state & LacpState.AGGREGATION:
        _clear_partner(port, LacpState.SYNCHRONIZATION)


def _update_selected(port: Port, info: LacpInfo) -> None:
    """Have another aggregator found if the partner is another one now (``update_Selected``)."""
    if not _same(info, port.partner, LacpState.AGGREGATION):
        port.selected = False


def _update_ntt(port: Port, info: LacpInfo) -> None:
    """Tell the partner what this port is, if it does not know (``update_NTT``)."""
    if not _same(info, port.actor, _NTT_STATES):
        port.ntt = True


# The Periodic Transmission machine.


def ad_periodic_machine(port: Port) -> None:
    """See whether it is time to send a LACPDU (§5.4.13)."""
    if port.periodic_timer:
        port.periodic_timer -= 1
    state = _periodic_next(port)
    while state is not None:
        port.periodic_state = state
        if state == PeriodicState.PERIODIC_TX:
            port.ntt = True
        seconds = {PeriodicState.FAST_PERIODIC: _FAST_PERIODIC, PeriodicState.SLOW_PERIODIC: _SLOW_PERIODIC}
        port.periodic_timer = ad_ticks(seconds.get(state, 0))
        state = _periodic_next(port)


def _periodic_next(port: Port) -> PeriodicState | None:
    state = port.periodic_state
    # A passive port speaks when it is spoken to, whatever is taken for granted of a partner that is silent.
    spoken_to = port.partner_has(LacpState.ACTIVITY) and not port.has(LacpState.DEFAULTED)
    passive = not port.has(LacpState.ACTIVITY) and not spoken_to
    if state is None or not port.enabled or not port.lacp_enabled or passive:
        return None if state == PeriodicState.NO_PERIODIC else PeriodicState.NO_PERIODIC
    fast = port.partner_has(LacpState.TIMEOUT)
    if state == PeriodicState.NO_PERIODIC:
        return PeriodicState.FAST_PERIODIC
    if state == PeriodicState.PERIODIC_TX:
        return PeriodicState.FAST_PERIODIC if fast else PeriodicState.SLOW_PERIODIC
    if not port.periodic_timer or (state == PeriodicState.SLOW_PERIODIC and fast):
        return PeriodicState.PERIODIC_TX
    return PeriodicState.SLOW_PERIODIC if state == PeriodicState.FAST_PERIODIC and not fast else None


# The Mux machine.


def ad_mux_machine(port: Port) -> None:
    """Bring a port into its aggregator, and frames through it, when both ends are ready (§5.4.15)."""
    if port.mux_state == MuxState.WAITING and port.wait_while:
        port.wait_while -= 1
        port.ready_n = not port.wait_while
    state = _mux_next(port)
    if state is not None:
        port.mux_state = state
        _MUX_ENTRY[state](port)


def _mux_next(port: Port) -> MuxState | None:
    state = port.mux_state
    if state is None:
        return MuxState.DETACHED
    if state == MuxState.DETACHED:
        return MuxState.WAITING if port.selected else None
    if state == MuxState.COLLECTING_DISTRIBUTING:
        stays = port.selected and port.partner_has(LacpState.SYNCHRONIZATION) and port.has(LacpState.SYNCHRONIZATION)
        return None if stays else MuxState.ATTACHED
    if not port.selected:
        return MuxState.DETACHED
    if state == MuxState.WAITING:
        return MuxState.ATTACHED if port.ready else None
    aggregator = port.aggregator
    if aggregator is None or not aggregator.is_active or port.slave.bond.ad.agg_select_timer:
        return None
    if not port.has(LacpState.SYNCHRONIZATION):
        return MuxState.ATTACHED  # Its aggregator was not in use until now.
    return MuxState.COLLECTING_DISTRIBUTING if port.partner_has(LacpState.SYNCHRONIZATION) else None


def _enter_detached(port: Port) -> None:
    _clear(port, LacpState.SYNCHRONIZATION | LacpState.COLLECTING | LacpState.DISTRIBUTING)
    ad_disable_collecting_distributing(port)
    port.ready_n = False
    port.ntt = True


def _enter_waiting(port: Port) -> None:
    port.wait_while = ad_ticks(_AGGREGATE_WAIT)
    port.ready_n = port.ready = False


def _enter_attached(port: Port) -> None:
    _clear(port, LacpState.COLLECTING | LacpState.DISTRIBUTING)
    if port.aggregator is not None and port.aggregator.is_active:
        _set(port, LacpState.SYNCHRONIZATION)
    ad_disable_collecting_distributing(port)
    port.ntt = True


def _enter_collecting_distributing(port: Port) -> None:
    _set(port, LacpState.COLLECTING | LacpState.DISTRIBUTING)
    ad_enable_collecting_distributing(port)
    port.ntt = True


_MUX_ENTRY: dict[MuxState, Callable[[Port], None]] = {
    MuxState.DETACHED: _enter_detached,
    MuxState.WAITING: _enter_waiting,
    MuxState.ATTACHED: _enter_attached,
    MuxState.COLLECTING_DISTRIBUTING: _enter_collecting_distributing,
}

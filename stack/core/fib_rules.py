"""Rules that choose among routing tables (Linux: net/core/fib_rules.c; ip-rule(8))."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from errno import EAGAIN, EEXIST, EINVAL, ENOENT, ESRCH
from typing import TYPE_CHECKING, Any

from .netdev_event import NetdevEvent

if TYPE_CHECKING:
    from .net import Net
    from .netdevice import NetDevice

__all__ = [
    "FR_ACT_BLACKHOLE",
    "FR_ACT_GOTO",
    "FR_ACT_NOP",
    "FR_ACT_PROHIBIT",
    "FR_ACT_TO_TBL",
    "FR_ACT_UNREACHABLE",
    "FibRule",
    "FibRulesOps",
    "fib_default_rule_pref",
    "fib_delrule",
    "fib_newrule",
    "fib_rule_match",
    "fib_rules_event",
    "fib_rules_lookup",
]

FR_ACT_TO_TBL = 1
FR_ACT_GOTO = 2
FR_ACT_NOP = 3
FR_ACT_BLACKHOLE = 6
FR_ACT_UNREACHABLE = 7
FR_ACT_PROHIBIT = 8


@dataclass(slots=True, eq=False)
class FibRule:
    """A rule (Linux: ``struct fib_rule`` and, for IPv4, ``struct fib4_rule``); what is 0, "" or None fits every flow.

    Members
    -------
    pref : int
        Its priority: rules are asked by it, the lowest first. -1 for one in front of all but the first.
    action : int
        ``FR_ACT_*``.
    table, target : int
        The table to look in; the priority of the rule to go on with.
    iifname, oifname : str
        Devices that the flow comes in by (``"lo"`` for what this host sends) and is bound to.
    mark, mark_mask : int
        The flow's mark under the mask is this one.
    invert : bool
        It is for the flows that it does not fit.
    suppress_prefixlen : int
        Routes to prefixes of at most this length do not count; -1 for none.
    src, src_len, dst, dst_len, tos : int
        Of IPv4: prefixes that the addresses are in, and the TOS.
    ip_proto : int
        Protocol.
    sport_range, dport_range : tuple[int, int] or None
        First and last port.
    protocol : int
        Who made it (``RtProtocol``).
    """

    pref: int = -1
    action: int = FR_ACT_TO_TBL
    table: int = 0
    target: int = 0
    iifname: str = ""
    oifname: str = ""
    mark: int = 0
    mark_mask: int = 0
    invert: bool = False
    suppress_prefixlen: int = -1
    src: int = 0
    src_len: int = 0
    dst: int = 0
    dst_len: int = 0
    tos: int = 0
    ip_proto: int = 0
    sport_range: tuple[int, int] | None = None
    dport_range: tuple[int, int] | None = None
    protocol: int = 0
    # Set here: -1 while there is no such device, and the rule that "goto" leads to, None while there is none.
    iifindex: int = field(default=0, init=False)
    oifindex: int = field(default=0, init=False)
    ctarget: "FibRule | None" = field(default=None, init=False)

    def same(self, other: "FibRule") -> bool:
        """Return whether there cannot be both (``rule_exists``): inversion and target of ``"goto"`` do not count."""
        return all(getattr(self, name) == getattr(other, name) for name in _SAID)

    def fits(self, wanted: "FibRule") -> bool:
        """Return whether a rule is one that is to be deleted: what is not said may be anything (``rule_find``)."""
        return all(getattr(wanted, name) in (_ANY[name], getattr(self, name)) for name in _SAID)


_ANY = {entry.name: entry.default for entry in fields(FibRule)} | {"action": 0}
_SAID = tuple(name for name in FibRule.__slots__ if name not in ("invert", "target", "iifindex", "oifindex", "ctarget"))


@dataclass(slots=True, eq=False)
class FibRulesOps:
    """The rules of one address family in a namespace, and what it does with them (Linux: ``struct fib_rules_ops``).

    Members
    -------
    match : callable
        Takes a rule and a flow; returns whether the family's own parts of the rule fit.
    action : callable
        Takes a rule and a flow; returns the route found, or a negative errno.
    suppress : callable
        Takes a rule and what its action found; returns whether that does not count.
    configure : callable
        Takes a rule that comes (and 1) or goes (and -1); raises ``OSError`` if it makes no sense.
    flush_cache : callable
        Is called after each change.
    rules_list : list[FibRule]
        By priority; among equal ones the oldest first.
    """

    net: "Net"
    match: Callable[[FibRule, Any], bool]
    action: Callable[[FibRule, Any], Any]
    suppress: Callable[[FibRule, Any], bool]
    configure: Callable[[FibRule, int], None]
    flush_cache: Callable[[], None]
    rules_list: list[FibRule] = field(default_factory=list[FibRule])


def fib_rule_match(rule: FibRule, ops: FibRulesOps, fl: Any) -> bool:
    """Return whether a rule is for a flow."""
    fits = (
        (not rule.iifindex or rule.iifindex == fl.iif)
        and (not rule.oifindex or rule.oifindex == fl.oif)
        and not (rule.mark ^ fl.mark) & rule.mark_mask
        and ops.match(rule, fl)
    )
    return fits != rule.invert


def fib_rules_lookup(ops: FibRulesOps, fl: Any) -> Any:
    """Ask the rules, by priority, for a flow's route.

    Returns
    -------
    Any
        What the family's ``action`` found; a negative errno, ``-ESRCH`` if no rule led anywhere.
    """
    # A rule leads forward only, so one pass is enough.
    wanted: FibRule | None = None
    for rule in ops.rules_list:
        if wanted is not None and rule is not wanted:
            continue
        wanted = None
        if not fib_rule_match(rule, ops, fl):
            continue
        if rule.action == FR_ACT_GOTO:
            wanted = rule.ctarget
        elif rule.action != FR_ACT_NOP:
            found = ops.action(rule, fl)
            if found != -EAGAIN and (isinstance(found, int) or not ops.suppress(rule, found)):
                return found
    return -ESRCH


def fib_default_rule_pref(ops: FibRulesOps) -> int:
    """Return the priority of a rule that names none: in front of all but the first."""
    rules = ops.rules_list
    return rules[1].pref - 1 if len(rules) > 1 and rules[1].pref else 0


def fib_newrule(ops: FibRulesOps, rule: FibRule) -> None:
    """Add a rule.

    Raises
    ------
    OSError
        ``EEXIST`` if there is the same; ``EINVAL`` for a table that is none, or a way back.
    """
    if rule.pref < 0:
        rule.pref = fib_default_rule_pref(ops)
    if (rule.action == FR_ACT_TO_TBL) != (rule.table != 0):
        raise OSError(EINVAL, "a rule leads to a table, or has another action")
    if rule.action == FR_ACT_GOTO and rule.target <= rule.pref:
        raise OSError(EINVAL, "a rule leads to a later one only")
    for ports in (rule.sport_range, rule.dport_range):
        if ports is not None and not 0 < ports[0] <= ports[1] < 0xFFFF:
            raise OSError(EINVAL, f"{ports} is not a range of ports")
    if any(other.same(rule) for other in ops.rules_list):
        raise OSError(EEXIST, "the rule exists")
    ops.configure(rule, 1)
    for dev in ops.net.devices.values():
        _attach(rule, dev.name, dev.ifindex)
    rule.iifindex = rule.iifindex or -bool(rule.iifname)
    rule.oifindex = rule.oifindex or -bool(rule.oifname)
    insort(ops.rules_list, rule, key=lambda entry: entry.pref)
    _resolve(ops)
    ops.flush_cache()


def fib_delrule(ops: FibRulesOps, wanted: FibRule) -> None:
    """Delete the first rule that fits.

    Raises
    ------
    OSError
        ``ENOENT`` if there is none.
    """
    for rule in ops.rules_list:
        if rule.fits(wanted):
            ops.configure(rule, -1)
            ops.rules_list.remove(rule)
            _resolve(ops)
            ops.flush_cache()
            return
    raise OSError(ENOENT, "there is no such rule")


def _resolve(ops: FibRulesOps) -> None:
    """Find out where the rules that lead to others lead."""
    for rule in ops.rules_list:
        if rule.action == FR_ACT_GOTO:
            rule.ctarget = next((other for other in ops.rules_list if other.pref == rule.target), None)


def _attach(rule: FibRule, name: str, ifindex: int) -> None:
    if rule.iifname == name:
        rule.iifindex = ifindex
    if rule.oifname == name:
        rule.oifindex = ifindex


def fib_rules_event(ops: FibRulesOps, event: NetdevEvent, dev: "NetDevice") -> None:
    """Follow a device that came or went: rules know devices by name."""
    if event in (NetdevEvent.REGISTER, NetdevEvent.UNREGISTER):
        for rule in ops.rules_list:
            _attach(rule, dev.name, dev.ifindex if event == NetdevEvent.REGISTER else -1)

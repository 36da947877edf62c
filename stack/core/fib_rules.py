"""Rules that choose among routing tables (Linux: net/core/fib_rules.c; ip-rule(8))."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from errno import EAGAIN, ESRCH
from typing import TYPE_CHECKING, Any

from ..ipv4.rtnetlink import RtProtocol
from ..netlink.fib_rules import FIB_RULE_INVERT, FrAct
from .netdev_event import NetdevEvent

if TYPE_CHECKING:
    from .net import Net
    from .netdevice import NetDevice
    from .skbuff import SkBuff

__all__ = [
    "FibRule",
    "FibRulesOps",
    "fib_default_rule_add",
    "fib_default_rule_pref",
    "fib_rule_delete",
    "fib_rule_insert",
    "fib_rule_match",
    "fib_rules_event",
    "fib_rules_lookup",
    "rule_exists",
    "rule_find",
]


@dataclass(slots=True, eq=False)
class FibRule:
    """A rule (Linux: ``struct fib_rule`` and, for IPv4, ``struct fib4_rule``); what is 0, "" or None fits every flow.

    Members
    -------
    pref : int
        Its priority: rules are asked by it, the lowest first.
    action : int
        ``FrAct``.
    flags : int
        ``FIB_RULE_*``: whether it is for the flows that it does not fit, and cannot be deleted.
    table, target : int
        The table to look in; the priority of the rule to go on with.
    iifname, oifname : str
        Devices that the flow comes in by (``"lo"`` for what this host sends) and is bound to.
    mark, mark_mask : int
        The flow's mark under the mask is this one.
    tun_id : int
        Key of the tunnel that the flow came by.
    uid_range : tuple[int, int] or None
        First and last user.
    suppress_ifgroup, suppress_prefixlen : int
        Routes by devices of this group, and to prefixes of at most this length, do not count; -1 for none.
    src, src_len, dst, dst_len, tos : int
        Of IPv4: prefixes that the addresses are in, and the TOS.
    ip_proto : int
        Protocol.
    sport_range, dport_range : tuple[int, int] or None
        First and last port.
    protocol : int
        Who made it (``RtProtocol``).
    iifindex, oifindex : int
        Numbers of the devices; -1 while there is no such device.
    ctarget : FibRule or None
        The rule that ``FrAct.GOTO`` leads to, None while there is none.
    """

    pref: int = 0
    action: int = 0
    flags: int = 0
    table: int = 0
    target: int = 0
    iifname: str = ""
    oifname: str = ""
    mark: int = 0
    mark_mask: int = 0
    tun_id: int = 0
    uid_range: tuple[int, int] | None = None
    suppress_ifgroup: int = -1
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
    iifindex: int = field(default=0, init=False)
    oifindex: int = field(default=0, init=False)
    ctarget: "FibRule | None" = field(default=None, init=False)


_UNSAID = {entry.name: entry.default for entry in fields(FibRule)}
# What makes two rules different, besides priority and what the family compares: not inversion, nor the target.
_COMPARED = (
    *("action", "table", "iifname", "oifname", "mark", "mark_mask", "tun_id", "uid_range"),
    *("suppress_ifgroup", "suppress_prefixlen", "ip_proto", "sport_range", "dport_range", "protocol"),
)


@dataclass(slots=True, eq=False)
class FibRulesOps:
    """The rules of one address family in a namespace, and what it does with them (Linux: ``struct fib_rules_ops``).

    Members
    -------
    family, nlgroup : int
        Its number, and the group that is notified of changes.
    match : callable
        Takes a rule and a flow; returns whether the family's own parts of the rule fit.
    action : callable
        Takes a rule and a flow; returns the route found, or a negative errno.
    suppress : callable
        Takes a rule and what its action found; returns whether that does not count.
    configure, delete : callable
        Take a rule that comes or goes; the first raises ``OSError`` if it makes no sense.
    compare : callable
        Takes a rule and a wanted one; returns whether the family's own parts are those that are wanted, as far as said.
    fill : callable
        Takes a rule and a message; appends what the family has to say.
    flush_cache : callable
        Is called after each change.
    rules_list : list[FibRule]
        By priority; among equal ones the oldest first.
    """

    net: "Net"
    family: int
    nlgroup: int
    match: Callable[[FibRule, Any], bool]
    action: Callable[[FibRule, Any], Any]
    suppress: Callable[[FibRule, Any], bool]
    configure: Callable[[FibRule], None]
    delete: Callable[[FibRule], None]
    compare: Callable[[FibRule, FibRule], bool]
    fill: "Callable[[FibRule, SkBuff], None]"
    flush_cache: Callable[[], None]
    rules_list: list[FibRule] = field(default_factory=list[FibRule])


def fib_rule_match(rule: FibRule, ops: FibRulesOps, fl: Any) -> bool:
    """Return whether a rule is for a flow."""
    fits = (
        (not rule.iifindex or rule.iifindex == fl.iif)
        and (not rule.oifindex or rule.oifindex == fl.oif)
        and not (rule.mark ^ fl.mark) & rule.mark_mask
        and not rule.tun_id  # No flow here came by a tunnel that tells its key.
        and (rule.uid_range is None or rule.uid_range[0] <= fl.uid <= rule.uid_range[1])
        and ops.match(rule, fl)
    )
    return fits != bool(rule.flags & FIB_RULE_INVERT)


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
        if rule.action == FrAct.GOTO:
            wanted = rule.ctarget
        elif rule.action != FrAct.NOP:
            found = ops.action(rule, fl)
            if found != -EAGAIN and (isinstance(found, int) or not ops.suppress(rule, found)):
                return found
    return -ESRCH


def fib_default_rule_pref(ops: FibRulesOps) -> int:
    """Return the priority of a rule that names none: in front of all but the first."""
    rules = ops.rules_list
    return rules[1].pref - 1 if len(rules) > 1 and rules[1].pref else 0


def fib_default_rule_add(ops: FibRulesOps, pref: int, table: int) -> None:
    """Add one of the rules that a namespace starts with."""
    ops.rules_list.append(FibRule(pref, FrAct.TO_TBL, table=table, protocol=RtProtocol.KERNEL))


def rule_exists(ops: FibRulesOps, rule: FibRule) -> bool:
    """Return whether there is such a rule already."""
    return any(
        other.pref == rule.pref
        and all(getattr(other, name) == getattr(rule, name) for name in _COMPARED)
        and ops.compare(other, rule)
        for other in ops.rules_list
    )


def rule_find(ops: FibRulesOps, wanted: FibRule, *, user_priority: bool) -> FibRule | None:
    """Return the first rule that is as wanted; what is not said (``user_priority``) may be anything."""
    for rule in ops.rules_list:
        if (
            (not user_priority or rule.pref == wanted.pref)
            and all(getattr(wanted, name) in (_UNSAID[name], getattr(rule, name)) for name in _COMPARED)
            and ops.compare(rule, wanted)
        ):
            return rule
    return None


def fib_rule_insert(ops: FibRulesOps, rule: FibRule) -> None:
    """Put a rule among the others.

    Raises
    ------
    OSError
        What the family's ``configure`` raises.
    """
    ops.configure(rule)
    for dev in ops.net.devices.values():
        attach_rules(rule, dev)
    rule.iifindex = rule.iifindex or -bool(rule.iifname)
    rule.oifindex = rule.oifindex or -bool(rule.oifname)
    insort(ops.rules_list, rule, key=lambda entry: entry.pref)
    _resolve(ops)


def fib_rule_delete(ops: FibRulesOps, rule: FibRule) -> None:
    """Take a rule out."""
    ops.delete(rule)
    ops.rules_list.remove(rule)
    _resolve(ops)


def _resolve(ops: FibRulesOps) -> None:
    """Find out where the rules that lead to others lead."""
    for rule in ops.rules_list:
        if rule.action == FrAct.GOTO:
            rule.ctarget = next((other for other in ops.rules_list if other.pref == rule.target), None)


def attach_rules(rule: FibRule, dev: "NetDevice") -> None:
    """Let a rule know a device that has its name."""
    if rule.iifname == dev.name:
        rule.iifindex = dev.ifindex
    if rule.oifname == dev.name:
        rule.oifindex = dev.ifindex


def detach_rules(rule: FibRule, dev: "NetDevice") -> None:
    """Let a rule forget a device."""
    if rule.iifindex == dev.ifindex:
        rule.iifindex = -1
    if rule.oifindex == dev.ifindex:
        rule.oifindex = -1


def fib_rules_event(ops: FibRulesOps, event: NetdevEvent, dev: "NetDevice") -> None:
    """Follow a device that came, went or got another name: rules know devices by name."""
    for rule in ops.rules_list:
        if event in (NetdevEvent.UNREGISTER, NetdevEvent.CHANGENAME):
            detach_rules(rule, dev)
        if event in (NetdevEvent.REGISTER, NetdevEvent.CHANGENAME):
            attach_rules(rule, dev)

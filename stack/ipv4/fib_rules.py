"""Policy routing: which table a flow's route is looked for in (Linux: net/ipv4/fib_rules.c; RFC 1812 §5.3.2)."""

from errno import EACCES, EAGAIN, EINVAL, ENETUNREACH, ESRCH
from itertools import count
from typing import TYPE_CHECKING

from ..core.dev_register import register_netdevice_notifier
from ..core.fib_rules import (
    FibRule,
    FibRulesOps,
    fib_default_rule_add,
    fib_rules_event,
    fib_rules_lookup,
)
from ..core.flow_dissector import skb_flow_dissect_flow_keys
from ..netlink.attr import NetlinkError, nla_put
from ..netlink.fib_rules import Fra, FrAct
from ..netlink.rtnetlink import Rtnlgrp
from ..uapi import AF_INET
from .fib_frontend import fib_unmerge
from .fib_table import fib_get_table, fib_new_table, rt_cache_flush
from .fib_trie import MASKS, FibResult, FibTable, fib_table_lookup
from .inet_ecn import INET_ECN_MASK
from .rtnetlink import RtTable

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .flow import Flowi4

__all__ = ["LOOPBACK_IFINDEX", "__fib_lookup", "fib4_rule_match", "fib4_rules_early_flow_dissect", "fib4_rules_init"]

LOOPBACK_IFINDEX = 1  # In every namespace.
_IPTOS_TOS_MASK = 0x1E
_ERRORS: dict[int, int] = {FrAct.UNREACHABLE: -ENETUNREACH, FrAct.PROHIBIT: -EACCES}


def __fib_lookup(net: "Net", flp: "Flowi4") -> FibResult | int:
    """Find the route for a flow as the rules say; as ``fib_lookup``. What did not come in comes from ``lo``."""
    flp.iif = flp.iif or LOOPBACK_IFINDEX
    found: FibResult | int = fib_rules_lookup(net.ipv4.rules_ops, flp)
    return -ENETUNREACH if found == -ESRCH else found


def fib4_rule_match(rule: FibRule, fl4: "Flowi4") -> bool:
    """Return whether the parts of a rule that are IPv4's fit a flow."""
    return (
        not (fl4.saddr ^ rule.src) & MASKS[rule.src_len]
        and not (fl4.daddr ^ rule.dst) & MASKS[rule.dst_len]
        and rule.tos in (0, fl4.tos)
        and rule.ip_proto in (0, fl4.proto)
        and (rule.sport_range is None or rule.sport_range[0] <= fl4.sport <= rule.sport_range[1])
        and (rule.dport_range is None or rule.dport_range[0] <= fl4.dport <= rule.dport_range[1])
    )


def fib4_rule_action(net: "Net", rule: FibRule, flp: "Flowi4") -> FibResult | int:
    """Do what a rule says: look in its table, or fail."""
    if rule.action != FrAct.TO_TBL:
        return _ERRORS.get(rule.action, -EINVAL)
    table = fib_get_table(net, rule.table)
    return -EAGAIN if table is None else fib_table_lookup(table, flp)


def fib4_rule_suppress(rule: FibRule, res: FibResult) -> bool:
    """Return whether a rule does not want a route: to a prefix that is too short, or by a device of some group."""
    if res.alias.prefixlen <= rule.suppress_prefixlen:
        return True
    return rule.suppress_ifgroup != -1 and res.fi.nhs[0].dev.group == rule.suppress_ifgroup


def fib_empty_table(net: "Net") -> FibTable:
    """Return a new table, of the lowest number that is free."""
    return fib_new_table(net, next(number for number in count(1) if fib_get_table(net, number) is None))


def _wants_flow(rule: FibRule) -> bool:
    """Return whether a rule looks at protocol or ports (Linux: ``fib_rule_requires_fldissect``)."""
    return bool(rule.ip_proto or rule.sport_range or rule.dport_range)


def fib4_rule_configure(net: "Net", rule: FibRule) -> None:
    """Get ready for a new rule: from now on rules are asked, and local routes are in a table of theirs.

    Raises
    ------
    NetlinkError
        ``EINVAL`` for a TOS that is none.
    """
    if rule.tos & INET_ECN_MASK:
        raise NetlinkError(EINVAL, "Invalid dsfield (tos): ECN bits must be 0")
    if rule.tos & ~_IPTOS_TOS_MASK:
        raise NetlinkError(EINVAL, "Invalid tos")
    fib_unmerge(net)
    if not rule.table and rule.action == FrAct.TO_TBL:
        rule.table = fib_empty_table(net).tb_id
    net.ipv4.fib_rules_require_fldissect += _wants_flow(rule)
    net.ipv4.fib_has_custom_rules = True


def fib4_rule_delete(net: "Net", rule: FibRule) -> None:
    """Get ready for a rule to go."""
    fib_unmerge(net)
    net.ipv4.fib_rules_require_fldissect -= _wants_flow(rule)
    net.ipv4.fib_has_custom_rules = True


def fib4_rule_compare(rule: FibRule, wanted: FibRule) -> bool:
    """Return whether a rule has the prefixes and the TOS of another one, as far as that one has any."""
    return (
        (not wanted.src_len or (rule.src, rule.src_len) == (wanted.src, wanted.src_len))
        and (not wanted.dst_len or (rule.dst, rule.dst_len) == (wanted.dst, wanted.dst_len))
        and wanted.tos in (0, rule.tos)
    )


def fib4_rule_fill(rule: FibRule, skb: "SkBuff") -> None:
    """Append a rule's prefixes to a message."""
    if rule.dst_len:
        nla_put(skb, Fra.DST, rule.dst.to_bytes(4, "big"))
    if rule.src_len:
        nla_put(skb, Fra.SRC, rule.src.to_bytes(4, "big"))


def fib4_rules_early_flow_dissect(net: "Net", skb: "SkBuff", fl4: "Flowi4") -> bool:
    """Give a received packet's flow its protocol and ports, if rules want to know them; return whether they do."""
    if not net.ipv4.fib_rules_require_fldissect:
        return False
    fl4.proto, fl4.sport, fl4.dport = skb_flow_dissect_flow_keys(skb)
    return True


def fib4_rules_init(net: "Net") -> None:
    """Give a namespace the rules that it starts with: the tables local, main and default."""
    ops = net.ipv4.rules_ops = FibRulesOps(
        net,
        AF_INET,
        Rtnlgrp.IPV4_RULE,
        match=fib4_rule_match,
        action=lambda rule, fl: fib4_rule_action(net, rule, fl),
        suppress=fib4_rule_suppress,
        configure=lambda rule: fib4_rule_configure(net, rule),
        delete=lambda rule: fib4_rule_delete(net, rule),
        compare=fib4_rule_compare,
        fill=fib4_rule_fill,
        flush_cache=lambda: rt_cache_flush(net),
    )
    for pref, table in ((0, RtTable.LOCAL), (0x7FFE, RtTable.MAIN), (0x7FFF, RtTable.DEFAULT)):
        fib_default_rule_add(ops, pref, table)
    register_netdevice_notifier(net, lambda event, dev: fib_rules_event(ops, event, dev))

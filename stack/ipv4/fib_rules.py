"""Policy routing: which table a flow's route is looked for in (Linux: net/ipv4/fib_rules.c; RFC 1812 §5.3.2)."""

from errno import EACCES, EAGAIN, EINVAL, ENETUNREACH, ESRCH
from typing import TYPE_CHECKING

from ..core.dev_register import register_netdevice_notifier
from ..core.fib_rules import (
    FR_ACT_PROHIBIT,
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    FibRule,
    FibRulesOps,
    fib_rules_event,
    fib_rules_lookup,
)
from ..core.flow_dissector import skb_flow_dissect_flow_keys
from .fib_frontend import fib_unmerge
from .fib_table import fib_get_table, rt_cache_flush
from .fib_trie import MASKS, FibResult, fib_table_lookup
from .rtnetlink import RtProtocol, RtTable

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .flow import Flowi4

__all__ = ["LOOPBACK_IFINDEX", "__fib_lookup", "fib4_rule_match", "fib4_rules_early_flow_dissect", "fib4_rules_init"]

LOOPBACK_IFINDEX = 1  # In every namespace.


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
    if rule.action != FR_ACT_TO_TBL:
        return {FR_ACT_UNREACHABLE: -ENETUNREACH, FR_ACT_PROHIBIT: -EACCES}.get(rule.action, -EINVAL)
    table = fib_get_table(net, rule.table)
    return -EAGAIN if table is None else fib_table_lookup(table, flp)


def fib4_rule_suppress(rule: FibRule, res: FibResult) -> bool:
    """Return whether a route is to a prefix that is too short for a rule."""
    return res.alias.prefixlen <= rule.suppress_prefixlen


def fib4_rule_configure(net: "Net", rule: FibRule, change: int) -> None:
    """Get ready for one more rule, or one less: from now on they are asked, and local routes are in a table of theirs.

    Raises
    ------
    OSError
        ``EINVAL`` for prefixes and numbers that are none.
    """
    for prefix, length in ((rule.src, rule.src_len), (rule.dst, rule.dst_len)):
        if not 0 <= length <= 32 or prefix & ~MASKS[length]:
            raise OSError(EINVAL, f"{prefix:#x}/{length} is not a prefix")
    if rule.tos & 3:
        raise OSError(EINVAL, f"a TOS of {rule.tos:#x} has ECN bits")
    fib_unmerge(net)
    if rule.ip_proto or rule.sport_range is not None or rule.dport_range is not None:
        net.ipv4.fib_rules_require_fldissect += change
    net.ipv4.fib_has_custom_rules = True


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
        match=fib4_rule_match,
        action=lambda rule, fl: fib4_rule_action(net, rule, fl),
        suppress=fib4_rule_suppress,
        configure=lambda rule, change: fib4_rule_configure(net, rule, change),
        flush_cache=lambda: rt_cache_flush(net),
    )
    for pref, table in ((0, RtTable.LOCAL), (0x7FFE, RtTable.MAIN), (0x7FFF, RtTable.DEFAULT)):
        ops.rules_list.append(FibRule(pref, table=table, protocol=RtProtocol.KERNEL))
    register_netdevice_notifier(net, lambda event, dev: fib_rules_event(ops, event, dev))

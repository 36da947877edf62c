"""Policy rules with the words of ip-rule(8)."""

from typing import TYPE_CHECKING, Any

from .core.fib_rules import (
    FR_ACT_BLACKHOLE,
    FR_ACT_GOTO,
    FR_ACT_NOP,
    FR_ACT_PROHIBIT,
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    FibRule,
    fib_delrule,
    fib_newrule,
)
from .wire.address import ipv4_from_text

if TYPE_CHECKING:
    from .core.net import Net

__all__ = ["rule_add", "rule_del"]

_ACTIONS = {
    "lookup": FR_ACT_TO_TBL,
    "goto": FR_ACT_GOTO,
    "nop": FR_ACT_NOP,
    "blackhole": FR_ACT_BLACKHOLE,
    "unreachable": FR_ACT_UNREACHABLE,
    "prohibit": FR_ACT_PROHIBIT,
}


def _rule(action: str, number: int, words: dict[str, Any]) -> FibRule:
    for name in ("src", "dst"):
        if name in words:
            address, _, length = words[name].partition("/")
            words |= {name: ipv4_from_text(address), f"{name}_len": int(length or 32)}
    if words.get("mark"):
        words.setdefault("mark_mask", 0xFFFFFFFF)
    kind = _ACTIONS[action]
    return FibRule(
        action=kind, table=number if kind == FR_ACT_TO_TBL else 0, target=number if kind == FR_ACT_GOTO else 0, **words
    )


def rule_add(net: "Net", action: str = "lookup", number: int = 0, **words: Any) -> FibRule:
    """Add a rule: ``ip rule add from 10.1.0.0/16 lookup 100`` is ``rule_add(net, "lookup", 100, src="10.1.0.0/16")``.

    ``number`` is that of the table, or the priority that ``"goto"`` leads to; ``words`` are members of ``FibRule``.

    Raises
    ------
    OSError
        ``EEXIST``, ``EINVAL``.
    """
    rule = _rule(action, number, words)
    fib_newrule(net.ipv4.rules_ops, rule)
    return rule


def rule_del(net: "Net", action: str = "lookup", number: int = 0, **words: Any) -> None:
    """Delete the first rule that is as ``rule_add`` takes it; what is not said may be anything.

    Raises
    ------
    OSError
        ``ENOENT``.
    """
    fib_delrule(net.ipv4.rules_ops, _rule(action, number, words))

"""Values and verdicts that a rule says itself (Linux: net/netfilter/nft_immediate.c)."""

from typing import TYPE_CHECKING, Any

from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

if TYPE_CHECKING:
    from .nf_tables_api import NftChain

__all__ = ["NftImmediate", "nft_immediate_eval"]


def nft_immediate_eval(expr: "NftImmediate", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Load a value, or set the verdict with the chain to go on in."""
    if expr.verdict is None:
        regs.value = expr.value
    else:
        regs.verdict = expr.verdict
        regs.chain = expr.chain


class NftImmediate(NftExpr):
    """A value, or a verdict with its chain."""

    __slots__ = ("chain", "value", "verdict")
    eval = nft_immediate_eval

    def __init__(self, value: Any = None, *, verdict: int | None = None, chain: "NftChain | None" = None) -> None:
        self.value = value
        self.verdict = verdict
        self.chain = chain

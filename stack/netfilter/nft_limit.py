"""Limiting how often a rule fits (Linux: net/netfilter/nft_limit.c)."""

from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

__all__ = ["NftLimit", "nft_limit_eval"]


def nft_limit_eval(expr: "NftLimit", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Let the rule fit while there are tokens, or if inverted when there are none."""
    now = pkt.skb.kernel.now_ns()
    if expr.last_ns is None:
        expr.last_ns = now
    tokens = min(expr.tokens_ns + now - expr.last_ns, expr.max_ns)
    expr.last_ns = now
    within = tokens >= expr.cost_ns
    expr.tokens_ns = tokens - expr.cost_ns if within else tokens
    if within is expr.invert:
        regs.verdict = NFT_BREAK


class NftLimit(NftExpr):
    """A bucket of time: a packet costs its share of the period, and there is room for ``burst`` of them."""

    __slots__ = ("cost_ns", "invert", "last_ns", "max_ns", "tokens_ns")
    eval = nft_limit_eval

    def __init__(self, rate: int, period_ns: int, burst: int, *, invert: bool = False) -> None:
        self.cost_ns = period_ns // rate
        self.max_ns = self.tokens_ns = self.cost_ns * burst
        self.last_ns: int | None = None
        self.invert = invert

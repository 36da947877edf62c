"""Values in a range (Linux: net/netfilter/nft_range.c)."""

from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

__all__ = ["NftRange", "nft_range_eval"]


def nft_range_eval(expr: "NftRange", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Let the rule fit only if the value is in the range, or if inverted is not."""
    if (expr.low <= regs.value <= expr.high) is expr.invert:
        regs.verdict = NFT_BREAK


class NftRange(NftExpr):
    """A range with both its ends."""

    __slots__ = ("high", "invert", "low")
    eval = nft_range_eval

    def __init__(self, low: int, high: int, *, invert: bool = False) -> None:
        self.low = low
        self.high = high
        self.invert = invert

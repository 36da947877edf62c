"""Values in a set (Linux: net/netfilter/nft_lookup.c, nft_set_rbtree.c, nft_set_hash.c)."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

__all__ = ["NftLookup", "nft_lookup_eval"]


def nft_lookup_eval(expr: "NftLookup", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Let the rule fit only if the value is in the set, or if inverted is not."""
    at = bisect_right(expr.lows, regs.value) - 1
    found = at >= 0 and regs.value <= expr.highs[at]
    if found is expr.invert:
        regs.verdict = NFT_BREAK


class NftLookup(NftExpr):
    """A set of intervals that do not overlap, each with both its ends, which may be the same."""

    __slots__ = ("highs", "invert", "lows")
    eval = nft_lookup_eval

    def __init__(self, intervals: Iterable[tuple[Any, Any]], *, invert: bool = False) -> None:
        ordered = sorted(intervals)
        self.lows = [low for low, _ in ordered]
        self.highs = [high for _, high in ordered]
        self.invert = invert

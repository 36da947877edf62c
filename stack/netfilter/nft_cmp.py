"""Comparing values (Linux: net/netfilter/nft_cmp.c)."""

from operator import eq, ge, gt, le, lt, ne
from typing import Any

from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

__all__ = ["NFT_CMP", "NftCmp", "nft_cmp_eval"]

NFT_CMP = {"==": eq, "!=": ne, "<": lt, ">": gt, "<=": le, ">=": ge}


def nft_cmp_eval(expr: "NftCmp", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Let the rule fit only if the value compares so; of a name that ends in ``*`` only the start counts."""
    value = regs.value if expr.length is None else regs.value[: expr.length]
    if not expr.compare(value, expr.data):
        regs.verdict = NFT_BREAK


class NftCmp(NftExpr):
    """A comparison; ``length`` is that of the start of a name, or None."""

    __slots__ = ("compare", "data", "length")
    eval = nft_cmp_eval

    def __init__(self, op: str, data: Any, length: int | None = None) -> None:
        self.compare = NFT_CMP[op]
        self.data = data
        self.length = length

"""Bits of values (Linux: net/netfilter/nft_bitwise.c)."""

from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

__all__ = ["NftBitwise", "nft_bitwise_eval"]


def nft_bitwise_eval(expr: "NftBitwise", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Keep some bits of the value, turn some over, and move them to the right."""
    regs.value = (regs.value & expr.mask ^ expr.xor) >> expr.shift


class NftBitwise(NftExpr):
    """``(value & mask ^ xor) >> shift``."""

    __slots__ = ("mask", "shift", "xor")
    eval = nft_bitwise_eval

    def __init__(self, mask: int, xor: int = 0, shift: int = 0) -> None:
        self.mask = mask
        self.xor = xor
        self.shift = shift

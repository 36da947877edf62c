"""Letting others decide (Linux: net/netfilter/nft_queue.c)."""

from .core import NF_QUEUE
from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

__all__ = ["NftQueue", "nft_queue_eval"]

_BYPASS = 0x8000  # NF_VERDICT_FLAG_QUEUE_BYPASS


def nft_queue_eval(expr: "NftQueue", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Hand the packet to ``NetnsNf.queue_handler``."""
    regs.verdict = expr.number << 16 | (_BYPASS if expr.bypass else 0) | NF_QUEUE


class NftQueue(NftExpr):
    """The number of a queue; with ``bypass`` packets pass when nobody takes it."""

    __slots__ = ("bypass", "number")
    eval = nft_queue_eval

    def __init__(self, number: int = 0, *, bypass: bool = False) -> None:
        self.number = number
        self.bypass = bypass

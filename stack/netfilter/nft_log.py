"""Writing packets to the log (Linux: net/netfilter/nft_log.c)."""

from .nf_log_syslog import nf_log_packet
from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

__all__ = ["NftLog", "nft_log_eval"]


def nft_log_eval(expr: "NftLog", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Write a packet to ``Kernel.log``."""
    nf_log_packet(pkt.skb, pkt.state, expr.prefix)


class NftLog(NftExpr):
    """A line, with what it begins with."""

    __slots__ = ("prefix",)
    eval = nft_log_eval

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

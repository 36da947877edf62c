"""Dropping a packet and telling its sender (Linux: net/ipv4/netfilter/nft_reject_ipv4.c)."""

from .core import NF_DROP, NF_INET_FORWARD, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_PRE_ROUTING
from .nf_reject_ipv4 import nf_send_reset, nf_send_unreach
from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

__all__ = ["NftReject", "nft_reject_ipv4_eval"]


def nft_reject_ipv4_eval(expr: "NftReject", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Send a message, and drop the packet."""
    if expr.code is None:
        nf_send_reset(pkt.skb, pkt.state)
    else:
        nf_send_unreach(pkt.skb, expr.code, pkt.state.hook)
    regs.verdict = NF_DROP


class NftReject(NftExpr):
    """The code of an ICMP "destination unreachable"; None: a TCP reset."""

    __slots__ = ("code",)
    eval = nft_reject_ipv4_eval
    hooks = (NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT)

    def __init__(self, code: int | None) -> None:
        self.code = code

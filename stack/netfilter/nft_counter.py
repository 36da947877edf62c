"""Counting packets (Linux: net/netfilter/nft_counter.c)."""

from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

__all__ = ["NftCounter", "nft_counter_eval"]


def nft_counter_eval(expr: "NftCounter", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Count a packet with its octets, from the IPv4 header on."""
    expr.packets += 1
    expr.octets += pkt.skb.len


class NftCounter(NftExpr):
    """Packets and octets."""

    __slots__ = ("octets", "packets")
    eval = nft_counter_eval

    def __init__(self, packets: int = 0, octets: int = 0) -> None:
        self.packets = packets
        self.octets = octets

"""Fields of packets (Linux: net/netfilter/nft_payload.c)."""

from ..core.skbuff_data import skb_header_pointer
from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

__all__ = ["NFT_PAYLOAD_NETWORK_HEADER", "NFT_PAYLOAD_TRANSPORT_HEADER", "NftPayload", "nft_payload_eval"]

NFT_PAYLOAD_NETWORK_HEADER = 1
NFT_PAYLOAD_TRANSPORT_HEADER = 2


def nft_payload_eval(expr: "NftPayload", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Load a field as a number; the rule does not fit if the packet does not have it."""
    offset = expr.offset
    if expr.base == NFT_PAYLOAD_TRANSPORT_HEADER:
        if not pkt.tprot_set or pkt.fragoff:
            regs.verdict = NFT_BREAK
            return
        offset += pkt.thoff
    octets = skb_header_pointer(pkt.skb, offset, expr.length)
    if octets is None:
        regs.verdict = NFT_BREAK
    else:
        regs.value = int.from_bytes(octets, "big")


class NftPayload(NftExpr):
    """``length`` octets of a header from ``offset`` on."""

    __slots__ = ("base", "length", "offset")
    eval = nft_payload_eval

    def __init__(self, base: int, offset: int, length: int) -> None:
        self.base = base
        self.offset = offset
        self.length = length

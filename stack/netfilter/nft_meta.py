"""What is known of a packet besides its octets (Linux: net/netfilter/nft_meta.c)."""

from typing import Any

from ..core.skbuff import PACKET_BROADCAST, PACKET_LOOPBACK, PACKET_MULTICAST
from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

__all__ = ["NFT_META_KEYS", "NftMeta", "NftMetaSet", "nft_meta_get_eval", "nft_meta_set_eval"]

NFT_META_KEYS = frozenset({"iif", "iifname", "l4proto", "length", "mark", "oif", "oifname", "pkttype"})


def nft_meta_get_eval(expr: "NftMeta", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Load what a key stands for; a device that is not there has no name, and the index 0."""
    key = expr.key
    if key == "l4proto":
        if pkt.tprot_set:
            regs.value = pkt.tprot
        else:
            regs.verdict = NFT_BREAK
    elif key == "mark":
        regs.value = pkt.skb.mark
    elif key == "length":
        regs.value = pkt.skb.len
    elif key == "pkttype":
        regs.value = _pkttype(pkt)
    else:
        dev = pkt.state.in_dev if key[0] == "i" else pkt.state.out_dev
        value: Any = 0 if dev is None else dev.ifindex
        if key.endswith("name"):
            value = b"" if dev is None else dev.name.encode()
        regs.value = value


def _pkttype(pkt: NftPktinfo) -> int:
    """Return whom a packet is for; of one that this host sends to a group and receives itself, by its address."""
    skb = pkt.skb
    if skb.pkt_type != PACKET_LOOPBACK:
        return skb.pkt_type
    return PACKET_MULTICAST if skb.view[skb.network_header + 16] >> 4 == 0xE else PACKET_BROADCAST


class NftMeta(NftExpr):
    """A key of ``NFT_META_KEYS``."""

    __slots__ = ("key",)
    eval = nft_meta_get_eval

    def __init__(self, key: str) -> None:
        self.key = key


def nft_meta_set_eval(expr: "NftMetaSet", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Make the value the packet's mark."""
    pkt.skb.mark = regs.value


class NftMetaSet(NftExpr):
    """Setting the mark, the only key that can be set here."""

    __slots__ = ()
    eval = nft_meta_set_eval

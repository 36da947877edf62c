"""What is known of a packet's connection (Linux: net/netfilter/nft_ct.c)."""

from typing import TYPE_CHECKING

from .nf_conntrack_common import (
    CTINFO2DIR,
    IP_CT_ESTABLISHED,
    IP_CT_ESTABLISHED_REPLY,
    IP_CT_NEW,
    IP_CT_RELATED,
    IP_CT_RELATED_REPLY,
    IP_CT_UNTRACKED,
)
from .nf_conntrack_proto import nf_ct_netns_get, nf_ct_netns_put
from .nf_tables_core import NFT_BREAK, NftExpr, NftPktinfo, NftRegs

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "NF_CT_STATES",
    "NftCt",
    "NftCtSet",
    "NftNotrack",
    "nft_ct_get_eval",
    "nft_ct_set_eval",
    "nft_notrack_eval",
]

NF_CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
_STATE = {
    IP_CT_ESTABLISHED: 2,
    IP_CT_ESTABLISHED_REPLY: 2,
    IP_CT_RELATED: 4,
    IP_CT_RELATED_REPLY: 4,
    IP_CT_NEW: 8,
}


def nft_ct_get_eval(expr: "NftCt", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Load what a key stands for; but for the state, a rule does not fit a packet without a connection."""
    ct, ctinfo = pkt.skb.nfct or (None, 0)
    if expr.key == "state":
        if ct is None:
            regs.value = NF_CT_STATES["untracked" if ctinfo == IP_CT_UNTRACKED else "invalid"]
        else:
            regs.value = _STATE[ctinfo]
    elif ct is None:
        regs.verdict = NFT_BREAK
    elif expr.key == "mark":
        regs.value = ct.mark
    elif expr.key == "status":
        regs.value = ct.status
    else:
        regs.value = CTINFO2DIR(ctinfo)


class NftCt(NftExpr):
    """``state``, ``mark``, ``status`` or ``direction``."""

    __slots__ = ("key",)
    eval = nft_ct_get_eval

    def __init__(self, key: str) -> None:
        self.key = key

    def init(self, net: "Net") -> None:
        """Have connections tracked."""
        nf_ct_netns_get(net)

    def destroy(self, net: "Net") -> None:
        """Need them no more."""
        nf_ct_netns_put(net)


def nft_ct_set_eval(expr: "NftCtSet", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Make the value the connection's mark."""
    ct, _ = pkt.skb.nfct or (None, 0)
    if ct is not None:
        ct.mark = regs.value


class NftCtSet(NftExpr):
    """Setting the mark, the only key that can be set here."""

    __slots__ = ()
    eval = nft_ct_set_eval

    def init(self, net: "Net") -> None:
        """Have connections tracked."""
        nf_ct_netns_get(net)

    def destroy(self, net: "Net") -> None:
        """Need them no more."""
        nf_ct_netns_put(net)


def nft_notrack_eval(expr: "NftNotrack", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Let a packet that has no connection yet get none."""
    if pkt.skb.nfct is None:
        pkt.skb.nfct = None, IP_CT_UNTRACKED


class NftNotrack(NftExpr):
    """Not tracking a packet."""

    __slots__ = ()
    eval = nft_notrack_eval

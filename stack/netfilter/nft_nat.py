"""Translating addresses by rules (Linux: net/netfilter/nft_nat.c, nft_masq.c, nft_redir.c)."""

from typing import TYPE_CHECKING

from .core import NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING
from .nf_conntrack_core import nf_ct_get
from .nf_conntrack_proto import nf_ct_netns_get, nf_ct_netns_put
from .nf_nat_core import NF_NAT_MANIP_DST, NF_NAT_MANIP_SRC, NfNatRange, nf_nat_setup_info
from .nf_nat_masquerade import (
    nf_nat_masquerade_inet_register_notifiers,
    nf_nat_masquerade_inet_unregister_notifiers,
    nf_nat_masquerade_ipv4,
)
from .nf_nat_redirect import nf_nat_redirect_ipv4
from .nf_tables_core import NftExpr, NftPktinfo, NftRegs

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "NftDnat",
    "NftMasq",
    "NftRedir",
    "NftSnat",
    "nft_masq_ipv4_eval",
    "nft_nat_eval",
    "nft_redir_ipv4_eval",
]


class _NftNat(NftExpr):
    """An expression that says how a connection is translated."""

    __slots__ = ("range",)
    nat = True

    def __init__(self, range: NfNatRange) -> None:
        self.range = range

    def init(self, net: "Net") -> None:
        """Have connections tracked."""
        nf_ct_netns_get(net)

    def destroy(self, net: "Net") -> None:
        """Need them no more."""
        nf_ct_netns_put(net)


def nft_nat_eval(expr: "NftSnat | NftDnat", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Translate a connection's sources, or destinations, to an address of the range."""
    ct, _ = nf_ct_get(pkt.skb)
    assert ct is not None
    regs.verdict = nf_nat_setup_info(ct, expr.range, expr.manip)


class NftSnat(_NftNat):
    """Translating sources."""

    __slots__ = ()
    eval = nft_nat_eval
    hooks = (NF_INET_POST_ROUTING, NF_INET_LOCAL_IN)
    manip = NF_NAT_MANIP_SRC


class NftDnat(_NftNat):
    """Translating destinations."""

    __slots__ = ()
    eval = nft_nat_eval
    hooks = (NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT)
    manip = NF_NAT_MANIP_DST


def nft_masq_ipv4_eval(expr: "NftMasq", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Translate a connection's sources to the address of the device that it leaves by."""
    out = pkt.state.out_dev
    assert out is not None
    regs.verdict = nf_nat_masquerade_ipv4(pkt.skb, expr.range, out)


class NftMasq(_NftNat):
    """Translating to the device's address."""

    __slots__ = ()
    eval = nft_masq_ipv4_eval
    hooks = (NF_INET_POST_ROUTING,)

    def init(self, net: "Net") -> None:
        """Have connections tracked, and devices followed."""
        nf_ct_netns_get(net)
        nf_nat_masquerade_inet_register_notifiers(net)

    def destroy(self, net: "Net") -> None:
        """Need them no more."""
        nf_nat_masquerade_inet_unregister_notifiers(net)
        nf_ct_netns_put(net)


def nft_redir_ipv4_eval(expr: "NftRedir", regs: NftRegs, pkt: NftPktinfo) -> None:
    """Translate a connection's destination to this host."""
    regs.verdict = nf_nat_redirect_ipv4(pkt.skb, expr.range, pkt.state)


class NftRedir(_NftNat):
    """Translating to this host."""

    __slots__ = ()
    eval = nft_redir_ipv4_eval
    hooks = (NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT)

"""Chains as hooks: of types filter, route and nat (Linux: nft_chain_filter.c, nft_chain_route.c, nft_chain_nat.c)."""

from typing import TYPE_CHECKING

from ..ipv4.netfilter import ip_route_me_harder
from .core import (
    NF_DROP,
    NF_DROP_ERR,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING,
    NF_QUEUE,
    NF_STOLEN,
    NfHookOps,
    nf_register_net_hook,
    nf_unregister_net_hook,
)
from .nf_nat_proto import nf_nat_ipv4_register_fn, nf_nat_ipv4_unregister_fn
from .nf_tables_core import NftPktinfo, nft_do_chain, nft_set_pktinfo_ipv4

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .core import NfHookState
    from .nf_tables_api import NftChain

__all__ = ["NFT_CHAIN_TYPES", "NftChainType", "nf_route_table_hook4", "nft_do_chain_ipv4", "nft_nat_do_chain"]


def nft_do_chain_ipv4(priv: "NftChain", skb: "SkBuff", state: "NfHookState") -> int:
    """Go through a chain of type filter; return a verdict."""
    pkt = NftPktinfo(skb, state)
    nft_set_pktinfo_ipv4(pkt)
    return nft_do_chain(pkt, priv)


def nf_route_table_hook4(priv: "NftChain", skb: "SkBuff", state: "NfHookState") -> int:
    """Go through a chain of type route: a packet whose mark or header it changed gets its route anew."""
    before = _way(skb)
    ret = nft_do_chain_ipv4(priv, skb, state)
    if ret & 0xFF not in (NF_DROP, NF_STOLEN, NF_QUEUE) and _way(skb) != before:
        try:
            ip_route_me_harder(state.net, state.sk, skb)
        except OSError as error:
            return NF_DROP_ERR(error.errno or 0)
    return ret


def _way(skb: "SkBuff") -> tuple[int, int, bytes]:
    at = skb.network_header
    return skb.mark, skb.view[at + 1], bytes(skb.view[at + 12 : at + 20])


def nft_nat_do_chain(priv: "NftChain", skb: "SkBuff", state: "NfHookState") -> int:
    """Go through a chain of type nat with the first packet of a connection; return a verdict."""
    pkt = NftPktinfo(skb, state)
    nft_set_pktinfo_ipv4(pkt)
    return nft_do_chain(pkt, priv)


class NftChainType:
    """What chains of a type do where, and how they get there."""

    __slots__ = ("hook", "hooks", "register", "unregister")

    def __init__(
        self,
        hook: "Callable[[NftChain, SkBuff, NfHookState], int]",
        hooks: tuple[int, ...],
        register: "Callable[[Net, NfHookOps], None]" = nf_register_net_hook,
        unregister: "Callable[[Net, NfHookOps], None]" = nf_unregister_net_hook,
    ) -> None:
        self.hook = hook
        self.hooks = hooks
        self.register = register
        self.unregister = unregister


NFT_CHAIN_TYPES = {
    "filter": NftChainType(nft_do_chain_ipv4, (0, 1, 2, 3, 4)),
    "route": NftChainType(nf_route_table_hook4, (NF_INET_LOCAL_OUT,)),
    "nat": NftChainType(
        nft_nat_do_chain,
        (NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING),
        nf_nat_ipv4_register_fn,
        nf_nat_ipv4_unregister_fn,
    ),
}

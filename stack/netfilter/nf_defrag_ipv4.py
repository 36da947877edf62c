"""Reassembly for those who look at whole packets (Linux: net/ipv4/netfilter/nf_defrag_ipv4.c)."""

from typing import TYPE_CHECKING, Any

from ..core.skbuff import SkBuff
from ..core.skbuff_morph import skb_morph
from .core import NF_ACCEPT, NF_INET_PRE_ROUTING, NF_STOLEN
from .nf_conntrack_common import IP_CT_UNTRACKED

if TYPE_CHECKING:
    from .core import NfHookState

__all__ = ["IP_DEFRAG_CONNTRACK_IN", "IP_DEFRAG_CONNTRACK_OUT", "NF_IP_PRI_CONNTRACK_DEFRAG", "ipv4_conntrack_defrag"]

NF_IP_PRI_CONNTRACK_DEFRAG = -400
IP_DEFRAG_CONNTRACK_IN = 2
IP_DEFRAG_CONNTRACK_OUT = 65538


def ipv4_conntrack_defrag(priv: Any, skb: SkBuff, state: "NfHookState") -> int:
    """Keep fragments until the packet is whole; then it goes on in the place of the fragment that it lacked."""
    from ..ipv4.ip_fragment import ip_defrag, ip_is_fragment  # Its modules need each other.

    if skb.nfct is not None and skb.nfct[1] != IP_CT_UNTRACKED:
        return NF_ACCEPT  # Seen before.
    if not ip_is_fragment(skb):
        return NF_ACCEPT
    user = IP_DEFRAG_CONNTRACK_IN if state.hook == NF_INET_PRE_ROUTING else IP_DEFRAG_CONNTRACK_OUT
    whole = ip_defrag(state.net, skb, user)
    if whole is None:
        return NF_STOLEN
    skb_morph(skb, whole)
    skb.ignore_df = True
    return NF_ACCEPT

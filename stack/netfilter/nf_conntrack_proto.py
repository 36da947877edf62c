"""Where connection tracking sees packets, and when (Linux: net/netfilter/nf_conntrack_proto.c)."""

from typing import TYPE_CHECKING, Any

from .core import (
    NF_ACCEPT,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING,
    NF_IP_PRI_CONNTRACK,
    NF_IP_PRI_LAST,
    NfHookOps,
    nf_register_net_hook,
    nf_unregister_net_hook,
)
from .nf_conntrack_common import IPS_CONFIRMED
from .nf_conntrack_core import __nf_conntrack_confirm, nf_conntrack_in, nf_ct_get
from .nf_conntrack_netns import NetnsCt
from .nf_defrag_ipv4 import NF_IP_PRI_CONNTRACK_DEFRAG, ipv4_conntrack_defrag

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = [
    "ipv4_confirm",
    "ipv4_conntrack_in",
    "ipv4_conntrack_local",
    "nf_confirm",
    "nf_ct_netns_get",
    "nf_ct_netns_put",
]


def ipv4_conntrack_in(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Give a received packet its connection."""
    return nf_conntrack_in(skb, state)


def ipv4_conntrack_local(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Give a packet of this host its connection; fragments of raw sockets that do not wait for the rest have none."""
    at = skb.network_header + 6
    if skb.view[at] & 0x3F or skb.view[at + 1]:
        return NF_ACCEPT
    return nf_conntrack_in(skb, state)


def ipv4_confirm(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Keep the connection of a packet that leaves this host, or arrives."""
    return nf_confirm(skb)


def nf_confirm(skb: "SkBuff") -> int:
    """Put a connection that began with this packet into the table."""
    ct, _ = nf_ct_get(skb)
    if ct is not None and not ct.status & IPS_CONFIRMED:
        return __nf_conntrack_confirm(skb)
    return NF_ACCEPT


_HOOKS = (
    NfHookOps(ipv4_conntrack_defrag, NF_INET_PRE_ROUTING, NF_IP_PRI_CONNTRACK_DEFRAG),
    NfHookOps(ipv4_conntrack_defrag, NF_INET_LOCAL_OUT, NF_IP_PRI_CONNTRACK_DEFRAG),
    NfHookOps(ipv4_conntrack_in, NF_INET_PRE_ROUTING, NF_IP_PRI_CONNTRACK),
    NfHookOps(ipv4_conntrack_local, NF_INET_LOCAL_OUT, NF_IP_PRI_CONNTRACK),
    NfHookOps(ipv4_confirm, NF_INET_POST_ROUTING, NF_IP_PRI_LAST),
    NfHookOps(ipv4_confirm, NF_INET_LOCAL_IN, NF_IP_PRI_LAST),
)


def nf_ct_netns_get(net: "Net") -> None:
    """Track the connections of a namespace, from the first that needs it on."""
    if not hasattr(net.nf, "conntrack"):
        net.nf.conntrack = NetnsCt(net)
    net.nf.conntrack.users += 1
    if net.nf.conntrack.users == 1:
        for ops in _HOOKS:
            nf_register_net_hook(net, ops)


def nf_ct_netns_put(net: "Net") -> None:
    """Track no more when the last that needed it is gone; connections stay until their time is over."""
    net.nf.conntrack.users -= 1
    if not net.nf.conntrack.users:
        for ops in _HOOKS:
            nf_unregister_net_hook(net, ops)

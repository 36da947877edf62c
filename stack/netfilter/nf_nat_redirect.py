"""Translating to this host itself (Linux: net/netfilter/nf_nat_redirect.c)."""

from typing import TYPE_CHECKING

from ..uapi import INADDR_LOOPBACK
from .core import NF_DROP, NF_INET_LOCAL_OUT
from .nf_conntrack_core import nf_ct_get
from .nf_nat_core import NF_NAT_MANIP_DST, NfNatRange, nf_nat_setup_info

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["nf_nat_redirect_ipv4"]


def nf_nat_redirect_ipv4(skb: "SkBuff", range: NfNatRange, state: "NfHookState") -> int:
    """Send a connection to this host: to the device that it came by, or if it is this host's, to loopback."""
    ct, _ = nf_ct_get(skb)
    assert ct is not None
    if state.hook == NF_INET_LOCAL_OUT:
        newdst = INADDR_LOOPBACK
    else:
        in_dev = None if skb.dev is None else skb.dev.ip_ptr
        if in_dev is None or not in_dev.ifa_list:
            return NF_DROP
        newdst = in_dev.ifa_list[0].local
    return nf_nat_setup_info(ct, NfNatRange((newdst, newdst), range.proto, range.random), NF_NAT_MANIP_DST)

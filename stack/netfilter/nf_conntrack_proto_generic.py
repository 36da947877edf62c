"""Connections of protocols that nothing is known of (Linux: net/netfilter/nf_conntrack_proto_generic.c)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ
from . import nf_conntrack_core as core  # As a module: it needs the function here, too.
from .core import NF_ACCEPT

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["nf_conntrack_generic_packet"]


def nf_conntrack_generic_packet(
    ct: "core.NfConn", skb: "SkBuff", dataoff: int, ctinfo: int, state: "NfHookState"
) -> int:
    """Keep a connection of two addresses and a protocol."""
    core.__nf_ct_refresh_acct(ct, ctinfo, skb, state.net.nf.conntrack.sysctl_generic_timeout * HZ)
    return NF_ACCEPT

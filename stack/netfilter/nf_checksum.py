"""The checksum of a packet on its way (Linux: net/netfilter/utils.c)."""

from typing import TYPE_CHECKING

from ..core.skbuff import CHECKSUM_COMPLETE, CHECKSUM_NONE, CHECKSUM_UNNECESSARY
from ..core.skbuff_csum import __skb_checksum_complete
from ..uapi import IPPROTO_TCP, IPPROTO_UDP
from ..wire.checksum import csum_add, csum_tcpudp_nofold
from .core import NF_INET_LOCAL_IN, NF_INET_PRE_ROUTING

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff

__all__ = ["nf_checksum", "nf_ip_checksum"]


def nf_checksum(skb: "SkBuff", hook: int, dataoff: int, protocol: int) -> int:
    """Return 0 if a packet's transport checksum is right, or need not be checked: there is only IPv4."""
    return nf_ip_checksum(skb, hook, dataoff, protocol)


def nf_ip_checksum(skb: "SkBuff", hook: int, dataoff: int, protocol: int) -> int:
    """Return 0 if the transport checksum is right; the packet's data starts at its IPv4 header."""
    pseudo = 0
    if protocol in (IPPROTO_TCP, IPPROTO_UDP):
        at = skb.network_header
        saddr, daddr = (int.from_bytes(skb.view[at + n : at + n + 4], "big") for n in (12, 16))
        pseudo = csum_tcpudp_nofold(saddr, daddr, skb.len - dataoff, protocol)
    if skb.ip_summed == CHECKSUM_COMPLETE:
        if hook not in (NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN):
            return 0
        # The sum is of all octets; a right IPv4 header adds nothing to it.
        if csum_add(skb.csum, pseudo) == 0xFFFF:
            skb.ip_summed = CHECKSUM_UNNECESSARY
            return 0
    elif skb.ip_summed != CHECKSUM_NONE:
        return 0
    skb.csum = pseudo
    return __skb_checksum_complete(skb)

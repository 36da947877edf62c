"""Connections of ICMP: queries and their answers, and errors about others (Linux: nf_conntrack_proto_icmp.c)."""

from typing import TYPE_CHECKING

from ..core.skbuff_data import skb_header_pointer
from ..core.timer import HZ
from ..ipv4.icmp_defs import ICMP_ADDRESS, ICMP_ECHO, ICMP_ERRORS, ICMP_TIMESTAMP, NR_ICMP_TYPES
from ..uapi import IPPROTO_ICMP
from . import nf_conntrack_core as core  # As a module: it needs the functions here, too.
from .core import NF_ACCEPT, NF_INET_PRE_ROUTING
from .nf_checksum import nf_ip_checksum
from .nf_conntrack_common import IP_CT_DIR_REPLY, IP_CT_RELATED, IP_CT_RELATED_REPLY, IPS_CONFIRMED
from .nf_conntrack_tuple import get_l4proto, nf_ct_get_tuple, nf_ct_invert_tuple

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["nf_conntrack_icmp_packet", "nf_conntrack_icmpv4_error", "nf_conntrack_inet_error"]

_BEGINS = (ICMP_ECHO, ICMP_TIMESTAMP, 15, ICMP_ADDRESS)  # 15: information request.


def nf_conntrack_icmp_packet(ct: "core.NfConn", skb: "SkBuff", dataoff: int, ctinfo: int, state: "NfHookState") -> int:
    """Keep a connection of a query; only queries begin one."""
    if not ct.status & IPS_CONFIRMED and ct.tuples[0].dport >> 8 not in _BEGINS:
        return -NF_ACCEPT
    core.__nf_ct_refresh_acct(ct, ctinfo, skb, state.net.nf.conntrack.sysctl_icmp_timeout * HZ)
    return NF_ACCEPT


def nf_conntrack_icmpv4_error(skb: "SkBuff", dataoff: int, state: "NfHookState") -> int:
    """Look at a message: an error belongs to the connection that it is about; return a verdict, negated if bad."""
    header = skb_header_pointer(skb, dataoff, 8)
    if header is None:
        return -NF_ACCEPT
    check = state.hook == NF_INET_PRE_ROUTING and state.net.nf.conntrack.sysctl_checksum
    if check and nf_ip_checksum(skb, state.hook, dataoff, IPPROTO_ICMP):
        return -NF_ACCEPT
    kind = header[0]
    if kind > NR_ICMP_TYPES:
        return -NF_ACCEPT
    if kind not in ICMP_ERRORS:
        return NF_ACCEPT
    return nf_conntrack_inet_error(skb, dataoff + 8, state)


def nf_conntrack_inet_error(skb: "SkBuff", nhoff: int, state: "NfHookState") -> int:
    """Find the connection of the packet inside an error; its header is at ``nhoff``."""
    dataoff, protonum = get_l4proto(skb, nhoff)
    inner = nf_ct_get_tuple(skb, nhoff, dataoff, protonum) if dataoff else None
    answer = None if inner is None else nf_ct_invert_tuple(inner)
    found = None if answer is None else core.nf_conntrack_find_get(state.net.nf.conntrack, answer)
    if found is None:
        return -NF_ACCEPT
    # The error comes along the way of answers, and must be for whom those are for.
    tuple, dir, ct = found
    daddr = skb_header_pointer(skb, 16, 4)
    if daddr is None or int.from_bytes(daddr, "big") != tuple.daddr:
        return -NF_ACCEPT
    skb.nfct = ct, IP_CT_RELATED_REPLY if dir == IP_CT_DIR_REPLY else IP_CT_RELATED
    return NF_ACCEPT

"""Connections of UDP (Linux: net/netfilter/nf_conntrack_proto_udp.c; RFC 4787 §4.3)."""

from typing import TYPE_CHECKING

from ..core.skbuff_data import skb_header_pointer
from ..core.timer import HZ, jiffies
from ..uapi import IPPROTO_UDP
from . import nf_conntrack_core as core  # As a module: it needs the functions here, too.
from .core import NF_ACCEPT, NF_INET_PRE_ROUTING
from .nf_checksum import nf_checksum
from .nf_conntrack_common import IPS_ASSURED, IPS_CONFIRMED, IPS_SEEN_REPLY

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["nf_conntrack_udp_packet", "udp_error"]

_STREAM_AFTER = 2 * HZ  # A query and its answer take less; what lasts longer is a stream.


def udp_error(skb: "SkBuff", dataoff: int, state: "NfHookState") -> bool:
    """Return whether a datagram is malformed."""
    header = skb_header_pointer(skb, dataoff, 8)
    if header is None:
        return True
    length = header[4] << 8 | header[5]
    if not 8 <= length <= skb.len - dataoff:
        return True
    if not header[6] and not header[7]:
        return False
    check = state.hook == NF_INET_PRE_ROUTING and state.net.nf.conntrack.sysctl_checksum
    return bool(check and nf_checksum(skb, state.hook, dataoff, IPPROTO_UDP))


def nf_conntrack_udp_packet(ct: "core.NfConn", skb: "SkBuff", dataoff: int, ctinfo: int, state: "NfHookState") -> int:
    """Keep a connection: for short while nothing was answered, for longer when answers went on for a while."""
    if udp_error(skb, dataoff, state):
        return -NF_ACCEPT
    ctnet = state.net.nf.conntrack
    now = jiffies(state.net.kernel)
    if not ct.status & IPS_CONFIRMED:
        ct.proto = now + _STREAM_AFTER
    stream = bool(ct.status & IPS_SEEN_REPLY) and now > ct.proto
    extra = ctnet.sysctl_udp_timeout_stream if stream else ctnet.sysctl_udp_timeout
    core.__nf_ct_refresh_acct(ct, ctinfo, skb, extra * HZ)
    if stream:
        ct.status |= IPS_ASSURED
    return NF_ACCEPT

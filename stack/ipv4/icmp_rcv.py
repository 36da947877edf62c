"""The Internet Control Message Protocol, receiving (Linux: net/ipv4/icmp.c; RFC 792, RFC 1122 §3.2.2)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import NET_RX_DROP, NET_RX_SUCCESS
from ..core.skbuff import (
    CHECKSUM_COMPLETE,
    CHECKSUM_UNNECESSARY,
    consume_skb,
    kfree_skb_reason,
)
from ..core.skbuff_csum import __skb_checksum_complete, skb_checksum_take
from ..core.skbuff_data import pskb_may_pull, skb_copy_bits
from ..uapi import IPPROTO_ICMP
from ..xfrm.xfrm import XFRM_POLICY_IN
from ..xfrm.xfrm_policy import xfrm4_policy_check
from .icmp import IcmpBxm, icmp_reply
from .icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_ECHO,
    ICMP_ECHOREPLY,
    ICMP_FRAG_NEEDED,
    ICMP_IN,
    ICMP_PARAMETERPROB,
    ICMP_REDIRECT,
    ICMP_SOURCE_QUENCH,
    ICMP_TIME_EXCEEDED,
    ICMP_TIMESTAMP,
    ICMP_TIMESTAMPREPLY,
    NR_ICMP_TYPES,
    NR_ICMP_UNREACH,
)
from .ip_options import inet_current_timestamp
from .ping import ping_rcv
from .raw import raw_icmp_error
from .route_icmp import ipv4_redirect, ipv4_update_pmtu

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .route import RTable

__all__ = [
    "icmp_discard",
    "icmp_echo",
    "icmp_rcv",
    "icmp_redirect",
    "icmp_socket_deliver",
    "icmp_timestamp",
    "icmp_unreach",
]

_HEADER = Struct("!BBHI")
_RTCF_GROUP = 0x30000000  # RTCF_BROADCAST | RTCF_MULTICAST
_ICMP_ADDRESS = 17
_ICMP_ADDRESSREPLY = 18
_TO_GROUPS = (ICMP_ECHO, ICMP_TIMESTAMP, _ICMP_ADDRESS, _ICMP_ADDRESSREPLY)


def icmp_rcv(skb: "SkBuff") -> int:
    """Receive a message; its data starts at the ICMP header. Return ``NET_RX_*``."""
    dev = skb.dev
    assert dev is not None
    net = dev.net
    if not xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
        return NET_RX_DROP
    mib = net.mib
    mib["Icmp:InMsgs"] += 1
    if not _checksum_is_right(skb):
        mib["Icmp:InCsumErrors"] += 1
        return _error(net, skb, SkbDropReason.ICMP_CSUM)
    if not pskb_may_pull(skb, 8):
        return _error(net, skb, SkbDropReason.NOT_SPECIFIED)
    at = skb.data
    kind = skb.view[at]
    skb.data = at + 8
    skb.len -= 8
    for name in ICMP_IN[kind]:
        mib[name] += 1
    if kind > NR_ICMP_TYPES:
        # RFC 1122 §3.2.2: discarded silently.
        return _error(net, skb, SkbDropReason.UNHANDLED_PROTO)
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt.flags & _RTCF_GROUP:
        # RFC 1122 §3.2.2.6 and §3.2.2.8 leave it open whether to answer those.
        if kind in (ICMP_ECHO, ICMP_TIMESTAMP) and net.ipv4.sysctl_icmp_echo_ignore_broadcasts:
            return _error(net, skb, SkbDropReason.NOT_SPECIFIED)
        if kind not in _TO_GROUPS:
            return _error(net, skb, SkbDropReason.INVALID_PROTO)
    reason = _HANDLERS.get(kind, icmp_discard)(net, skb)
    if reason is None:
        consume_skb(skb)
        return NET_RX_SUCCESS
    kfree_skb_reason(skb, reason)
    return NET_RX_DROP


def _error(net: "Net", skb: "SkBuff", reason: SkbDropReason) -> int:
    net.mib["Icmp:InErrors"] += 1
    kfree_skb_reason(skb, reason)
    return NET_RX_DROP


def _checksum_is_right(skb: "SkBuff") -> bool:
    """Check a message's checksum, by what the device says or in software (``skb_checksum_simple_validate``)."""
    summed = skb.ip_summed
    if summed == CHECKSUM_UNNECESSARY:
        skb_checksum_take(skb)
        return True
    if skb.csum_valid or (summed == CHECKSUM_COMPLETE and skb.csum == 0xFFFF):
        return True
    skb.csum = 0
    return not __skb_checksum_complete(skb)


def icmp_discard(net: "Net", skb: "SkBuff") -> SkbDropReason | None:
    """Do nothing about a message of a type that hosts have no use for."""
    return None


def icmp_echo(net: "Net", skb: "SkBuff") -> SkbDropReason | None:
    """Answer an echo request with the same data (RFC 1122 §3.2.2.6)."""
    if net.ipv4.sysctl_icmp_echo_ignore_all:
        return None
    _, code, _, rest = _HEADER.unpack_from(skb.view, skb.transport_header)
    icmp_reply(IcmpBxm(skb, 0, skb.len, ICMP_ECHOREPLY, code, rest))
    return None


def icmp_timestamp(net: "Net", skb: "SkBuff") -> SkbDropReason | None:
    """Answer a timestamp request: when it was sent, received, and answered (RFC 1122 §3.2.2.8)."""
    if skb.len < 4:
        net.mib["Icmp:InErrors"] += 1
        return SkbDropReason.PKT_TOO_SMALL
    now = inet_current_timestamp(skb.kernel)
    _, _, _, rest = _HEADER.unpack_from(skb.view, skb.transport_header)
    head = skb_copy_bits(skb, 0, 4) + now + now
    icmp_reply(IcmpBxm(skb, 0, 0, ICMP_TIMESTAMPREPLY, 0, rest, head))
    return None


def icmp_unreach(net: "Net", skb: "SkBuff") -> SkbDropReason | None:
    """Tell the sender of a packet, a socket of this host, what somebody says happened to it."""
    if not pskb_may_pull(skb, 20):
        net.mib["Icmp:InErrors"] += 1
        return SkbDropReason.NOT_SPECIFIED
    kind, code, _, rest = _HEADER.unpack_from(skb.view, skb.transport_header)
    if skb.view[skb.data] & 15 < 5:
        net.mib["Icmp:InErrors"] += 1
        return SkbDropReason.IP_INHDR
    info = 0
    if kind == ICMP_DEST_UNREACH:
        if code > NR_ICMP_UNREACH:
            return None
        if code == ICMP_FRAG_NEEDED:
            info = rest & 0xFFFF  # RFC 1191 §4: the MTU of the next hop.
    elif kind == ICMP_PARAMETERPROB:
        info = rest >> 24
    elif kind == ICMP_TIME_EXCEEDED and code == 1:
        return None  # Reassembly took too long: nothing for the sender to do.
    icmp_socket_deliver(net, skb, info)
    return None


def icmp_redirect(net: "Net", skb: "SkBuff") -> SkbDropReason | None:
    """Hand a redirect to the protocol of the packet that it is about, which has its route learn from it."""
    if not pskb_may_pull(skb, 20):
        net.mib["Icmp:InErrors"] += 1
        return SkbDropReason.PKT_TOO_SMALL
    _, _, _, gateway = _HEADER.unpack_from(skb.view, skb.transport_header)
    icmp_socket_deliver(net, skb, gateway)
    return None


def icmp_socket_deliver(net: "Net", skb: "SkBuff", info: int) -> None:
    """Hand an error to raw sockets and to the protocol of the packet that caused it; it has 8 octets behind its header.

    RFC 1122 §3.2.2: those are enough to find the socket by.
    """
    at = skb.data
    if not pskb_may_pull(skb, ((skb.view[at] & 15) << 2) + 8):
        net.mib["Icmp:InErrors"] += 1
        return
    protocol = skb.view[skb.data + 9]
    raw_icmp_error(skb, protocol, info)
    ipprot = net.ipv4.inet_protos[protocol]
    if ipprot is not None and ipprot.err_handler is not None:
        ipprot.err_handler(skb, info)


def icmp_err(skb: "SkBuff", info: int) -> int:
    """Have the route learn from an error about an ICMP message of this host (``NetProtocol.err_handler``)."""
    dev = skb.dev
    assert dev is not None
    kind, code = skb.view[skb.transport_header], skb.view[skb.transport_header + 1]
    if kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED:
        ipv4_update_pmtu(skb, dev.net, info, 0, IPPROTO_ICMP)
    elif kind == ICMP_REDIRECT:
        ipv4_redirect(skb, dev.net, 0, IPPROTO_ICMP)
    return 0


_HANDLERS: "dict[int, Callable[[Net, SkBuff], SkbDropReason | None]]" = {
    ICMP_ECHOREPLY: ping_rcv,
    ICMP_DEST_UNREACH: icmp_unreach,
    ICMP_SOURCE_QUENCH: icmp_unreach,
    ICMP_REDIRECT: icmp_redirect,
    ICMP_ECHO: icmp_echo,
    ICMP_TIME_EXCEEDED: icmp_unreach,
    ICMP_PARAMETERPROB: icmp_unreach,
    ICMP_TIMESTAMP: icmp_timestamp,
}

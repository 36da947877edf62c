"""Telling a sender that its packet is not wanted (Linux: net/ipv4/netfilter/nf_reject_ipv4.c)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import CHECKSUM_NONE, alloc_skb, kfree_skb, skb_put_data, skb_reserve
from ..core.skbuff_csum import skb_csum_unnecessary
from ..core.skbuff_data import skb_header_pointer
from ..ethernet.eth import ETH_P_IP
from ..ipv4.icmp_defs import ICMP_DEST_UNREACH
from ..ipv4.ip_output import ip_local_out
from ..ipv4.netfilter import ip_route_me_harder
from ..uapi import IPPROTO_TCP, IPPROTO_UDP
from ..wire.checksum import csum_fold, csum_partial, csum_tcpudp_nofold
from .core import nf_ct_attach
from .nf_checksum import nf_ip_checksum

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["nf_reject_verify_csum", "nf_send_reset", "nf_send_unreach"]

_ADDRESSES = Struct("!II")
_TCP = Struct("!HHIIBBHHH")
_IP = Struct("!BBHHHBBHII")
_HEADROOM = 128
_RST, _ACK, _SYN, _FIN = 4, 16, 2, 1
_OTHER_CHECKS = frozenset({33, 47, 50, 51, 132, 136})  # DCCP, GRE, ESP, AH, SCTP and UDP-Lite.


def nf_send_unreach(skb: "SkBuff", code: int, hook: int) -> None:
    """Send a "destination unreachable" about a packet, unless it is a later fragment or its checksum is wrong."""
    from ..ipv4.icmp import icmp_send  # Its modules need each other: not the first to be imported.

    at = skb.network_header
    view = skb.view
    if (view[at + 6] << 8 | view[at + 7]) & 0x1FFF:
        return
    dataoff = (view[at] & 15) << 2
    protocol = view[at + 9]
    unsure = not skb_csum_unnecessary(skb) and nf_reject_verify_csum(skb, dataoff, protocol)
    if not unsure or not nf_ip_checksum(skb, hook, dataoff, protocol):
        icmp_send(skb, ICMP_DEST_UNREACH, code)


def nf_reject_verify_csum(skb: "SkBuff", dataoff: int, protocol: int) -> bool:
    """Return whether a packet has an Internet checksum over all its octets; of an unknown protocol it should."""
    if protocol == IPPROTO_UDP:
        check = skb_header_pointer(skb, dataoff + 6, 2)
        return check is None or any(check)
    return protocol not in _OTHER_CHECKS


def nf_send_reset(skb: "SkBuff", state: "NfHookState") -> None:
    """Answer a TCP segment with a reset (RFC 9293 §3.5.2), unless it is one itself, or its checksum is wrong."""
    at = skb.network_header
    view = skb.view
    dataoff = (view[at] & 15) << 2
    if (view[at + 6] << 8 | view[at + 7]) & 0x1FFF or view[at + 9] != IPPROTO_TCP:
        return
    octets = skb_header_pointer(skb, dataoff, 20)
    if octets is None:
        return
    sport, dport, seq, ack_seq, offset, flags, _, _, _ = _TCP.unpack(octets)
    if flags & _RST or nf_ip_checksum(skb, state.hook, dataoff, IPPROTO_TCP):
        return
    if flags & _ACK:
        header = (dport, sport, ack_seq, 0, 0x50, _RST)
    else:
        length = skb.len - dataoff - (offset >> 4) * 4 + bool(flags & _SYN) + bool(flags & _FIN)
        header = (dport, sport, 0, seq + length & 0xFFFFFFFF, 0x50, _RST | _ACK)
    saddr, daddr = _ADDRESSES.unpack_from(view, at + 12)
    segment = _TCP.pack(*header, 0, 0, 0)
    check = csum_fold(csum_partial(segment, csum_tcpudp_nofold(daddr, saddr, 20, IPPROTO_TCP)))
    new = alloc_skb(skb.kernel, _HEADROOM + 40)
    skb_reserve(new, _HEADROOM)
    new.network_header = new.data
    new.transport_header = new.data + 20
    ttl = state.net.ipv4.sysctl_ip_default_ttl
    skb_put_data(new, _IP.pack(0x45, 0, 40, 0, 0x4000, ttl, IPPROTO_TCP, 0, daddr, saddr))
    skb_put_data(new, segment[:16] + check.to_bytes(2, "big") + segment[18:])
    new.ip_summed = CHECKSUM_NONE
    new.protocol = ETH_P_IP
    new.dst = skb.dst
    try:
        ip_route_me_harder(state.net, None, new)
    except OSError:
        kfree_skb(new)
        return
    nf_ct_attach(new, skb)
    ip_local_out(state.net, None, new)

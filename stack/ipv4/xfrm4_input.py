"""Receiving IPv4 packets with transforms (Linux: net/ipv4/xfrm4_input.c; RFC 3948)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_input
from ..core.netdevice import NET_RX_DROP
from ..core.skbuff import kfree_skb_reason, skb_push
from ..core.skbuff_data import pskb_may_pull
from ..netfilter.core import NF_HOOK, NF_INET_PRE_ROUTING
from ..xfrm.xfrm import IPPROTO_ESP
from ..xfrm.xfrm_input import xfrm_input, xfrm_trans_queue
from .ip import ip_send_check
from .route_input import ip_route_input_noref

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .udp import UdpSock

__all__ = ["xfrm4_rcv", "xfrm4_rcv_encap", "xfrm4_transport_finish", "xfrm4_udp_encap_rcv"]

_ADDRESSES = Struct("!II")
_UDP_OCTETS = 8
_ESP_OCTETS = 8


def xfrm4_rcv(skb: "SkBuff", nexthdr: int) -> int:
    """Receive a packet of ESP or AH."""
    return xfrm4_rcv_encap(skb, nexthdr, 0, 0)


def xfrm4_rcv_encap(skb: "SkBuff", nexthdr: int, spi: int, encap_type: int) -> int:
    """The same, perhaps out of UDP; as ``xfrm_input``."""
    return xfrm_input(skb, nexthdr, spi, encap_type)


def xfrm4_transport_finish(skb: "SkBuff", nexthdr: int) -> int:
    """Let a packet whose transforms are undone come in as what it was; return 0."""
    dev = skb.dev
    assert dev is not None
    at = skb.network_header
    skb.view[at + 9] = nexthdr
    skb_push(skb, skb.data - at)
    skb.view[at + 2 : at + 4] = skb.len.to_bytes(2, "big")
    ip_send_check(skb)
    NF_HOOK(NF_INET_PRE_ROUTING, dev.net, None, skb, dev, None, xfrm4_rcv_encap_finish)
    return 0


def xfrm4_rcv_encap_finish(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Go on behind the PRE_ROUTING hook, which may have taken the route away; return ``NET_RX_*``."""
    dev = skb.dev
    assert dev is not None
    if skb.dst is None:
        saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
        reason = ip_route_input_noref(skb, daddr, saddr, skb.view[skb.network_header + 1], dev)
        if reason is not None:
            kfree_skb_reason(skb, reason)
            return NET_RX_DROP
    if xfrm_trans_queue(skb, xfrm4_rcv_encap_finish2):
        kfree_skb_reason(skb, SkbDropReason.CPU_BACKLOG)
        return NET_RX_DROP
    return 0


def xfrm4_rcv_encap_finish2(net: "Net", skb: "SkBuff") -> int:
    """Receive the packet as its route says."""
    return dst_input(skb)


def xfrm4_udp_encap_rcv(sk: "UdpSock", skb: "SkBuff") -> int:
    """Receive ESP in UDP (RFC 3948 §2); the data starts at the UDP header.

    Returns
    -------
    int
        0 if it was ESP or a keepalive, which is nothing to anybody; 1 if it is for the socket: IKE, behind four zero
        octets.
    """
    if not pskb_may_pull(skb, _UDP_OCTETS + 1):
        return 1
    first = skb.data + _UDP_OCTETS
    length = skb.len - _UDP_OCTETS
    if length == 1 and skb.view[first] == 0xFF:
        kfree_skb_reason(skb, SkbDropReason.CONSUMED)
        return 0
    if length <= _ESP_OCTETS or not pskb_may_pull(skb, _UDP_OCTETS + _ESP_OCTETS):
        return 1
    first = skb.data + _UDP_OCTETS
    if not any(skb.view[first : first + 4]):
        return 1
    at = skb.network_header + 2
    total = int.from_bytes(skb.view[at : at + 2], "big") - _UDP_OCTETS
    skb.view[at : at + 2] = total.to_bytes(2, "big")
    skb.data = skb.transport_header = first
    skb.len -= _UDP_OCTETS
    xfrm4_rcv_encap(skb, IPPROTO_ESP, 0, sk.encap_type)
    return 0

"""Putting outer headers on and taking them off, for all tunnels (Linux: net/ipv4/ip_tunnel_core.c)."""

from errno import ENOMEM
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_forward import skb_scrub_packet
from ..core.if_vlan import __vlan_hwaccel_clear_tag
from ..core.netdevice import NET_XMIT_CN
from ..core.skbuff import CHECKSUM_NONE, CHECKSUM_PARTIAL, SkBuff, skb_push
from ..core.skbuff_csum import skb_pull_rcsum
from ..core.skbuff_data import pskb_may_pull
from .ip_output import ip_local_out
from .route import __ip_select_ident

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from .route import RTable

__all__ = ["__iptunnel_pull_header", "iptunnel_handle_offloads", "iptunnel_pull_header", "iptunnel_xmit"]

_HEADER = Struct("!BBHHHBBHII")


def iptunnel_handle_offloads(skb: SkBuff) -> None:
    """Leave the checksum of an inner packet that is to be made to the device below, and forget what was received."""
    if skb.ip_summed != CHECKSUM_PARTIAL:
        skb.ip_summed = CHECKSUM_NONE


def iptunnel_xmit(
    rt: "RTable",
    skb: SkBuff,
    src: int,
    dst: int,
    proto: int,
    tos: int,
    ttl: int,
    df: int,
    *,
    dev: "NetDevice",
    xnet: bool,
) -> None:
    """Put an outer header on a packet, send it by its route, and count that for the tunnel's device.

    ``df`` is 0 or ``IP_DF``; ``xnet`` says that the outer packet is of another namespace than the inner one.
    """
    net = rt.dev.net
    length = skb.len
    skb_scrub_packet(skb, xnet)
    skb.dst = rt
    at = skb.network_header = skb_push(skb, 20)
    ident = __ip_select_ident(net, src, dst, proto, 1)
    # Where the way's MTU is less than it should be, routers are to fragment.
    _HEADER.pack_into(skb.view, at, 0x45, tos, 0, ident, 0 if rt.mtu_locked else df, ttl, proto, 0, src, dst)
    error = ip_local_out(net, None, skb)
    stats = dev.stats
    if not error or error == NET_XMIT_CN:
        stats.tx_packets += 1
        stats.tx_bytes += length
    else:
        stats.tx_dropped += 1


def iptunnel_pull_header(skb: SkBuff, hdr_len: int, inner_proto: int, xnet: bool) -> int:
    """Take the header of a tunnel, behind the outer IPv4 header, off a packet; return 0 or a negative errno."""
    return __iptunnel_pull_header(skb, hdr_len, inner_proto, xnet)


def __iptunnel_pull_header(skb: SkBuff, hdr_len: int, inner_proto: int, xnet: bool) -> int:
    """The same, whatever the inner packet is."""
    if not pskb_may_pull(skb, hdr_len):
        return -ENOMEM
    skb_pull_rcsum(skb, hdr_len)
    skb.protocol = inner_proto
    skb.hash = 0
    __vlan_hwaccel_clear_tag(skb)
    skb.queue_mapping = 0
    skb_scrub_packet(skb, xnet)
    return 0

"""Forwarding: a packet of others goes on its way (Linux: net/ipv4/ip_forward.c; RFC 1812 §5)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_output
from ..core.netdevice import NET_RX_DROP, NET_RX_SUCCESS
from ..core.skbuff import PACKET_HOST, SkBuff, kfree_skb_reason
from ..core.skbuff_csum import skb_forward_csum
from ..core.skbuff_data import skb_cow_head
from ..core.skbuff_segment import skb_gso_validate_network_len
from ..netfilter.core import NF_HOOK, NF_INET_FORWARD
from ..xfrm.xfrm import XFRM_POLICY_FWD
from ..xfrm.xfrm_policy import xfrm4_policy_check, xfrm4_route_forward
from .icmp import icmp_send
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_EXC_TTL, ICMP_FRAG_NEEDED, ICMP_TIME_EXCEEDED
from .ip import IP_DF, LL_RESERVED_SPACE, ip_dst_mtu_maybe_forward, rt_tos2priority
from .ip_input_ra import ip_call_ra_chain
from .ip_options import IpOptions
from .ip_options_rcv import ip_forward_options
from .ip_output_fragment import ip_frag_max_size
from .route_icmp import ip_rt_send_redirect

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.sock import Sock
    from .route import RTable

__all__ = ["ip_decrease_ttl", "ip_exceeds_mtu", "ip_forward", "ip_forward_finish"]


def ip_forward(skb: SkBuff) -> int:
    """Send a received packet on, if it may go that far (``dst.input``).

    Its sender is told if its time to live is over (RFC 1812 §5.3.1), if it is too long and must not be fragmented
    (RFC 1191 §4), or if there is a shorter way (RFC 1812 §5.2.7.2).

    Returns
    -------
    int
        What sending it returned, or ``NET_RX_DROP``.
    """
    dev = skb.dev
    assert dev is not None
    net = dev.net
    if skb.pkt_type != PACKET_HOST or skb.sk is not None:
        return _drop(skb, SkbDropReason.NOT_SPECIFIED)
    if not xfrm4_policy_check(None, XFRM_POLICY_FWD, skb):
        return _drop(skb, SkbDropReason.XFRM_POLICY)
    if isinstance(skb.cb, IpOptions) and skb.cb.router_alert and ip_call_ra_chain(skb):
        return NET_RX_SUCCESS
    skb_forward_csum(skb)
    at = skb.network_header
    if skb.view[at + 8] <= 1:
        net.mib["Ip:InHdrErrors"] += 1
        icmp_send(skb, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL)
        return _drop(skb, SkbDropReason.IP_INHDR)
    if not xfrm4_route_forward(skb):
        return _drop(skb, SkbDropReason.XFRM_POLICY)
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    mtu = ip_dst_mtu_maybe_forward(rt, True)
    if ip_exceeds_mtu(skb, mtu):
        net.mib["Ip:FragFails"] += 1
        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu)
        return _drop(skb, SkbDropReason.PKT_TOO_BIG)
    try:
        skb_cow_head(skb, LL_RESERVED_SPACE(rt.dev))
    except OSError:
        return _drop(skb, SkbDropReason.NOMEM)
    ip_decrease_ttl(skb)
    opt = skb.cb
    if isinstance(opt, IpOptions) and opt.do_redirect and not opt.srr:
        ip_rt_send_redirect(skb)
    if net.ipv4.sysctl_ip_fwd_update_priority:
        skb.priority = rt_tos2priority(skb.view[skb.network_header + 1])
    return NF_HOOK(NF_INET_FORWARD, net, None, skb, dev, rt.dev, ip_forward_finish)


def _drop(skb: SkBuff, reason: SkbDropReason) -> int:
    kfree_skb_reason(skb, reason)
    return NET_RX_DROP


def ip_forward_finish(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Go on behind the FORWARD hook: bring the options up to date, and send."""
    net.mib["Ip:ForwDatagrams"] += 1
    net.mib["IpExt:OutOctets"] += skb.len
    opt = skb.cb
    if isinstance(opt, IpOptions) and (opt.rr or opt.ts):
        ip_forward_options(skb, opt)
    return dst_output(net, sk, skb)


def ip_exceeds_mtu(skb: SkBuff, mtu: int) -> bool:
    """Return whether a packet is too long for the way and must not be fragmented."""
    if skb.len <= mtu or not skb.view[skb.network_header + 6] << 8 & IP_DF:
        return False
    if ip_frag_max_size(skb) > mtu:
        return True
    if skb.gso_size and skb_gso_validate_network_len(skb, mtu):
        return False  # It came as several, which are not too long.
    return not skb.ignore_df


def ip_decrease_ttl(skb: SkBuff) -> None:
    """Take one off a packet's time to live, and bring the header's checksum up to date (RFC 1624, eqn. 3)."""
    at = skb.network_header
    view = skb.view
    view[at + 8] -= 1
    check = (view[at + 10] << 8 | view[at + 11]) + 0x100
    check = (check & 0xFFFF) + (check >> 16)
    view[at + 10] = check >> 8
    view[at + 11] = check & 0xFF

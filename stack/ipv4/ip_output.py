"""Sending IPv4 packets (Linux: net/ipv4/ip_output.c); building and fragmenting them is in the files beside."""

from errno import EINVAL, EMSGSIZE, ENOMEM
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_napi import netif_rx
from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_output
from ..core.neighbour_output import neigh_output
from ..core.netdevice import net_xmit_errno
from ..core.skbuff import (
    CHECKSUM_UNNECESSARY,
    NO_HEADER,
    PACKET_LOOPBACK,
    SkBuff,
    consume_skb,
    kfree_skb_reason,
)
from ..core.skbuff_data import skb_clone, skb_expand_head
from ..core.skbuff_segment import skb_gso_segment, skb_gso_validate_network_len
from ..ethernet.eth import ETH_P_IP
from ..netfilter.core import NF_HOOK, NF_HOOK_COND, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, nf_hook
from . import route  # As a module: it needs the functions here, too.
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED
from .ip import DADDR, ip_send_check, ip_skb_dst_mtu
from .ip_output_fragment import ip_do_fragment, ip_frag_max_size
from .rtnetlink import RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.sock import Sock

__all__ = [
    "__ip_finish_output",
    "__ip_local_out",
    "__ip_local_out_sk",
    "ip_finish_output",
    "ip_finish_output2",
    "ip_finish_output_gso",
    "ip_fragment",
    "ip_local_out",
    "ip_mc_output",
    "ip_output",
    "ip_send_skb",
]

_TOT_LEN = Struct("!H")
_MULTICAST = int(RtType.MULTICAST)
_BROADCAST = int(RtType.BROADCAST)


def __ip_local_out(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Finish the header of a packet of this host and ask the LOCAL_OUT hook.

    Returns
    -------
    int
        1: the caller sends the packet on with ``dst_output``. 0 or a negative errno: it is the hook's.
    """
    _TOT_LEN.pack_into(skb.view, skb.network_header + 2, skb.len)
    ip_send_check(skb)
    skb.protocol = ETH_P_IP
    dst = skb.dst
    assert dst is not None
    return nf_hook(NF_INET_LOCAL_OUT, net, sk, skb, None, dst.dev, dst_output)


__ip_local_out_sk = __ip_local_out  # Its name in Linux 4.1 to 4.3.


def ip_local_out(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Send a packet of this host on; return 0, a ``NET_XMIT_*`` code or a negative errno."""
    error = __ip_local_out(net, sk, skb)
    return dst_output(net, sk, skb) if error == 1 else error


def ip_send_skb(net: "Net", skb: SkBuff) -> int:
    """Send a packet of this host on, and count it if that failed; return 0 or a negative errno."""
    error = ip_local_out(net, skb.sk, skb)
    if error:
        if error > 0:
            error = net_xmit_errno(error)
        if error:
            net.mib["Ip:OutDiscards"] += 1
    return error


def ip_output(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Send a unicast packet out of its route's device."""
    dst = skb.dst
    assert dst is not None
    dev = dst.dev
    mib = net.mib
    mib["Ip:OutRequests"] += 1
    mib["IpExt:OutOctets"] += skb.len
    skb.dev = dev
    skb.protocol = ETH_P_IP
    return NF_HOOK_COND(NF_INET_POST_ROUTING, net, sk, skb, None, dev, ip_finish_output, True)


def ip_mc_output(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Send a broadcast or multicast packet, and give this host a copy of what is for it, too."""
    rt: route.RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    dev = rt.dev
    mib = net.mib
    mib["Ip:OutRequests"] += 1
    mib["IpExt:OutOctets"] += skb.len
    skb.dev = dev
    skb.protocol = ETH_P_IP
    if rt.flags & route.RTCF_MULTICAST:
        if rt.flags & route.RTCF_LOCAL and (sk is None or getattr(sk, "mc_loop", True)):
            _loop_back(net, sk, skb)
        if not skb.view[skb.network_header + 8]:  # TTL 0: not beyond this host.
            kfree_skb_reason(skb, SkbDropReason.CONSUMED)
            return 0
    if rt.flags & route.RTCF_BROADCAST:
        _loop_back(net, sk, skb)
    return NF_HOOK_COND(NF_INET_POST_ROUTING, net, sk, skb, None, dev, ip_finish_output, True)


def _loop_back(net: "Net", sk: "Sock | None", skb: SkBuff) -> None:
    copy = skb_clone(skb)
    NF_HOOK(NF_INET_POST_ROUTING, net, sk, copy, None, copy.dev, ip_mc_finish_output)


def ip_mc_finish_output(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Receive a copy of a packet that this host sends."""
    return dev_loopback_xmit(net, sk, skb)


def dev_loopback_xmit(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Put a packet on the way in, as if it came from the device that it leaves by."""
    skb.data = skb.network_header
    skb.mac_header = skb.data
    skb.pkt_type = PACKET_LOOPBACK
    skb.ip_summed = CHECKSUM_UNNECESSARY
    netif_rx(skb)
    return 0


def ip_finish_output(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Go on behind the POST_ROUTING hook."""
    return __ip_finish_output(net, sk, skb)


def __ip_finish_output(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Fragment what is too long for the way; transform what a policy wants so now that its source is another one."""
    rt: route.RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt.xfrm is not None:
        from .xfrm4_output import __xfrm4_output  # It sends by this module.

        return __xfrm4_output(net, sk, skb)  # Not through the hook that it comes from.
    mtu = ip_skb_dst_mtu(sk, rt)
    if skb.len > mtu or (skb.cb is not None and ip_frag_max_size(skb)):
        if skb.gso_size:
            return ip_finish_output_gso(net, sk, skb, mtu)
        return ip_fragment(net, sk, skb, mtu)
    return ip_finish_output2(net, sk, skb)


def ip_finish_output_gso(net: "Net", sk: "Sock | None", skb: SkBuff, mtu: int) -> int:
    """Send a packet that stands for many: as it is if those fit the way, else cut here, and each fragmented."""
    if skb_gso_validate_network_len(skb, mtu):
        return ip_finish_output2(net, sk, skb)
    try:
        segs: SkBuff | None = skb_gso_segment(skb, skb.dev.features if skb.dev is not None else 0)
    except OSError as error:
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return -(error.errno or ENOMEM)
    consume_skb(skb)
    result = 0
    while segs is not None:
        following = segs.next
        segs.next = None
        segs.mac_header = NO_HEADER
        result = ip_fragment(net, sk, segs, mtu) or result
        segs = following
    return result


def ip_fragment(net: "Net", sk: "Sock | None", skb: SkBuff, mtu: int) -> int:
    """Fragment a packet, unless it may not be: then tell its sender, and drop it with ``-EMSGSIZE``."""
    if skb.view[skb.network_header + 6] & 0x40 and (not skb.ignore_df or ip_frag_max_size(skb) > mtu):  # IP_DF
        from .icmp import icmp_send  # It sends by this module.

        net.mib["Ip:FragFails"] += 1
        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu)
        kfree_skb_reason(skb, SkbDropReason.PKT_TOO_BIG)
        return -EMSGSIZE
    return ip_do_fragment(net, sk, skb, mtu, ip_finish_output2)


def ip_finish_output2(net: "Net", sk: "Sock | None", skb: SkBuff) -> int:
    """Find the neighbour that a packet goes to, and send it there."""
    rt: route.RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    dev = rt.dev
    kind = rt.type
    if kind == _MULTICAST:
        net.mib["IpExt:OutMcastPkts"] += 1
        net.mib["IpExt:OutMcastOctets"] += skb.len
    elif kind == _BROADCAST:
        net.mib["IpExt:OutBcastPkts"] += 1
        net.mib["IpExt:OutBcastOctets"] += skb.len
    headroom = (dev.hard_header_len + dev.needed_headroom & ~15) + 16  # LL_RESERVED_SPACE()
    if skb.data < headroom and dev.header_ops is not None:
        try:
            skb = skb_expand_head(skb, headroom)
        except OSError as error:
            return -(error.errno or ENOMEM)
    try:
        neigh = route.ip_neigh_for_gw(rt, DADDR.unpack_from(skb.view, skb.network_header + 16)[0])
    except OSError as error:
        kfree_skb_reason(skb, SkbDropReason.NEIGH_CREATEFAIL)
        return -(error.errno or EINVAL)
    return neigh_output(neigh, skb)

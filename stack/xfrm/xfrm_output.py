"""Transforming packets on their way out (Linux: net/xfrm/xfrm_output.c; RFC 4301 §5.1)."""

from errno import EHOSTUNREACH, EINVAL, EMSGSIZE, ENOMEM, EOVERFLOW
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_validate import skb_checksum_help
from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_mtu, dst_output, dst_pop
from ..core.skbuff import CHECKSUM_NONE, CHECKSUM_PARTIAL, NO_HEADER, consume_skb, kfree_skb_reason, skb_pull
from ..core.skbuff_data import skb_cow_head
from ..core.skbuff_segment import skb_gso_segment
from ..ethernet.eth import ETH_P_IP
from ..ipv4.inet_ecn import INET_ECN_MASK, INET_ECN_encapsulate
from ..ipv4.inet_sock import InetSock
from ..ipv4.ip import IP_DF, LL_RESERVED_SPACE
from ..ipv4.ip_output import __ip_local_out
from ..ipv4.ip_recv import ip_local_error
from ..ipv4.route import __ip_select_ident
from ..uapi import IPPROTO_IPIP
from .xfrm import XFRM_MODE_TUNNEL, XFRM_STATE_NOECN, XFRM_STATE_NOPMTUDISC
from .xfrm_proc import xfrm_inc_stats
from .xfrm_replay import xfrm_replay_overflow
from .xfrm_state import XfrmState, XfrmStateState, xfrm_state_check_expire

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock

__all__ = ["xfrm_output", "xfrm_output_one", "xfrm_output_resume"]

_IP_HEADER = Struct("!BBHHHBBHII")


def xfrm_output(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Transform a packet, or each of those that it stands for, and send it on.

    Returns
    -------
    int
        0, an ``NET_XMIT_*`` code or a negative errno; the packet is gone in each case.
    """
    skb.sp = ()
    if skb.gso_size:
        return xfrm_output_gso(net, sk, skb)
    if skb.ip_summed == CHECKSUM_PARTIAL:
        try:
            skb_checksum_help(skb)
        except OSError as error:
            return _drop(net, skb, "OutError", error.errno or ENOMEM)
    return xfrm_output_resume(net, sk, skb)


def xfrm_output_gso(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Cut a packet that stands for many: each is transformed by itself."""
    assert skb.dst is not None
    skb.dev = skb.dst.dev
    try:
        segs: SkBuff | None = skb_gso_segment(skb, 0)
    except OSError as error:
        return _drop(net, skb, "OutError", error.errno or ENOMEM)
    consume_skb(skb)
    result = 0
    while segs is not None:
        following, segs.next = segs.next, None
        segs.mac_header = NO_HEADER
        result = xfrm_output_resume(net, sk, segs) or result
        segs = following
    return result


def _drop(net: "Net", skb: "SkBuff", counter: str, errno: int) -> int:
    xfrm_inc_stats(net, counter)
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return -errno


def xfrm_output_resume(net: "Net", sk: "Sock | None", skb: "SkBuff") -> int:
    """Do the transforms of a packet's destinations one after the other; behind each the LOCAL_OUT hook is asked."""
    while True:
        error = xfrm_output_one(net, skb)
        if error:
            return error
        skb.nfct = None
        error = __ip_local_out(net, sk, skb)
        if error != 1:
            return error
        assert skb.dst is not None
        if skb.dst.xfrm is None:
            return dst_output(net, sk, skb)


def xfrm_output_one(net: "Net", skb: "SkBuff") -> int:
    """Do the next transform of a packet, and those in transport mode that follow; the packet goes to what is behind.

    Returns
    -------
    int
        0, or a negative errno if the packet was dropped.
    """
    dst = skb.dst
    assert dst is not None
    x = dst.xfrm
    while x is not None:
        try:
            skb_cow_head(skb, dst.header_len + LL_RESERVED_SPACE(dst.dev))
        except OSError as error:
            return _drop(net, skb, "OutError", error.errno or ENOMEM)
        result = xfrm_outer_mode_output(net, x, skb)
        if result:
            return _drop(net, skb, "OutStateModeError", -result)
        if x.state != XfrmStateState.VALID:
            return _drop(net, skb, "OutStateInvalid", EINVAL)
        if not xfrm_state_check_expire(x):
            return _drop(net, skb, "OutStateExpired", EINVAL)
        if xfrm_replay_overflow(x) is None:
            return _drop(net, skb, "OutStateSeqError", EOVERFLOW)
        x.curlft.bytes += skb.len
        x.curlft.packets += 1
        x.lastused = net.kernel.now_ns()
        result = x.type.output(x, skb)
        if result:
            return _drop(net, skb, "OutStateProtoError", -result)
        dst = dst_pop(dst)
        if dst is None:
            return _drop(net, skb, "OutError", EHOSTUNREACH)
        skb.dst = dst
        x = dst.xfrm
        if x is None or x.mode == XFRM_MODE_TUNNEL:
            break
    return 0


def xfrm_outer_mode_output(net: "Net", x: XfrmState, skb: "SkBuff") -> int:
    """Make room for a state's header, and put the IPv4 header in front of it; return 0 or a negative errno."""
    if x.mode == XFRM_MODE_TUNNEL:
        error = xfrm4_extract_output(skb)
        if error:
            return error
        xfrm4_tunnel_encap_add(net, x, skb)
    else:
        xfrm4_transport_output(x, skb)
    return 0


def xfrm4_transport_output(x: XfrmState, skb: "SkBuff") -> None:
    """Move the packet's own header forward; its data starts behind the room then."""
    at, view = skb.network_header, skb.view
    ihl = (view[at] & 15) << 2
    start = at - x.header_len
    view[start : start + ihl] = bytes(view[at : at + ihl])
    skb.network_header = start
    skb.transport_header = start + ihl
    skb_pull(skb, ihl)


def xfrm4_extract_output(skb: "SkBuff") -> int:
    """Look whether a packet fits a tunnel; return 0, or ``-EMSGSIZE`` after its sender was told (RFC 4301 §8.2)."""
    assert skb.dst is not None
    if skb.ignore_df or not skb.view[skb.network_header + 6] << 8 & IP_DF:
        return 0
    mtu = dst_mtu(skb.dst)
    if skb.len <= mtu:
        return 0
    skb.protocol = ETH_P_IP
    if skb.sk is not None:
        xfrm_local_error(skb, mtu)
    else:
        from ..ipv4.icmp import icmp_send  # What it imports needs this module.
        from ..ipv4.icmp_defs import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED

        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu)
    return -EMSGSIZE


def xfrm_local_error(skb: "SkBuff", mtu: int) -> None:
    """Tell a packet's socket what MTU it does not fit."""
    if isinstance(skb.sk, InetSock):
        daddr = int.from_bytes(skb.view[skb.network_header + 16 : skb.network_header + 20], "big")
        ip_local_error(skb.sk, EMSGSIZE, daddr, skb.sk.inet_dport, mtu)


def xfrm4_tunnel_encap_add(net: "Net", x: XfrmState, skb: "SkBuff") -> None:
    """Write the outer header (RFC 4301 §5.1.2.1); the data starts at the inner one still."""
    view, inner = skb.view, skb.network_header
    at = skb.data - x.header_len
    tos = INET_ECN_encapsulate(view[inner + 1], view[inner + 1])
    if x.flags & XFRM_STATE_NOECN:
        tos &= ~INET_ECN_MASK
    df = 0 if x.flags & XFRM_STATE_NOPMTUDISC else view[inner + 6] << 8 & IP_DF
    ident = __ip_select_ident(net, x.saddr, x.daddr, x.proto, 1)
    ttl = net.ipv4.sysctl_ip_default_ttl
    _IP_HEADER.pack_into(view, at, 0x45, tos, 0, ident, df, ttl, IPPROTO_IPIP, 0, x.saddr, x.daddr)
    skb.network_header = at
    skb.transport_header = at + 20
    skb.ip_summed = CHECKSUM_NONE
    skb.cb = None

"""Sending the IPv4 packets of a stream, whose transport header is there already (Linux: net/ipv4/ip_output.c)."""

from errno import EHOSTUNREACH
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import SkBuff, kfree_skb_reason, skb_push, skb_reset_network_header
from ..core.sock import __sk_dst_check
from ..uapi import IPPROTO_TCP
from .af_inet_rebuild import inet_sk_route
from .ip import IP_DF, IPV4_MIN_MTU, ip_dont_fragment
from .ip_options import first_hop, is_strictroute
from .ip_output import ip_local_out
from .ip_output_make import ip_select_ident_segs, ip_select_ttl, ip_write_header
from .route import RTable, __ip_select_ident

if TYPE_CHECKING:
    from .flow import Flowi4
    from .inet_sock import InetSock

__all__ = ["__ip_queue_xmit", "ip_build_and_send_pkt", "ip_queue_xmit"]


def ip_queue_xmit(sk: "InetSock", skb: SkBuff, fl: "Flowi4") -> int:
    """Send a packet of a connected socket with the socket's TOS; as ``__ip_queue_xmit``."""
    return __ip_queue_xmit(sk, skb, fl, sk.tos)


def __ip_queue_xmit(sk: "InetSock", skb: SkBuff, fl: "Flowi4", tos: int) -> int:
    """Send a packet of a connected socket by its route, which is looked up if it has none that is good.

    Parameters
    ----------
    sk : InetSock
        The socket, locked; its options say what the header has.
    skb : SkBuff
        From the transport header on, with headroom for IPv4 and the link; it is consumed.
    fl : Flowi4
        The connection's flow: the header's addresses. A look-up fills it in anew.
    tos : int
        Octet of the header.

    Returns
    -------
    int
        0, an ``NET_XMIT_*`` code or a negative errno: ``-EHOSTUNREACH`` without a route.
    """
    net = sk.net
    opt = sk.opt or None
    rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt is None:
        rt = skb.dst = _route(sk, fl, tos)
    if rt is None or (opt is not None and rt.gw and is_strictroute(opt)):
        net.mib["Ip:OutNoRoutes"] += 1
        kfree_skb_reason(skb, SkbDropReason.IP_OUTNOROUTES)
        return -EHOSTUNREACH
    skb_push(skb, 20 + len(sk.opt))
    skb_reset_network_header(skb)
    df = IP_DF if ip_dont_fragment(sk, rt) and not skb.ignore_df else 0
    ident = ip_select_ident_segs(sk, skb, df, fl.saddr, fl.daddr, skb.gso_segs if skb.gso_size else 1)
    ttl = ip_select_ttl(sk)
    ip_write_header(skb, rt, tos & 0xFF, ident, df, ttl, sk.sk_protocol, fl.saddr, fl.daddr, opt, sk.inet_daddr)
    skb.priority = sk.sk_priority
    skb.mark = sk.sk_mark
    return ip_local_out(net, sk, skb)


def _route(sk: "InetSock", fl: "Flowi4", tos: int) -> RTable | None:
    """Return the socket's route if it is still good, else look it up and keep it; None if there is none."""
    kept = __sk_dst_check(sk)
    if kept is not None:
        return kept  # type: ignore[return-value]  # What sk_dst_set gets below.
    try:
        return inet_sk_route(sk, fl, tos)
    except OSError:
        return None


def ip_build_and_send_pkt(sk: "InetSock", skb: SkBuff, saddr: int, daddr: int, opt: bytes | None, tos: int) -> int:
    """Send a packet that a listening socket answers with, without its lock (a SYN-ACK).

    Parameters
    ----------
    sk : InetSock
        The socket that listens.
    skb : SkBuff
        From the transport header on, with its route; it is consumed.
    saddr, daddr : int
        Addresses of the connection to be.
    opt : bytes or None
        IP options of this packet, as ``ip_options_compile`` returns them.
    tos : int
        Octet of the header.

    Returns
    -------
    int
        0, an ``NET_XMIT_*`` code or a negative errno.
    """
    net = sk.net
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    skb_push(skb, 20 + len(opt or b""))
    skb_reset_network_header(skb)
    to = (first_hop(opt) if opt else 0) or daddr
    # No way is too narrow for a small packet.
    df = IP_DF if skb.len <= IPV4_MIN_MTU or ip_dont_fragment(sk, rt) else 0
    ident = 0
    if not df:
        if sk.sk_protocol == IPPROTO_TCP:
            # No generator: whoever sends SYNs could count what others get (RFC 7739).
            ident = sk.kernel.platform.random_u32() & 0xFFFF
        else:
            ident = __ip_select_ident(net, saddr, to, sk.sk_protocol, 1)
    ip_write_header(skb, rt, tos, ident, df, ip_select_ttl(sk), sk.sk_protocol, saddr, to, opt, daddr)
    skb.priority = sk.sk_priority
    skb.mark = skb.mark or sk.sk_mark
    return ip_local_out(net, skb.sk, skb)

"""Segments outside of a connection: RST and ACK (Linux: net/ipv4/tcp_ipv4.c; RFC 9293 §3.5.2)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..uapi import IPPROTO_TCP
from ..wire.checksum import csum_tcpudp_nofold
from .ip_output_reply import IpReplyArg, ip_send_unicast_reply
from .route import RTCF_LOCAL
from .rtnetlink import RtType
from .tcp_defs import CHECK_OFFSET, HEADER, TCPHDR_ACK, TCPHDR_RST, TcpSkbCb
from .tcp_output import tcp_options_write

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .inet_timewait_sock import InetTimewaitSock
    from .request_sock import TcpRequestSock
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = ["tcp_v4_reqsk_send_ack", "tcp_v4_send_ack", "tcp_v4_send_reset", "tcp_v4_timewait_ack"]

_ADDRESSES = Struct("!II")


def _send(net: "Net", skb: "SkBuff", octets: bytes, *, tos: int, oif: int, mark: int) -> None:
    """Answer a segment with another."""
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    csum = csum_tcpudp_nofold(daddr, saddr, len(octets), IPPROTO_TCP)
    arg = IpReplyArg(octets, csum, CHECK_OFFSET, tos=tos, bound_dev_if=oif, mark=mark)
    ip_send_unicast_reply(net.ipv4.tcp_sk, skb, saddr, daddr, arg)


def tcp_v4_send_reset(sk: "TcpSock | None", skb: "SkBuff") -> None:
    """Refuse a segment: with the number that its sender expects, so that it can tell whom it is from.

    An RST is never answered, nor what did not come for an address of this host.
    """
    cb: TcpSkbCb = skb.cb
    if cb.tcp_flags & TCPHDR_RST:
        return
    rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if sk is None and (rt is None or rt.type != RtType.LOCAL or not rt.flags & RTCF_LOCAL):
        return
    at = skb.transport_header
    sport, dport, *_ = HEADER.unpack_from(skb.view, at)
    if cb.tcp_flags & TCPHDR_ACK:
        octets = HEADER.pack(dport, sport, cb.ack_seq, 0, 5 << 4, TCPHDR_RST, 0, 0, 0)
    else:
        octets = HEADER.pack(dport, sport, 0, cb.end_seq, 5 << 4, TCPHDR_RST | TCPHDR_ACK, 0, 0, 0)
    dev = skb.dev
    net = sk.net if sk is not None else dev.net if dev is not None else None
    assert net is not None
    oif = sk.sk_bound_dev_if if sk is not None else 0
    mark = sk.sk_mark if sk is not None else 0
    net.mib["Tcp:OutSegs"] += 1
    net.mib["Tcp:OutRsts"] += 1
    _send(net, skb, octets, tos=cb.ip_dsfield & ~3, oif=oif, mark=mark)


def tcp_v4_send_ack(
    net: "Net",
    skb: "SkBuff",
    seq: int,
    ack: int,
    window: int,
    tstamp: tuple[int, int] | None,
    *,
    tos: int,
    oif: int,
    mark: int,
) -> None:
    """Answer a segment with an ACK, without a socket."""
    sport, dport, *_ = HEADER.unpack_from(skb.view, skb.transport_header)
    options = tcp_options_write(tstamp=tstamp)
    doff = 20 + len(options) << 2
    octets = HEADER.pack(dport, sport, seq, ack, doff, TCPHDR_ACK, min(window, 0xFFFF), 0, 0) + options
    net.mib["Tcp:OutSegs"] += 1
    _send(net, skb, octets, tos=tos, oif=oif, mark=mark)


def tcp_v4_timewait_ack(tw: "InetTimewaitSock", skb: "SkBuff") -> None:
    """Say where a connection in TIME_WAIT stands."""
    now_ms = tw.net.kernel.now_ns() // 1_000_000
    tstamp = (now_ms + tw.tw_ts_offset & 0xFFFFFFFF, tw.tw_ts_recent) if tw.tw_ts_recent_stamp else None
    tcp_v4_send_ack(
        tw.net,
        skb,
        tw.tw_snd_nxt,
        tw.tw_rcv_nxt,
        tw.tw_rcv_wnd >> tw.tw_rcv_wscale,
        tstamp,
        tos=tw.tw_tos,
        oif=tw.sk_bound_dev_if,
        mark=tw.sk_mark,
    )


def tcp_v4_reqsk_send_ack(sk: "TcpSock", skb: "SkBuff", req: "TcpRequestSock") -> None:
    """Say where a connection stands that is being made."""
    now_ms = sk.kernel.now_ns() // 1_000_000
    # A SYN has taken its number: the next one is told.
    seq = req.snt_isn + 1 & 0xFFFFFFFF
    tcp_v4_send_ack(
        sk.net,
        skb,
        seq,
        req.rcv_nxt,
        req.rsk_rcv_wnd >> req.rcv_wscale,
        (now_ms + req.ts_off & 0xFFFFFFFF, req.ts_recent) if req.tstamp_ok else None,
        tos=skb.cb.ip_dsfield & ~3,
        oif=req.sk_bound_dev_if,
        mark=req.ir_mark,
    )

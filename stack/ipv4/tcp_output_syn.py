"""Opening a connection: SYN and SYN-ACK (Linux: net/ipv4/tcp_output.c; RFC 9293 §3.5, RFC 7323, RFC 3168 §6.1.1)."""

from errno import EHOSTUNREACH
from typing import TYPE_CHECKING

from ..core.dst import dst_metric_advmss
from ..core.skbuff import alloc_skb, skb_push, skb_reserve
from ..core.sock import skb_set_owner_w
from ..core.timer import jiffies
from .af_inet_rebuild import inet_sk_rebuild_header
from .inet_connection_sock_timer import inet_csk_reset_xmit_timer
from .tcp_defs import (
    HEADER,
    ICSK_TIME_RETRANS,
    MAX_TCP_HEADER,
    TCP_ECN_OK,
    TCP_RTO_MAX,
    TCP_TIMEOUT_INIT,
    TCPHDR_ACK,
    TCPHDR_CWR,
    TCPHDR_ECE,
    TCPHDR_SYN,
    TcpSkbCb,
)
from .tcp_output import tcp_mstamp_refresh, tcp_options_write, tcp_transmit_skb
from .tcp_output_window import (
    mtu_of,
    tcp_full_space,
    tcp_initialize_rcv_mss,
    tcp_mtup_init,
    tcp_select_initial_window,
    tcp_sync_mss,
)
from .tcp_output_write import tcp_charge_skb, tcp_stream_alloc_skb
from .tcp_state import tcp_write_queue_purge

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .request_sock import TcpRequestSock
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = [
    "tcp_clear_retrans",
    "tcp_connect",
    "tcp_connect_init",
    "tcp_make_synack",
    "tcp_mss_clamp",
    "tcp_openreq_init_rwin",
]


def tcp_mss_clamp(sk: "TcpSock", mss: int) -> int:
    """Return a segment size, not more than the program wants (``TCP_MAXSEG``)."""
    return min(sk.rx_opt.user_mss, mss) if sk.rx_opt.user_mss else mss


def tcp_clear_retrans(sk: "TcpSock") -> None:
    """Forget what was sent once more."""
    sk.retrans_out = sk.lost_out = sk.undo_marker = 0
    sk.undo_retrans = -1
    sk.sacked_out = 0


def tcp_connect_init(sk: "TcpSock") -> None:
    """Set up what a connection begins with, before its SYN."""
    ipv4 = sk.net.ipv4
    rt: RTable = sk.sk_dst_cache  # type: ignore[assignment]  # What tcp_v4_connect set.
    sk.tcp_header_len = 32 if ipv4.sysctl_tcp_timestamps else 20
    if sk.rx_opt.user_mss:
        sk.rx_opt.mss_clamp = sk.rx_opt.user_mss
    sk.max_window = 0
    tcp_mtup_init(sk)
    tcp_sync_mss(sk, mtu_of(sk, rt))
    sk.advmss = tcp_mss_clamp(sk, dst_metric_advmss(rt))
    tcp_initialize_rcv_mss(sk)
    # What is known of the peer's time stamps says that it will use them.
    header = sk.tcp_header_len - 20 if sk.rx_opt.ts_recent_stamp else 0
    sk.rcv_wnd, sk.window_clamp, sk.rx_opt.rcv_wscale = tcp_select_initial_window(
        sk, tcp_full_space(sk), sk.advmss - header, bool(ipv4.sysctl_tcp_window_scaling)
    )
    sk.rcv_ssthresh = sk.rcv_wnd
    sk.sk_err = 0
    sk.snd_wnd = 0
    sk.snd_wl1 = 0
    tcp_write_queue_purge(sk)
    sk.snd_una = sk.snd_sml = sk.snd_up = sk.snd_nxt = sk.write_seq
    sk.rcv_nxt = 0
    sk.rcv_tstamp = jiffies(sk.kernel)
    sk.rcv_wup = sk.copied_seq = 0
    sk.icsk_rto = TCP_TIMEOUT_INIT
    sk.icsk_retransmits = 0
    tcp_clear_retrans(sk)


def tcp_connect(sk: "TcpSock") -> None:
    """Send a SYN, and have it sent once more if nothing comes back.

    Raises
    ------
    OSError
        ``EHOSTUNREACH`` if there is no route any more; ``ENOMEM``.
    """
    if inet_sk_rebuild_header(sk):
        raise OSError(EHOSTUNREACH, "no route to the peer")
    tcp_connect_init(sk)
    skb = tcp_stream_alloc_skb(sk)
    flags = TCPHDR_SYN
    if sk.net.ipv4.sysctl_tcp_ecn == 1:
        flags |= TCPHDR_ECE | TCPHDR_CWR
        sk.ecn_flags = TCP_ECN_OK
    skb.cb = TcpSkbCb(sk.write_seq, sk.write_seq + 1 & 0xFFFFFFFF, flags)
    tcp_charge_skb(sk, skb)
    sk.write_seq = skb.cb.end_seq
    tcp_mstamp_refresh(sk)
    sk.retrans_stamp = sk.tcp_mstamp_us or 1
    sk.tcp_rtx_queue.append(skb)
    sk.packets_out += 1
    tcp_transmit_skb(sk, skb, True)
    # Only now: a queue that refuses a SYN must not look as if it had gone.
    sk.snd_nxt = sk.pushed_seq = sk.write_seq
    sk.net.mib["Tcp:ActiveOpens"] += 1
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, min(sk.icsk_rto, TCP_RTO_MAX))


def tcp_openreq_init_rwin(req: "TcpRequestSock", sk: "TcpSock", rt: "RTable") -> None:
    """Choose the window of a connection that is being made."""
    mss = tcp_mss_clamp(sk, dst_metric_advmss(rt))
    header = 12 if req.tstamp_ok else 0
    clamp = sk.window_clamp
    req.rsk_rcv_wnd, req.rsk_window_clamp, req.rcv_wscale = tcp_select_initial_window(
        sk, tcp_full_space(sk), mss - header, req.wscale_ok
    )
    sk.window_clamp = clamp


def tcp_make_synack(sk: "TcpSock", rt: "RTable", req: "TcpRequestSock", *, owned: bool = True) -> "SkBuff":
    """Return the SYN-ACK for a connection that is being made, from its header on.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    skb = alloc_skb(sk.kernel, MAX_TCP_HEADER + 64)
    skb_reserve(skb, MAX_TCP_HEADER)
    if owned:
        skb_set_owner_w(skb, sk)
    skb.dst = rt
    mss = tcp_mss_clamp(sk, dst_metric_advmss(rt))
    now_us = sk.kernel.now_ns() // 1000
    req.snt_synack_us = now_us or 1
    options = tcp_options_write(
        mss=mss,
        tstamp=(now_us // 1000 + req.ts_off & 0xFFFFFFFF, req.ts_recent) if req.tstamp_ok else None,
        sack_ok=req.sack_ok,
        wscale=req.rcv_wscale if req.wscale_ok else None,
    )
    flags = TCPHDR_SYN | TCPHDR_ACK | (TCPHDR_ECE if req.ecn_ok else 0)
    length = 20 + len(options)
    skb.tail += length
    skb.data = skb.tail
    at = skb_push(skb, length)
    skb.transport_header = at
    HEADER.pack_into(
        skb.view,
        at,
        req.ir_num,
        req.ir_rmt_port,
        req.snt_isn,
        req.rcv_nxt,
        length << 2,
        flags,
        min(req.rsk_rcv_wnd, 0xFFFF),
        0,
        0,
    )
    skb.view[at + 20 : at + length] = options
    skb.mark = req.ir_mark
    sk.net.mib["Tcp:OutSegs"] += 1
    return skb

"""Sending once more (Linux: net/ipv4/tcp_output.c; RFC 6298, RFC 6675, RFC 8985 §7)."""

from errno import EAGAIN, EHOSTUNREACH
from typing import TYPE_CHECKING

from .af_inet_rebuild import inet_sk_rebuild_header
from .inet_connection_sock_timer import inet_csk_clear_xmit_timer
from .tcp_cong import TCP_CA_CWR, TCP_CA_LOSS, TCP_CA_RECOVERY
from .tcp_defs import (
    TCPCB_EVER_RETRANS,
    TCPCB_LOST,
    TCPCB_SACKED_ACKED,
    TCPCB_SACKED_RETRANS,
    TCPHDR_SYN,
    TcpSkbCb,
    before,
)
from .tcp_output import tcp_current_mss, tcp_transmit_skb
from .tcp_output_window import tcp_wnd_end
from .tcp_output_write import (
    tcp_adjust_pcount,
    tcp_fragment,
    tcp_packets_in_flight,
    tcp_set_skb_tso_segs,
    tcp_trim_head,
    tcp_write_xmit,
)
from .tcp_timer_arm import tcp_rearm_rto

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "__tcp_retransmit_skb",
    "skb_still_in_host_queue",
    "tcp_retransmit_skb",
    "tcp_send_loss_probe",
    "tcp_simple_retransmit",
    "tcp_xmit_retransmit_queue",
]


def skb_still_in_host_queue(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Return whether the last copy of a packet has not left the host yet: then another one would be in vain."""
    if skb.dataref is not None and skb.dataref.count > 1:
        sk.net.mib["TcpExt:TCPSpuriousRtxHostQueues"] += 1
        return True
    return False


def __tcp_retransmit_skb(sk: "TcpSock", skb: "SkBuff", segs: int) -> int:
    """Send a packet once more, at most so many segments of it; return 0 or a negative errno."""
    cb: TcpSkbCb = skb.cb
    index = sk.tcp_rtx_queue.index(skb)
    sk.icsk_mtup_size = 0  # Whether a longer packet arrived cannot be told now.
    try:
        if before(cb.seq, sk.snd_una) and not cb.tcp_flags & TCPHDR_SYN:
            old = cb.segs
            tcp_trim_head(sk, skb, sk.snd_una - cb.seq & 0xFFFFFFFF)
            tcp_adjust_pcount(sk, cb, cb.segs - old)  # They may be fewer now.
        if inet_sk_rebuild_header(sk):
            return -EHOSTUNREACH
        mss = tcp_current_mss(sk)
        window = tcp_wnd_end(sk) - cb.seq & 0xFFFFFFFF
        if window > 0x7FFFFFFF:
            window = 0
        if not window and cb.seq != sk.snd_una:
            return -EAGAIN  # The peer took its window back.
        length = min(mss * segs, window) if window else mss
        if skb.len > length:
            tcp_fragment(sk, sk.tcp_rtx_queue, index, length, mss)
        elif skb.len > mss:
            old = cb.segs
            more = tcp_set_skb_tso_segs(skb, mss) - old
            tcp_adjust_pcount(sk, cb, more)
    except OSError as problem:
        return -(problem.errno or EAGAIN)
    sent = cb.segs
    mib = sk.net.mib
    mib["Tcp:RetransSegs"] += sent
    if cb.tcp_flags & TCPHDR_SYN:
        mib["TcpExt:TCPSynRetrans"] += 1
    sk.total_retrans += sent
    error = tcp_transmit_skb(sk, skb, clone_it=True)
    if error:
        mib["TcpExt:TCPRetransFail"] += sent
        return error
    cb.sacked |= TCPCB_EVER_RETRANS
    return 0


def tcp_retransmit_skb(sk: "TcpSock", skb: "SkBuff", segs: int) -> int:
    """Send a packet once more, and count it as on its way again; return 0 or a negative errno."""
    if skb_still_in_host_queue(sk, skb):
        return -EAGAIN
    error = __tcp_retransmit_skb(sk, skb, segs)
    if not error:
        cb: TcpSkbCb = skb.cb
        if not cb.sacked & TCPCB_SACKED_RETRANS:
            cb.sacked |= TCPCB_SACKED_RETRANS
            sk.retrans_out += cb.segs
        if not sk.retrans_stamp:
            sk.retrans_stamp = cb.tx_us or 1
    if sk.undo_retrans < 0:
        sk.undo_retrans = 0
    sk.undo_retrans += skb.cb.segs
    return error


def tcp_xmit_retransmit_queue(sk: "TcpSock") -> None:
    """Send once more what counts as lost, oldest first, as far as the congestion window allows (RFC 6675 §5)."""
    if not sk.lost_out:
        return
    rearm = False
    for skb in list(sk.tcp_rtx_queue):
        room = sk.snd_cwnd - tcp_packets_in_flight(sk)
        if room <= 0:
            break
        cb: TcpSkbCb = skb.cb
        if cb.sacked & (TCPCB_SACKED_ACKED | TCPCB_SACKED_RETRANS) or not cb.sacked & TCPCB_LOST:
            continue
        if tcp_retransmit_skb(sk, skb, room):
            break
        counter = "SlowStart" if sk.icsk_ca_state == TCP_CA_LOSS else "Fast"
        sk.net.mib[f"TcpExt:TCP{counter}Retrans"] += cb.segs
        if sk.icsk_ca_state in (TCP_CA_CWR, TCP_CA_RECOVERY):
            sk.prr_out += cb.segs
        if skb is sk.tcp_rtx_queue[0] and sk.icsk_pending != 0:
            rearm = True
    if rearm:
        tcp_rearm_rto(sk)


def tcp_send_loss_probe(sk: "TcpSock") -> None:
    """Probe the tail: send something new, or the last packet once more (RFC 8985 §7.3)."""
    if sk.tlp_high_seq:
        tcp_rearm_rto(sk)  # One at a time.
        return
    sk.tlp_retrans = False
    mss = tcp_current_mss(sk)
    mib = sk.net.mib
    if sk.sk_write_queue and not before(tcp_wnd_end(sk), sk.sk_write_queue[0].cb.end_seq):
        before_out = sk.packets_out
        tcp_write_xmit(sk, mss, 4, 2)
        if sk.packets_out > before_out:
            sk.tlp_high_seq = sk.snd_nxt
            mib["TcpExt:TCPLossProbes"] += 1
            sk.icsk_pending = 0
            tcp_rearm_rto(sk)
            return
    if not sk.tcp_rtx_queue:
        inet_csk_clear_xmit_timer(sk)
        return
    skb = sk.tcp_rtx_queue[-1]
    if not skb_still_in_host_queue(sk, skb):
        cb: TcpSkbCb = skb.cb
        if cb.segs > 1 and skb.len > (cb.segs - 1) * mss:  # Its segments may have been shorter.
            try:
                skb = tcp_fragment(sk, sk.tcp_rtx_queue, len(sk.tcp_rtx_queue) - 1, (cb.segs - 1) * mss, mss)
            except OSError:
                tcp_rearm_rto(sk)
                return
        if not __tcp_retransmit_skb(sk, skb, 1):
            sk.tlp_retrans = True
            sk.tlp_high_seq = sk.snd_nxt
            mib["TcpExt:TCPLossProbes"] += 1
            sk.icsk_pending = 0  # The timer starts anew.
    tcp_rearm_rto(sk)


def tcp_simple_retransmit(sk: "TcpSock") -> None:
    """Send at once what is too long for the way, after its MTU was learned (RFC 1191 §6.5): no sign of congestion."""
    mss = tcp_current_mss(sk)
    for skb in sk.tcp_rtx_queue:
        cb: TcpSkbCb = skb.cb
        segment = skb.gso_size or skb.len
        if segment > mss and not cb.sacked & TCPCB_SACKED_ACKED:
            if cb.sacked & TCPCB_SACKED_RETRANS:
                cb.sacked &= ~TCPCB_SACKED_RETRANS
                sk.retrans_out -= cb.segs
            if not cb.sacked & TCPCB_LOST:
                cb.sacked |= TCPCB_LOST
                sk.lost_out += cb.segs
    if not sk.lost_out:
        return
    if sk.icsk_ca_state not in (TCP_CA_RECOVERY, TCP_CA_LOSS):
        from .tcp_input_recovery import tcp_enter_simple_recovery  # It is built on this module.

        tcp_enter_simple_recovery(sk)
    tcp_xmit_retransmit_queue(sk)

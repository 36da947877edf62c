"""TIME_WAIT (Linux: net/ipv4/tcp_minisocks.c; RFC 9293 §3.6, RFC 1337, RFC 6191)."""

from enum import Enum, auto
from typing import TYPE_CHECKING

from ..core.tcp_states import TCP_FIN_WAIT2, TCP_TIME_WAIT
from .inet_timewait_sock import (
    __inet_twsk_schedule,
    inet_twsk_alloc,
    inet_twsk_deschedule_put,
    inet_twsk_hashdance,
)
from .tcp_defs import TCP_TIMEWAIT_LEN, TCPHDR_ACK, TCPHDR_FIN, TCPHDR_RST, TCPHDR_SYN, TcpSkbCb, after, before
from .tcp_input_challenge import tcp_oow_rate_limited
from .tcp_input_options import tcp_parse_options, tcp_paws_reject
from .tcp_output_window import tcp_receive_window
from .tcp_sock import TcpOptionsReceived
from .tcp_state import tcp_done

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .inet_timewait_sock import InetTimewaitSock
    from .tcp_sock import TcpSock

__all__ = ["TwStatus", "tcp_time_wait", "tcp_timewait_state_process"]


class TwStatus(Enum):
    """What is to be done about a segment to a connection in TIME_WAIT (Linux: ``enum tcp_tw_status``)."""

    TCP_TW_SUCCESS = auto()
    TCP_TW_RST = auto()
    TCP_TW_ACK = auto()
    TCP_TW_SYN = auto()


def tcp_time_wait(sk: "TcpSock", state: int, timeo: int) -> None:
    """Let a connection wait, without its socket, until nothing of it is in the network any more.

    Parameters
    ----------
    sk : TcpSock
        The connection; its socket is done with.
    state : int
        TCP_TIME_WAIT, or TCP_FIN_WAIT2 of one that no program has: then its peer's FIN may still come.
    timeo : int
        For how many jiffies; of TIME_WAIT it is a minute.
    """
    tw = inet_twsk_alloc(sk, state)
    if tw is not None:
        tw.tw_rcv_nxt = sk.rcv_nxt
        tw.tw_snd_nxt = sk.snd_nxt
        tw.tw_rcv_wnd = tcp_receive_window(sk)
        tw.tw_rcv_wscale = sk.rx_opt.rcv_wscale
        tw.tw_ts_recent = sk.rx_opt.ts_recent
        tw.tw_ts_recent_stamp = sk.rx_opt.ts_recent_stamp if sk.rx_opt.tstamp_ok else 0
        tw.tw_ts_offset = sk.tsoffset
        tw.tw_last_oow_ack_us = sk.last_oow_ack_us
        rto = (sk.icsk_rto << 2) - (sk.icsk_rto >> 1)
        timeo = TCP_TIMEWAIT_LEN if state == TCP_TIME_WAIT else max(timeo, rto)
        tw.tw_timeout = timeo
        __inet_twsk_schedule(tw, timeo)
        inet_twsk_hashdance(tw, sk)
    else:
        sk.net.mib["TcpExt:TCPTimeWaitOverflow"] += 1
    tcp_done(sk)


def tcp_timewait_state_process(tw: "InetTimewaitSock", skb: "SkBuff") -> tuple[TwStatus, int]:
    """Look at a segment to a connection in TIME_WAIT, or in FIN-WAIT-2 without a program.

    Returns
    -------
    tuple[TwStatus, int]
        What is to be done, and for ``TCP_TW_SYN`` the first sequence number of the new connection.
    """
    net = tw.net
    cb: TcpSkbCb = skb.cb
    flags = cb.tcp_flags
    opt = TcpOptionsReceived()
    paws = False
    if cb.doff > 20 and tw.tw_ts_recent_stamp:
        tcp_parse_options(net, skb, opt, estab=False)
        if opt.saw_tstamp:
            opt.ts_recent, opt.ts_recent_stamp = tw.tw_ts_recent, tw.tw_ts_recent_stamp
            paws = tcp_paws_reject(net, opt, bool(flags & TCPHDR_RST))
    if tw.tw_substate == TCP_FIN_WAIT2:
        return _fin_wait2(tw, cb, opt, paws), 0
    # RFC 1337: an RST is ignored if the setting says so; else one that fits exactly ends the wait.
    if not paws and cb.seq == tw.tw_rcv_nxt and (cb.seq == cb.end_seq or flags & TCPHDR_RST):
        if flags & TCPHDR_RST:
            if not net.ipv4.sysctl_tcp_rfc1337:
                inet_twsk_deschedule_put(tw)
                return TwStatus.TCP_TW_SUCCESS, 0
        else:
            __inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN)
        if opt.saw_tstamp:
            tw.tw_ts_recent = opt.rcv_tsval
            tw.tw_ts_recent_stamp = net.kernel.now_ns() // 1_000_000_000 + 1
        return TwStatus.TCP_TW_SUCCESS, 0
    # RFC 6191: a SYN that is certainly new begins a new connection.
    if flags & (TCPHDR_SYN | TCPHDR_RST | TCPHDR_ACK) == TCPHDR_SYN and not paws:
        newer = opt.saw_tstamp and after(opt.rcv_tsval, tw.tw_ts_recent)
        if after(cb.seq, tw.tw_rcv_nxt) or newer:
            return TwStatus.TCP_TW_SYN, tw.tw_snd_nxt + 65535 + 2 & 0xFFFFFFFF or 1
    if paws:
        net.mib["TcpExt:PAWSTimewait"] += 1
    if flags & TCPHDR_RST:
        return TwStatus.TCP_TW_SUCCESS, 0
    if paws or flags & TCPHDR_ACK:
        __inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN)
    return _out_of_window(tw, cb), 0


def _out_of_window(tw: "InetTimewaitSock", cb: TcpSkbCb) -> TwStatus:
    """Answer what does not fit; what has no data, and so may be an answer itself, not too often."""
    if cb.seq != cb.end_seq and not cb.tcp_flags & TCPHDR_SYN:
        return TwStatus.TCP_TW_ACK
    if tcp_oow_rate_limited(tw.net, tw.tw_last_oow_ack_us, "TimeWait"):
        return TwStatus.TCP_TW_SUCCESS
    tw.tw_last_oow_ack_us = tw.net.kernel.now_ns() // 1000
    return TwStatus.TCP_TW_ACK


def _fin_wait2(tw: "InetTimewaitSock", cb: TcpSkbCb, opt: TcpOptionsReceived, paws: bool) -> TwStatus:
    """Look at a segment to one in FIN-WAIT-2: its FIN is what is waited for; data nobody would read."""
    flags = cb.tcp_flags
    end = tw.tw_rcv_nxt + tw.tw_rcv_wnd & 0xFFFFFFFF
    in_window = cb.seq == tw.tw_rcv_nxt or (not before(cb.end_seq, tw.tw_rcv_nxt) and not after(cb.seq, end))
    if paws or not in_window:
        return _out_of_window(tw, cb)
    if flags & TCPHDR_RST:
        inet_twsk_deschedule_put(tw)
        return TwStatus.TCP_TW_SUCCESS
    if flags & TCPHDR_SYN and not before(cb.seq, tw.tw_rcv_nxt):
        return TwStatus.TCP_TW_RST
    if not flags & TCPHDR_ACK or not after(cb.end_seq, tw.tw_rcv_nxt) or cb.end_seq == cb.seq:
        return TwStatus.TCP_TW_SUCCESS
    if not flags & TCPHDR_FIN or cb.end_seq != tw.tw_rcv_nxt + 1 & 0xFFFFFFFF:
        return TwStatus.TCP_TW_RST
    tw.tw_substate = TCP_TIME_WAIT
    tw.tw_rcv_nxt = cb.end_seq
    if opt.saw_tstamp:
        tw.tw_ts_recent = opt.rcv_tsval
        tw.tw_ts_recent_stamp = tw.net.kernel.now_ns() // 1_000_000_000 + 1
    __inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN)
    return TwStatus.TCP_TW_ACK

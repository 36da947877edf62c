"""Segments on their way out: options, header, checksum (Linux: net/ipv4/tcp_output.c; RFC 9293, RFC 7323, RFC 2018)."""

from struct import Struct, pack
from typing import TYPE_CHECKING

from ..core.dst import dst_metric_advmss
from ..core.platform import wake_up
from ..core.skbuff import SKB_GSO_TCP_ECN, skb_push
from ..core.skbuff_data import pskb_copy, skb_clone, skb_cloned
from ..core.timer import jiffies
from .inet_connection_sock_timer import sk_reset_timer, sk_stop_timer
from .ip_output_queue_xmit import ip_queue_xmit
from .tcp_cong import CA_EVENT_TX_START
from .tcp_defs import (
    HEADER,
    TCP_ATO_MIN,
    TCP_ECN_DEMAND_CWR,
    TCP_ECN_OK,
    TCP_ECN_QUEUE_CWR,
    TCPHDR_ACK,
    TCPHDR_CWR,
    TCPHDR_ECE,
    TCPHDR_SYN,
    TCPHDR_URG,
    TcpSkbCb,
    after,
    before,
)
from .tcp_ipv4_check import tcp_v4_send_check
from .tcp_output_window import mtu_of, tcp_select_window, tcp_sndbuf_expand, tcp_sync_mss

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = [
    "__tcp_transmit_skb",
    "tcp_current_mss",
    "tcp_established_options",
    "tcp_mstamp_refresh",
    "tcp_options_write",
    "tcp_small_queue_check",
    "tcp_time_stamp",
    "tcp_transmit_skb",
    "tcp_wfree",
]

_SACK_BLOCK = Struct("!II")
_MAX_OPTION_OCTETS = 40
_TSTAMP_ALIGNED = 12


def tcp_mstamp_refresh(sk: "TcpSock") -> None:
    """Note the time for what is done with a connection now."""
    sk.tcp_mstamp_us = sk.kernel.now_ns() // 1000


def tcp_time_stamp(sk: "TcpSock") -> int:
    """Return the time stamp for a segment that is sent now (RFC 7323 §4.1)."""
    return sk.tcp_mstamp_us // 1000 + sk.tsoffset & 0xFFFFFFFF


def tcp_options_write(
    *,
    mss: int = 0,
    tstamp: tuple[int, int] | None = None,
    sack_ok: bool = False,
    wscale: int | None = None,
    sacks: "list[tuple[int, int]] | tuple[tuple[int, int], ...]" = (),
) -> bytes:
    """Return the octets of options, padded to words as Linux orders them.

    Parameters
    ----------
    mss : int
        Longest segment to be received, of a SYN; 0: not said.
    tstamp : tuple[int, int] or None
        Time stamp and echo.
    sack_ok : bool
        Selective acknowledgements are welcome (a SYN's option).
    wscale : int or None
        How far windows are shifted (a SYN's option).
    sacks : sequence of (int, int)
        What came apart from the rest.
    """
    octets = b""
    if mss:
        octets += pack("!BBH", 2, 4, mss)
    if tstamp is not None:
        octets += (b"\x04\x02" if sack_ok else b"\x01\x01") + pack("!BBII", 8, 10, *tstamp)
    elif sack_ok:
        octets += b"\x01\x01\x04\x02"
    if wscale is not None:
        octets += bytes((1, 3, 3, wscale))
    if sacks:
        octets += bytes((1, 1, 5, 2 + 8 * len(sacks)))
        octets += b"".join(_SACK_BLOCK.pack(*block) for block in sacks)
    return octets


def tcp_established_options(sk: "TcpSock") -> tuple[int, list[tuple[int, int]]]:
    """Return how many octets of options a segment of a connection has, and the blocks among them."""
    size = _TSTAMP_ALIGNED if sk.rx_opt.tstamp_ok else 0
    blocks: list[tuple[int, int]] = []
    if sk.duplicate_sack is not None or sk.selective_acks:
        blocks = [sk.duplicate_sack] if sk.duplicate_sack is not None else []
        blocks += sk.selective_acks
        blocks = blocks[: (_MAX_OPTION_OCTETS - size - 4) // 8]
        size += 4 + 8 * len(blocks)
    return size, blocks


def tcp_current_mss(sk: "TcpSock") -> int:
    """Return how much data the next segment may have: by the way's MTU as it is now, and beside its options."""
    mss = sk.mss_cache
    rt: RTable | None = sk.sk_dst_cache  # type: ignore[assignment]  # What IPv4 set.
    if rt is not None:
        mtu = mtu_of(sk, rt)
        if mtu != sk.icsk_pmtu_cookie:
            mss = tcp_sync_mss(sk, mtu)
    size, _ = tcp_established_options(sk)
    return mss - (20 + size - sk.tcp_header_len)


def tcp_wfree(skb: "SkBuff") -> None:
    """Destroy a segment that was on its way: the socket may send more (``tcp_small_queue_check``)."""
    sk: TcpSock = skb.sk  # type: ignore[assignment]  # What __tcp_transmit_skb set.
    sk.sk_wmem_alloc -= skb.truesize
    if sk.tsq_throttled and sk.sk_wmem_alloc < sk.net.ipv4.sysctl_tcp_limit_output_bytes >> 1:
        sk.tsq_throttled = False
        sk_reset_timer(sk.tsq_timer, jiffies(sk.kernel))


def tcp_small_queue_check(sk: "TcpSock") -> bool:
    """Return whether so much waits below, in queues and devices, that more has to wait here."""
    if sk.sk_wmem_alloc > sk.net.ipv4.sysctl_tcp_limit_output_bytes and sk.tcp_rtx_queue:
        sk.tsq_throttled = True
        return True
    return False


def tcp_event_ack_sent(sk: "TcpSock", rcv_nxt: int) -> None:
    """Note that an acknowledgement went."""
    if rcv_nxt != sk.rcv_nxt:
        return  # A special one.
    if sk.ack_quick:
        sk.ack_quick -= 1
        if not sk.ack_quick:
            sk.ack_ato = TCP_ATO_MIN
    sk.ack_pending = 0
    sk_stop_timer(sk.delack_timer)


def tcp_event_data_sent(sk: "TcpSock") -> None:
    """Note that data went; what is an answer soon after data came is part of a dialogue, whose ACKs are delayed."""
    now = jiffies(sk.kernel)
    in_flight = sk.packets_out - sk.sacked_out - sk.lost_out + sk.retrans_out
    if not in_flight and sk.ca_ops.cwnd_event is not None:
        sk.ca_ops.cwnd_event(sk, CA_EVENT_TX_START)
    if now - sk.ack_lrcvtime < sk.ack_ato:
        sk.ack_pingpong = min(sk.ack_pingpong + 1, 255)
    sk.lsndtime = now


def _ecn_send(sk: "TcpSock", skb: "SkBuff", cb: TcpSkbCb) -> tuple[int, int]:
    """Return the flags and the codepoint that congestion notification has for a segment (RFC 3168 §6.1)."""
    if not sk.ecn_flags & TCP_ECN_OK or cb.tcp_flags & TCPHDR_SYN:
        return 0, 0
    flags = ect = 0
    # Only new data is marked: not acknowledgements, and not what is sent once more.
    if skb.len and not before(cb.seq, sk.snd_nxt):
        ect = 2
        if sk.ecn_flags & TCP_ECN_QUEUE_CWR:
            sk.ecn_flags &= ~TCP_ECN_QUEUE_CWR
            flags = TCPHDR_CWR
            if skb.gso_size:
                skb.gso_type |= SKB_GSO_TCP_ECN
    if sk.ecn_flags & TCP_ECN_DEMAND_CWR:
        flags |= TCPHDR_ECE
    return flags, ect


def tcp_transmit_skb(sk: "TcpSock", skb: "SkBuff", clone_it: bool) -> int:
    """Send a packet of a socket; as ``__tcp_transmit_skb``, acknowledging what has come."""
    return __tcp_transmit_skb(sk, skb, clone_it, sk.rcv_nxt)


def __tcp_transmit_skb(sk: "TcpSock", skb: "SkBuff", clone_it: bool, rcv_nxt: int) -> int:
    """Give a packet its TCP header, and hand it, or with ``clone_it`` a copy, to ``ip_queue_xmit``.

    Returns
    -------
    int
        0 or a negative errno: then it did not leave the host.
    """
    cb: TcpSkbCb = skb.cb
    original = skb if clone_it else None
    if clone_it:
        # A copy of the head if one is on its way still, whose header must stay.
        skb = pskb_copy(skb) if skb_cloned(skb) else skb_clone(skb)
    flags = cb.tcp_flags
    if flags & TCPHDR_SYN:
        options = _syn_options(sk)
        window = min(sk.rcv_wnd, 0xFFFF)
        sk.rcv_wup = sk.rcv_nxt
    else:
        _, blocks = tcp_established_options(sk)
        tstamp = (tcp_time_stamp(sk), sk.rx_opt.ts_recent) if sk.rx_opt.tstamp_ok else None
        window = tcp_select_window(sk)
        options = tcp_options_write(tstamp=tstamp, sacks=blocks)
    more, ect = _ecn_send(sk, skb, cb)
    flags |= more
    urgent = 0
    if sk.snd_up != sk.snd_una and before(cb.seq, sk.snd_up) and not flags & TCPHDR_SYN:
        if before(sk.snd_up, cb.seq + 0x10000):
            urgent = sk.snd_up - cb.seq & 0xFFFFFFFF
            flags |= TCPHDR_URG
        elif after(cb.seq + 0xFFFF, sk.snd_nxt):
            urgent = 0xFFFF
            flags |= TCPHDR_URG
    payload = skb.len
    length = 20 + len(options)
    at = skb_push(skb, length)
    skb.transport_header = at
    ack = rcv_nxt if flags & TCPHDR_ACK else 0
    HEADER.pack_into(
        skb.view, at, sk.inet_num, sk.inet_dport, cb.seq, ack, length << 2, flags, window, 0, urgent & 0xFFFF
    )
    skb.view[at + 20 : at + length] = options
    skb.sk = sk
    skb.destructor = tcp_wfree
    skb.cb = None
    sk.sk_wmem_alloc += skb.truesize
    tcp_v4_send_check(sk, skb)
    if flags & TCPHDR_ACK:
        tcp_event_ack_sent(sk, rcv_nxt)
    mib = sk.net.mib
    if payload:
        tcp_event_data_sent(sk)
    if after(cb.end_seq, sk.snd_nxt) or cb.seq == cb.end_seq:
        mib["Tcp:OutSegs"] += cb.segs
    assert sk.fl is not None
    sk.tos = sk.tos & ~3 | ect
    error = ip_queue_xmit(sk, skb, sk.fl)
    sk.tos &= ~3
    if error > 0:
        # A queue on the way dropped it, which congestion control has to learn; the timer sends it once more.
        from .tcp_input_recovery import tcp_enter_cwr  # It is built on this module.

        tcp_enter_cwr(sk)
        error = 0
    if original is not None and not error:
        tcp_update_skb_after_send(sk, cb)
    return error


def tcp_update_skb_after_send(sk: "TcpSock", cb: TcpSkbCb) -> None:
    """Note when a packet went, and how much had been delivered then."""
    cb.tx_us = sk.tcp_mstamp_us
    cb.delivered = sk.delivered
    cb.app_limited = sk.app_limited


def _syn_options(sk: "TcpSock") -> bytes:
    """Return the options of a SYN; its SYN-ACK, of a simultaneous open, has those that the peer knows."""
    opt = sk.rx_opt
    ipv4 = sk.net.ipv4
    answers = sk.syn_seen
    tstamp = opt.tstamp_ok if answers else bool(ipv4.sysctl_tcp_timestamps)
    sack_ok = opt.sack_ok if answers else bool(ipv4.sysctl_tcp_sack)
    wscale_ok = opt.wscale_ok if answers else bool(ipv4.sysctl_tcp_window_scaling)
    rt = sk.sk_dst_cache
    assert rt is not None
    mss = min(dst_metric_advmss(rt), sk.advmss)
    return tcp_options_write(
        mss=mss,
        tstamp=(tcp_time_stamp(sk), opt.ts_recent) if tstamp else None,
        sack_ok=sack_ok,
        wscale=opt.rcv_wscale if wscale_ok else None,
    )


def sk_stream_write_space(sk: "TcpSock") -> None:
    """Wake who waits for room to send, if there is a third of the buffer (``sk_write_space``)."""
    if sk.sk_nospace and sk.sk_sndbuf - sk.sk_wmem_queued >= sk.sk_wmem_queued >> 1:
        sk.sk_nospace = False
        wake_up(sk.kernel.platform, sk.sk_wq)


def tcp_should_expand_sndbuf(sk: "TcpSock") -> bool:
    """Return whether the buffer to send may grow: there is enough memory for all, and the network takes more."""
    memory = sk.sk_memory
    assert memory is not None
    return (
        not memory.memory_pressure
        and memory.memory_allocated < memory.sysctl_mem[0]
        and sk.packets_out - sk.sacked_out - sk.lost_out + sk.retrans_out < sk.snd_cwnd
    )


def tcp_check_space(sk: "TcpSock") -> None:
    """See whether there is room to send again."""
    if sk.sk_nospace:
        if tcp_should_expand_sndbuf(sk):
            tcp_sndbuf_expand(sk)
        sk_stream_write_space(sk)

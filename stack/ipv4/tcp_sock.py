"""Sockets of TCP: what a connection keeps (Linux: include/linux/tcp.h, include/net/inet_connection_sock.h)."""

from collections import deque
from typing import TYPE_CHECKING, Any

from ..core.timer import TimerList
from .inet_connection_sock import InetConnectionSock
from .tcp_defs import TCP_INIT_CWND, TCP_MSS_DEFAULT, TCP_TIMEOUT_INIT

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..core.sock import Proto
    from .flow import Flowi4
    from .route import RTable
    from .tcp_cong import TcpCongestionOps

__all__ = ["TcpOptionsReceived", "TcpSock"]

TCP_INFINITE_SSTHRESH = 0x7FFFFFFF


class TcpOptionsReceived:
    """Options of a segment, and of a connection (Linux: ``struct tcp_options_received``).

    Members
    -------
    saw_tstamp : bool
        The last segment had a time stamp: ``rcv_tsval`` and ``rcv_tsecr``.
    ts_recent, ts_recent_stamp : int
        The time stamp to echo, and when it came, in s; 0: never.
    tstamp_ok, wscale_ok, sack_ok : bool
        Both sides have said that they can.
    snd_wscale, rcv_wscale : int
        How far windows are shifted: the peer's, ours.
    mss_clamp, mss_seen, user_mss : int
        Longest segment that the peer takes; what its SYN said of that; what the program wants at most, or 0.
    sacks : list[tuple[int, int]]
        What the last segment acknowledged apart from the rest (RFC 2018).
    """

    __slots__ = (
        "mss_clamp",
        "mss_seen",
        "rcv_tsecr",
        "rcv_tsval",
        "rcv_wscale",
        "sack_ok",
        "sacks",
        "saw_tstamp",
        "snd_wscale",
        "ts_recent",
        "ts_recent_stamp",
        "tstamp_ok",
        "user_mss",
        "wscale_ok",
    )

    def __init__(self) -> None:
        self.saw_tstamp = self.tstamp_ok = self.wscale_ok = self.sack_ok = False
        self.rcv_tsval = self.rcv_tsecr = self.ts_recent = self.ts_recent_stamp = 0
        self.snd_wscale = self.rcv_wscale = 0
        self.mss_clamp = self.mss_seen = self.user_mss = 0
        self.sacks: list[tuple[int, int]] = []


class TcpSock(InetConnectionSock):
    """A TCP socket (Linux: ``struct tcp_sock``). Times that end in ``_us`` are in µs, others in jiffies.

    Members
    -------
    rcv_nxt, copied_seq, rcv_wup : int
        What is expected next; what the program reads next; ``rcv_nxt`` when a window was told last.
    rcv_wnd, window_clamp, rcv_ssthresh : int
        The window told, its largest size, and how far it may grow now.
    snd_una, snd_nxt, write_seq, snd_wnd, snd_wl1 : int
        As RFC 9293 §3.3.1 has them; ``write_seq`` is behind what the program has written.
    snd_sml, pushed_seq : int
        End of the last short segment (Nagle), and of what was pushed.
    sk_write_queue, tcp_rtx_queue : deque[SkBuff]
        What was not sent yet; what was not acknowledged yet.
    out_of_order_queue : list[SkBuff]
        What came too early, by sequence number.
    selective_acks, duplicate_sack : list[tuple[int, int]], tuple[int, int] or None
        What to tell the peer of those, newest first, and of what came twice (RFC 2883).
    icsk_mtup_low, icsk_mtup_high, icsk_mtup_size, icsk_mtup_stamp : int
        Between which MTUs that of the way is searched for, by a packet of which size now (0: none), and since when.
    mtu_probe_start, mtu_probe_end : int
        That packet's sequence numbers.
    packets_out, sacked_out, lost_out, retrans_out : int
        Packets sent and not acknowledged; of those, what the peer has apart, what counts as lost, and what was sent
        once more.
    icsk_ca_state : int
        ``TCP_CA_*``.
    prr_delivered, prr_out : int
        Of proportional rate reduction (RFC 6937).
    rack_* : int
        Of RACK (RFC 8985 §5).
    tlp_high_seq : int
        What was sent when the tail was probed, 0: it is not being probed (RFC 8985 §7).
    frto : bool
        Whether a timeout was spurious is being found out (RFC 5682).
    undo_marker, undo_retrans : int
        Where a recovery began that may turn out as unneeded, and how many of its packets are unconfirmed.
    tsq_flags : int
        ``TCPF_*_DEFERRED``: what waits for the lock.
    """

    __slots__ = (
        "ack_ato",
        "ack_last_seg_size",
        "ack_lrcvtime",
        "ack_pending",
        "ack_pingpong",
        "ack_quick",
        "ack_rcv_mss",
        "ack_timeout",
        "advmss",
        "app_limited",
        "bytes_acked",
        "bytes_received",
        "ca_ops",
        "ca_priv",
        "copied_seq",
        "cwnd_usage_seq",
        "dead",
        "defer_accept",
        "delack_timer",
        "delivered",
        "destroyed",
        "duplicate_sack",
        "ecn_flags",
        "fl",
        "frto",
        "high_seq",
        "highest_sack",
        "icsk_backoff",
        "icsk_ca_state",
        "icsk_mtup_enabled",
        "icsk_mtup_high",
        "icsk_mtup_low",
        "icsk_mtup_size",
        "icsk_mtup_stamp",
        "icsk_pending",
        "icsk_pmtu_cookie",
        "icsk_probes_out",
        "icsk_probes_tstamp",
        "icsk_retransmits",
        "icsk_rto",
        "icsk_syn_retries",
        "icsk_timeout",
        "icsk_user_timeout",
        "is_cwnd_limited",
        "keepalive_intvl",
        "keepalive_probes",
        "keepalive_time",
        "last_oow_ack_us",
        "linger2",
        "listen_opts",
        "lost_out",
        "lsndtime",
        "max_packets_out",
        "max_window",
        "min_rtt_us",
        "mss_cache",
        "mtu_probe_end",
        "mtu_probe_start",
        "nonagle",
        "out_of_order_queue",
        "packets_out",
        "parent",
        "prior_cwnd",
        "prior_ssthresh",
        "prr_delivered",
        "prr_out",
        "pushed_seq",
        "qlen",
        "rack_advanced",
        "rack_dsack_seen",
        "rack_end_seq",
        "rack_last_delivered",
        "rack_mstamp_us",
        "rack_reo_wnd_persist",
        "rack_reo_wnd_steps",
        "rack_rtt_us",
        "rcv_nxt",
        "rcv_rtt_last_tsecr",
        "rcv_rtt_seq",
        "rcv_rtt_time_us",
        "rcv_rtt_us",
        "rcv_ssthresh",
        "rcv_tstamp",
        "rcv_wnd",
        "rcv_wup",
        "rcvq_seq",
        "rcvq_space",
        "rcvq_time_us",
        "reord_seen",
        "reordering",
        "retrans_out",
        "retrans_stamp",
        "retransmit_timer",
        "rttvar_us",
        "rto_stamp_us",
        "rx_opt",
        "sacked_out",
        "selective_acks",
        "sk_err_soft",
        "sk_rx_dst",
        "sk_rx_dst_ifindex",
        "sk_timer",
        "snd_cwnd",
        "snd_cwnd_cnt",
        "snd_cwnd_stamp",
        "snd_cwnd_used",
        "snd_nxt",
        "snd_sml",
        "snd_ssthresh",
        "snd_una",
        "snd_up",
        "snd_wl1",
        "snd_wnd",
        "srtt_us",
        "syn_seen",
        "synflood_warned",
        "tcp_bind_hash",
        "tcp_header_len",
        "tcp_mstamp_us",
        "tcp_rtx_queue",
        "tlp_high_seq",
        "tlp_retrans",
        "total_retrans",
        "tsoffset",
        "tsq_flags",
        "tsq_throttled",
        "tsq_timer",
        "undo_marker",
        "undo_retrans",
        "urg_data",
        "urg_seq",
        "window_clamp",
        "write_seq",
    )

    ca_ops: "TcpCongestionOps"
    ca_priv: Any

    def __init__(self, net: "Net", family: int, type: int, protocol: int, prot: "Proto") -> None:
        super().__init__(net, family, type, protocol, prot)
        ipv4 = net.ipv4
        self.sk_sndbuf = ipv4.sysctl_tcp_wmem[1]
        self.sk_rcvbuf = ipv4.sysctl_tcp_rmem[1]
        self.fl: Flowi4 | None = None
        self.sk_rx_dst: RTable | None = None
        self.sk_rx_dst_ifindex = 0
        self.rx_opt = TcpOptionsReceived()
        self.tcp_bind_hash = self.synflood_warned = False
        self.sk_err_soft = 0  # What ICMP said last, if it may pass.
        self.destroyed = False
        self.dead = False  # No program has it any more (SOCK_DEAD).
        self.parent: TcpSock | None = None
        self.qlen = 0  # Of a listener: connections that are being made.
        self.listen_opts: dict[tuple[int, int, int, int], Any] = {}  # And those themselves.
        self.tsq_flags = 0
        # Timers; tcp_init_xmit_timers() says what they do.
        self.retransmit_timer = TimerList(self.kernel, _nothing)
        self.delack_timer = TimerList(self.kernel, _nothing)
        self.sk_timer = TimerList(self.kernel, _nothing)
        self.tsq_timer = TimerList(self.kernel, _nothing)
        # What the program has set.
        self.nonagle = 0
        self.linger2 = self.defer_accept = self.icsk_syn_retries = self.icsk_user_timeout = 0
        self.keepalive_time = self.keepalive_intvl = self.keepalive_probes = 0
        self.window_clamp = 0
        self.tcp_reset_members()

    def tcp_reset_members(self) -> None:
        """Set what belongs to one connection to what a new one starts with."""
        user_mss = self.rx_opt.user_mss
        self.rx_opt = TcpOptionsReceived()
        self.rx_opt.user_mss = user_mss
        self.tcp_rtx_queue: deque[SkBuff] = deque()
        self.out_of_order_queue: list[SkBuff] = []
        self.selective_acks: list[tuple[int, int]] = []
        self.duplicate_sack: tuple[int, int] | None = None
        self.rcv_nxt = self.copied_seq = self.rcv_wup = self.rcv_wnd = self.rcv_ssthresh = 0
        self.snd_una = self.snd_nxt = self.write_seq = self.snd_wnd = self.snd_wl1 = 0
        self.snd_sml = self.pushed_seq = self.snd_up = self.max_window = 0
        self.urg_data = self.urg_seq = 0
        self.mss_cache = self.advmss = TCP_MSS_DEFAULT
        self.tcp_header_len = 20
        self.icsk_pmtu_cookie = 0
        self.icsk_mtup_enabled = False
        self.icsk_mtup_low = self.icsk_mtup_high = self.icsk_mtup_size = self.icsk_mtup_stamp = 0
        self.mtu_probe_start = self.mtu_probe_end = 0
        self.packets_out = self.sacked_out = self.lost_out = self.retrans_out = 0
        self.snd_cwnd = TCP_INIT_CWND
        self.snd_cwnd_cnt = self.snd_cwnd_stamp = self.snd_cwnd_used = 0
        self.snd_ssthresh = TCP_INFINITE_SSTHRESH
        self.cwnd_usage_seq = self.rto_stamp_us = 0
        self.is_cwnd_limited = self.app_limited = self.frto = self.tlp_retrans = False
        self.max_packets_out = self.prior_cwnd = self.prior_ssthresh = self.prr_delivered = self.prr_out = 0
        self.high_seq = self.retrans_stamp = self.undo_marker = 0
        self.undo_retrans = -1
        self.total_retrans = self.delivered = self.bytes_acked = self.bytes_received = 0
        self.reordering: int = self.net.ipv4.sysctl_tcp_reordering
        self.reord_seen = 0
        self.icsk_ca_state = 0
        self.srtt_us = self.rttvar_us = 0
        self.icsk_rto = TCP_TIMEOUT_INIT
        self.icsk_backoff = self.icsk_retransmits = self.icsk_probes_out = self.icsk_probes_tstamp = 0
        self.icsk_pending = self.icsk_timeout = 0
        self.lsndtime = self.rcv_tstamp = 0
        self.tlp_high_seq = 0
        self.rack_mstamp_us = self.rack_end_seq = self.rack_rtt_us = self.rack_last_delivered = 0
        self.rack_reo_wnd_steps = 1
        self.rack_reo_wnd_persist = 0
        self.rack_dsack_seen = self.rack_advanced = False
        self.min_rtt_us = self.highest_sack = 0
        self.ack_pending = self.ack_quick = self.ack_pingpong = self.ack_timeout = self.ack_last_seg_size = 0
        self.ack_ato = 0  # Nothing came yet.
        self.ack_rcv_mss = TCP_MSS_DEFAULT
        self.tsq_throttled = self.syn_seen = False
        self.ack_lrcvtime = 0
        self.ecn_flags = 0
        self.tsoffset = self.tcp_mstamp_us = 0
        self.last_oow_ack_us = -(1 << 62)
        self.rcv_rtt_us = self.rcv_rtt_seq = self.rcv_rtt_time_us = self.rcv_rtt_last_tsecr = 0
        self.rcvq_seq = self.rcvq_time_us = self.rcvq_space = 0


def _nothing() -> None:
    """Stand in until the timer is told what it does."""

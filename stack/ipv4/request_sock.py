"""Connections that are being made to a listener (Linux: net/core/request_sock.c, include/linux/tcp.h)."""

from typing import TYPE_CHECKING

from ..core.tcp_states import TCP_NEW_SYN_RECV
from ..core.timer import TimerList
from .tcp_defs import TCP_TIMEOUT_INIT

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["TcpRequestSock"]


class TcpRequestSock:
    """A connection whose SYN came (Linux: ``struct tcp_request_sock``); ``rsk_timer`` repeats the SYN-ACK.

    Members
    -------
    sk_state : int
        TCP_NEW_SYN_RECV always; so that tables tell it from a socket.
    ir_* : int
        Both ends.
    rcv_isn, snt_isn : int
        The first sequence numbers, theirs and ours.
    mss : int
        Longest segment that the peer takes.
    num_timeout, num_retrans, timeout : int
        How often time was up, how often the SYN-ACK was sent again, and how long to wait next.
    acked : bool
        The peer has answered, but nobody could be given the connection (``TCP_DEFER_ACCEPT`` or a full queue).
    """

    __slots__ = (
        "acked",
        "ecn_ok",
        "ir_loc_addr",
        "ir_mark",
        "ir_num",
        "ir_opt",
        "ir_rmt_addr",
        "ir_rmt_port",
        "last_oow_ack_us",
        "mss",
        "net",
        "num_retrans",
        "num_timeout",
        "rcv_isn",
        "rcv_nxt",
        "rcv_tos",
        "rcv_wscale",
        "rsk_listener",
        "rsk_rcv_wnd",
        "rsk_timer",
        "rsk_window_clamp",
        "sack_ok",
        "sk_bound_dev_if",
        "sk_state",
        "snd_wscale",
        "snt_isn",
        "snt_synack_us",
        "timeout",
        "ts_off",
        "ts_recent",
        "tstamp_ok",
        "wscale_ok",
    )

    def __init__(self, listener: "TcpSock") -> None:
        self.net = listener.net
        self.rsk_listener = listener
        self.sk_state = TCP_NEW_SYN_RECV
        self.sk_bound_dev_if = listener.sk_bound_dev_if
        self.ir_loc_addr = self.ir_num = self.ir_rmt_addr = self.ir_rmt_port = self.ir_mark = 0
        self.ir_opt: bytes | None = None
        self.rcv_isn = self.rcv_nxt = self.snt_isn = self.mss = 0
        self.ts_recent = self.ts_off = self.snt_synack_us = 0
        self.tstamp_ok = self.sack_ok = self.wscale_ok = self.ecn_ok = self.acked = False
        self.snd_wscale = self.rcv_wscale = self.rcv_tos = 0
        self.rsk_rcv_wnd = self.rsk_window_clamp = 0
        self.num_timeout = self.num_retrans = 0
        self.timeout = TCP_TIMEOUT_INIT
        self.last_oow_ack_us = -(1 << 62)
        self.rsk_timer = TimerList(listener.kernel, _nothing)

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Return where the tables have it."""
        return self.ir_rmt_addr, self.ir_rmt_port, self.ir_loc_addr, self.ir_num


def _nothing() -> None:
    """Stand in until the timer is told what it does."""

"""Congestion control, pluggable, and Reno (Linux: net/ipv4/tcp_cong.c; RFC 5681)."""

from collections.abc import Callable
from errno import ENOENT
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.net import Net
    from .tcp_sock import TcpSock

__all__ = [
    "CA_EVENT_CWND_RESTART",
    "CA_EVENT_LOSS",
    "CA_EVENT_TX_START",
    "TCP_CA_CWR",
    "TCP_CA_DISORDER",
    "TCP_CA_LOSS",
    "TCP_CA_OPEN",
    "TCP_CA_RECOVERY",
    "TcpCongestionOps",
    "tcp_assign_congestion_control",
    "tcp_ca_find",
    "tcp_cong_avoid_ai",
    "tcp_in_slow_start",
    "tcp_init_congestion_control",
    "tcp_is_cwnd_limited",
    "tcp_register_congestion_control",
    "tcp_reno",
    "tcp_reno_cong_avoid",
    "tcp_reno_ssthresh",
    "tcp_reno_undo_cwnd",
    "tcp_set_ca_state",
    "tcp_set_congestion_control",
    "tcp_slow_start",
]

# States of a sender (Linux: enum tcp_ca_state).
TCP_CA_OPEN = 0  # Nothing strange.
TCP_CA_DISORDER = 1  # There were duplicate or selective ACKs.
TCP_CA_CWR = 2  # Congestion was notified of.
TCP_CA_RECOVERY = 3  # Something was lost, and is sent again fast.
TCP_CA_LOSS = 4  # The timer of retransmission ended.

# What congestion control is told of.
CA_EVENT_TX_START = 0
CA_EVENT_CWND_RESTART = 1
CA_EVENT_LOSS = 3

_SND_CWND_CLAMP = 0x7FFFFFFF


class TcpCongestionOps:
    """An algorithm of congestion control (Linux: ``struct tcp_congestion_ops``).

    Parameters
    ----------
    name : str
        What programs and ``net.ipv4.tcp_congestion_control`` call it.
    ssthresh : callable
        Returns the threshold of slow start after a loss.
    cong_avoid : callable
        Opens the window, on an ACK of so many packets.
    undo_cwnd : callable
        Returns the window after a loss that was none.
    new : callable or None
        Returns what a connection keeps in ``ca_priv``.
    init : callable or None
        Prepares a connection that was made.
    cwnd_event, set_state, pkts_acked : callable or None
        Learn of ``CA_EVENT_*``, of a new ``TCP_CA_*``, of so many packets acknowledged after so many µs.
    """

    __slots__ = ("cong_avoid", "cwnd_event", "init", "name", "new", "pkts_acked", "set_state", "ssthresh", "undo_cwnd")

    def __init__(
        self,
        name: str,
        *,
        ssthresh: "Callable[[TcpSock], int]",
        cong_avoid: "Callable[[TcpSock, int], None]",
        undo_cwnd: "Callable[[TcpSock], int]",
        new: "Callable[[], Any] | None" = None,
        init: "Callable[[TcpSock], None] | None" = None,
        cwnd_event: "Callable[[TcpSock, int], None] | None" = None,
        set_state: "Callable[[TcpSock, int], None] | None" = None,
        pkts_acked: "Callable[[TcpSock, int, int], None] | None" = None,
    ) -> None:
        self.name = name
        self.ssthresh = ssthresh
        self.cong_avoid = cong_avoid
        self.undo_cwnd = undo_cwnd
        self.new = new
        self.init = init
        self.cwnd_event = cwnd_event
        self.set_state = set_state
        self.pkts_acked = pkts_acked


def tcp_register_congestion_control(net: "Net", ca: TcpCongestionOps) -> None:
    """Let connections of a namespace use an algorithm."""
    net.ipv4.tcp_cong_list[ca.name] = ca


def tcp_ca_find(net: "Net", name: str) -> TcpCongestionOps:
    """Return an algorithm.

    Raises
    ------
    OSError
        ``ENOENT`` if there is none of this name.
    """
    ca: TcpCongestionOps | None = net.ipv4.tcp_cong_list.get(name)
    if ca is None:
        raise OSError(ENOENT, f"no congestion control {name!r}")
    return ca


def tcp_assign_congestion_control(sk: "TcpSock") -> None:
    """Give a socket the algorithm of its namespace."""
    tcp_set_congestion_control(sk, sk.net.ipv4.sysctl_tcp_congestion_control)


def tcp_set_congestion_control(sk: "TcpSock", name: str) -> None:
    """Give a socket an algorithm (``TCP_CONGESTION``).

    Raises
    ------
    OSError
        ``ENOENT`` if there is none of this name.
    """
    sk.ca_ops = tcp_ca_find(sk.net, name)
    sk.ca_priv = sk.ca_ops.new() if sk.ca_ops.new is not None else None


def tcp_init_congestion_control(sk: "TcpSock") -> None:
    """Begin the congestion control of a connection."""
    sk.prior_ssthresh = 0
    if sk.ca_ops.init is not None:
        sk.ca_ops.init(sk)


def tcp_set_ca_state(sk: "TcpSock", state: int) -> None:
    """Change the state of a sender, and tell its algorithm."""
    if sk.ca_ops.set_state is not None:
        sk.ca_ops.set_state(sk, state)
    sk.icsk_ca_state = state


def tcp_in_slow_start(sk: "TcpSock") -> bool:
    """Return whether the window is below the threshold of slow start."""
    return sk.snd_cwnd < sk.snd_ssthresh


def tcp_is_cwnd_limited(sk: "TcpSock") -> bool:
    """Return whether the window was what limited sending; in slow start if more than half of it was used."""
    return sk.is_cwnd_limited or (tcp_in_slow_start(sk) and sk.snd_cwnd < 2 * sk.max_packets_out)


def tcp_slow_start(sk: "TcpSock", acked: int) -> int:
    """Open the window by a packet for each that was acknowledged (RFC 5681 §3.1); return how many are left over."""
    cwnd = min(sk.snd_cwnd + acked, sk.snd_ssthresh)
    acked -= cwnd - sk.snd_cwnd
    sk.snd_cwnd = min(cwnd, _SND_CWND_CLAMP)
    return acked


def tcp_cong_avoid_ai(sk: "TcpSock", w: int, acked: int) -> None:
    """Open the window by a packet for each ``w`` that were acknowledged."""
    if sk.snd_cwnd_cnt >= w:
        sk.snd_cwnd_cnt = 0
        sk.snd_cwnd += 1
    sk.snd_cwnd_cnt += acked
    if sk.snd_cwnd_cnt >= w:
        delta = sk.snd_cwnd_cnt // w
        sk.snd_cwnd_cnt -= delta * w
        sk.snd_cwnd += delta
    sk.snd_cwnd = min(sk.snd_cwnd, _SND_CWND_CLAMP)


def tcp_reno_cong_avoid(sk: "TcpSock", acked: int) -> None:
    """Open the window: fast in slow start, then by one packet in each round trip (RFC 5681 §3.1)."""
    if not tcp_is_cwnd_limited(sk):
        return
    if tcp_in_slow_start(sk):
        acked = tcp_slow_start(sk, acked)
        if not acked:
            return
    tcp_cong_avoid_ai(sk, sk.snd_cwnd, acked)


def tcp_reno_ssthresh(sk: "TcpSock") -> int:
    """Return half the window, at least two packets (RFC 5681 §3.1, equation 4)."""
    return max(sk.snd_cwnd >> 1, 2)


def tcp_reno_undo_cwnd(sk: "TcpSock") -> int:
    """Return the window that there was before the loss."""
    return max(sk.snd_cwnd, sk.prior_cwnd)


tcp_reno = TcpCongestionOps(
    "reno", ssthresh=tcp_reno_ssthresh, cong_avoid=tcp_reno_cong_avoid, undo_cwnd=tcp_reno_undo_cwnd
)

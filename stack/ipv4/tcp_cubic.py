"""CUBIC (Linux: net/ipv4/tcp_cubic.c; RFC 9438) with the end of slow start of HyStart (Ha and Rhee, 2011).

Windows are in packets, times in µs; K and the cubic function are computed in seconds, as the RFC has them.
"""

from typing import TYPE_CHECKING

from .tcp_cong import (
    CA_EVENT_TX_START,
    TCP_CA_LOSS,
    TcpCongestionOps,
    tcp_cong_avoid_ai,
    tcp_in_slow_start,
    tcp_is_cwnd_limited,
    tcp_reno_undo_cwnd,
    tcp_slow_start,
)
from .tcp_defs import after

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["tcp_cubic"]

_C = 0.4
_BETA = 717  # Of 1024: 0.7.
_BETA_SCALE = 1024
_ALPHA = 3 * (1 - _BETA / _BETA_SCALE) / (1 + _BETA / _BETA_SCALE)  # RFC 9438 §4.3: as fast as Reno would.
_HYSTART_LOW_WINDOW = 16
_HYSTART_MIN_SAMPLES = 8
_HYSTART_ACK_DELTA_US = 2000
_HYSTART_DELAY_MIN_US, _HYSTART_DELAY_MAX_US = 4000, 16000


class Bictcp:
    """What CUBIC keeps of a connection (Linux: ``struct bictcp``).

    Members
    -------
    w_max : float
        The window before the last loss, less with fast convergence.
    epoch_start_us, k, origin : int, float, float
        When congestion avoidance began, 0: not yet; after how many s the plateau is reached, and its window.
    w_est, cwnd_prior : float, int
        What Reno's window would be; the window before the last loss.
    delay_min_us : int
        The shortest round trip that was seen; 0: none.
    round_start_us, end_seq, last_ack_us, curr_rtt_us, sample_cnt, found : int
        Of HyStart, in this round trip.
    """

    __slots__ = (
        "curr_rtt_us",
        "cwnd_prior",
        "delay_min_us",
        "end_seq",
        "epoch_start_us",
        "found",
        "k",
        "last_ack_us",
        "origin",
        "round_start_us",
        "sample_cnt",
        "w_est",
        "w_max",
    )

    def __init__(self) -> None:
        self.delay_min_us = 0
        self.reset()
        self.round_start_us = self.end_seq = self.last_ack_us = self.curr_rtt_us = self.sample_cnt = 0

    def reset(self) -> None:
        """Forget all but the round trip."""
        self.w_max = self.k = self.origin = self.w_est = 0.0
        self.epoch_start_us = self.cwnd_prior = 0
        self.found = False


def cubictcp_init(sk: "TcpSock") -> None:
    """Begin with a connection."""
    _hystart_reset(sk)


def _hystart_reset(sk: "TcpSock") -> None:
    ca: Bictcp = sk.ca_priv
    ca.round_start_us = ca.last_ack_us = sk.tcp_mstamp_us
    ca.end_seq = sk.snd_nxt
    ca.curr_rtt_us = 0
    ca.sample_cnt = 0


def cubictcp_cwnd_event(sk: "TcpSock", event: int) -> None:
    """Let time that nothing was sent in not count."""
    ca: Bictcp = sk.ca_priv
    if event == CA_EVENT_TX_START and ca.epoch_start_us and sk.lsndtime:
        idle_us = sk.tcp_mstamp_us - sk.lsndtime * 4000
        if idle_us > 0:
            ca.epoch_start_us = min(ca.epoch_start_us + idle_us, sk.tcp_mstamp_us)


def bictcp_update(sk: "TcpSock", ca: Bictcp, acked: int) -> int:
    """Return for how many acknowledged packets the window opens by one (RFC 9438 §4.2 to §4.5)."""
    cwnd = sk.snd_cwnd
    now_us = sk.tcp_mstamp_us
    if not ca.epoch_start_us:
        ca.epoch_start_us = now_us or 1
        ca.w_est = float(cwnd)
        if ca.w_max <= cwnd:
            ca.k, ca.origin = 0.0, float(cwnd)
        else:
            ca.k = ((ca.w_max - cwnd) / _C) ** (1 / 3)
            ca.origin = ca.w_max
    t = (now_us - ca.epoch_start_us + ca.delay_min_us) / 1e6
    target = min(ca.origin + _C * (t - ca.k) ** 3, 1.5 * cwnd)
    cnt = cwnd / (target - cwnd) if target > cwnd else 100.0 * cwnd
    if not ca.w_max:
        cnt = min(cnt, 20.0)  # Before the first loss: at least 5 % a round trip.
    ca.w_est += (1.0 if ca.w_est >= ca.cwnd_prior > 0 else _ALPHA) * acked / cwnd
    if ca.w_est > cwnd:  # The region where Reno would be faster.
        cnt = min(cnt, cwnd / (ca.w_est - cwnd))
    return max(int(cnt), 2)


def cubictcp_cong_avoid(sk: "TcpSock", acked: int) -> None:
    """Open the window."""
    if not tcp_is_cwnd_limited(sk):
        return
    ca: Bictcp = sk.ca_priv
    if tcp_in_slow_start(sk):
        acked = tcp_slow_start(sk, acked)
        if not acked:
            return
    tcp_cong_avoid_ai(sk, bictcp_update(sk, ca, acked), acked)


def cubictcp_recalc_ssthresh(sk: "TcpSock") -> int:
    """Return 0.7 of the window (RFC 9438 §4.6); who had less than before leaves more to others (§4.7)."""
    ca: Bictcp = sk.ca_priv
    cwnd = sk.snd_cwnd
    ca.epoch_start_us = 0
    ca.cwnd_prior = cwnd
    ca.w_max = cwnd * (_BETA_SCALE + _BETA) / (2 * _BETA_SCALE) if cwnd < ca.w_max else float(cwnd)
    return max(cwnd * _BETA // _BETA_SCALE, 2)


def cubictcp_state(sk: "TcpSock", state: int) -> None:
    """Begin anew when the timer of retransmission ended."""
    if state == TCP_CA_LOSS:
        ca: Bictcp = sk.ca_priv
        ca.reset()
        _hystart_reset(sk)


def cubictcp_acked(sk: "TcpSock", acked: int, rtt_us: int) -> None:
    """Learn the round trip, and whether slow start should end."""
    if rtt_us < 0:
        return
    ca: Bictcp = sk.ca_priv
    if ca.epoch_start_us and sk.tcp_mstamp_us - ca.epoch_start_us < 1_000_000:
        return  # Just after a recovery round trips are too long.
    delay_us = rtt_us or 1
    if not ca.delay_min_us or delay_us < ca.delay_min_us:
        ca.delay_min_us = delay_us
    if not ca.found and tcp_in_slow_start(sk) and sk.snd_cwnd >= _HYSTART_LOW_WINDOW:
        hystart_update(sk, ca, delay_us)


def hystart_update(sk: "TcpSock", ca: Bictcp, delay_us: int) -> None:
    """End slow start when ACKs of one round come for as long as half a round trip, or round trips get longer."""
    if after(sk.snd_una, ca.end_seq):
        _hystart_reset(sk)
    now_us = sk.tcp_mstamp_us
    mib = sk.net.mib
    if now_us - ca.last_ack_us <= _HYSTART_ACK_DELTA_US:
        ca.last_ack_us = now_us
        if now_us - ca.round_start_us > ca.delay_min_us >> 1:
            ca.found = True
            mib["TcpExt:TCPHystartTrainDetect"] += 1
            mib["TcpExt:TCPHystartTrainCwnd"] += sk.snd_cwnd
            sk.snd_ssthresh = sk.snd_cwnd
            return
    if not ca.curr_rtt_us or delay_us < ca.curr_rtt_us:
        ca.curr_rtt_us = delay_us
    if ca.sample_cnt < _HYSTART_MIN_SAMPLES:
        ca.sample_cnt += 1
        return
    threshold = min(max(ca.delay_min_us >> 3, _HYSTART_DELAY_MIN_US), _HYSTART_DELAY_MAX_US)
    if ca.curr_rtt_us > ca.delay_min_us + threshold:
        ca.found = True
        mib["TcpExt:TCPHystartDelayDetect"] += 1
        mib["TcpExt:TCPHystartDelayCwnd"] += sk.snd_cwnd
        sk.snd_ssthresh = sk.snd_cwnd


tcp_cubic = TcpCongestionOps(
    "cubic",
    new=Bictcp,
    init=cubictcp_init,
    ssthresh=cubictcp_recalc_ssthresh,
    cong_avoid=cubictcp_cong_avoid,
    undo_cwnd=tcp_reno_undo_cwnd,
    cwnd_event=cubictcp_cwnd_event,
    set_state=cubictcp_state,
    pkts_acked=cubictcp_acked,
)

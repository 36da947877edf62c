"""CUBIC (Linux: net/ipv4/tcp_cubic.c; RFC 9438) with the end of slow start of HyStart (Ha and Rhee, 2011).

As in Linux windows are whole packets and time goes by jiffies; K is in seconds, as the RFC has it.
"""

from typing import TYPE_CHECKING

from ..core.timer import HZ, jiffies
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
# RFC 9438 §4.3: as fast as Reno would, one packet for so many acknowledged, in eighths of the window: 1.875 windows.
_RENO_EIGHTHS = 8 * (_BETA_SCALE + _BETA) // (3 * (_BETA_SCALE - _BETA))
_UPDATE_JIFFIES = HZ // 32  # While the window stays, the function is looked at again after so long only.
_HYSTART_LOW_WINDOW = 16
_HYSTART_MIN_SAMPLES = 8
_HYSTART_ACK_DELTA_US = 2000
_HYSTART_TRAIN_OCTETS = 4 * 65536
_HYSTART_DELAY_MIN_US, _HYSTART_DELAY_MAX_US = 4000, 16000


class Bictcp:
    """What CUBIC keeps of a connection (Linux: ``struct bictcp``).

    Members
    -------
    cnt : int
        For how many acknowledged packets the window opens by one.
    last_max_cwnd : int
        The window before the last loss, less with fast convergence; 0: nothing was lost yet.
    last_cwnd, last_time : int
        For which window and at which jiffy ``cnt`` was found.
    bic_origin_point, bic_K : int, float
        The window of the plateau, and after how many s it is reached.
    epoch_start : int or None
        The jiffy at which congestion avoidance began; None: it has not.
    ack_cnt, tcp_cwnd : int
        Packets acknowledged that are not in ``tcp_cwnd`` yet, which is what Reno's window would be.
    delay_min_us : int
        The shortest round trip that was seen; 0: none.
    round_start_us, end_seq, last_ack_us, curr_rtt_us, sample_cnt, found : int
        Of HyStart, in this round trip.
    """

    __slots__ = (
        "ack_cnt",
        "bic_K",
        "bic_origin_point",
        "cnt",
        "curr_rtt_us",
        "delay_min_us",
        "end_seq",
        "epoch_start",
        "found",
        "last_ack_us",
        "last_cwnd",
        "last_max_cwnd",
        "last_time",
        "round_start_us",
        "sample_cnt",
        "tcp_cwnd",
    )

    def __init__(self) -> None:
        self.reset()
        self.round_start_us = self.end_seq = self.last_ack_us = self.curr_rtt_us = self.sample_cnt = 0

    def reset(self) -> None:
        """Forget all of the connection so far, the round trip too (``bictcp_reset``)."""
        self.cnt = self.last_max_cwnd = self.last_cwnd = self.last_time = self.bic_origin_point = 0
        self.delay_min_us = self.ack_cnt = self.tcp_cwnd = 0
        self.bic_K = 0.0
        self.epoch_start: int | None = None
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
    if event == CA_EVENT_TX_START and ca.epoch_start is not None:
        now = jiffies(sk.kernel)
        ca.epoch_start = min(ca.epoch_start + max(now - sk.lsndtime, 0), now)


def bictcp_update(sk: "TcpSock", ca: Bictcp, acked: int) -> None:
    """Find for how many acknowledged packets the window opens by one (RFC 9438 §4.2 to §4.5)."""
    cwnd = sk.snd_cwnd
    now = jiffies(sk.kernel)
    ca.ack_cnt += acked
    if ca.last_cwnd == cwnd and now - ca.last_time <= _UPDATE_JIFFIES:
        return
    if ca.epoch_start is None or now != ca.last_time:  # The function moves once a jiffy.
        ca.last_cwnd, ca.last_time = cwnd, now
        _cubic(ca, cwnd, acked, now)
    # Where Reno would be faster, §4.3. Unlike the RFC's last rule there, Linux never goes faster than CUBIC's part.
    for_one = cwnd * _RENO_EIGHTHS >> 3
    if ca.ack_cnt > for_one:
        more = (ca.ack_cnt - 1) // for_one
        ca.ack_cnt -= more * for_one
        ca.tcp_cwnd += more
    if ca.tcp_cwnd > cwnd:
        ca.cnt = min(ca.cnt, cwnd // (ca.tcp_cwnd - cwnd))
    ca.cnt = max(ca.cnt, 2)


def _cubic(ca: Bictcp, cwnd: int, acked: int, now: int) -> None:
    """Set ``cnt`` as the cubic function of time has it."""
    if ca.epoch_start is None:
        ca.epoch_start = now
        ca.ack_cnt, ca.tcp_cwnd = acked, cwnd
        ca.bic_origin_point = max(ca.last_max_cwnd, cwnd)
        ca.bic_K = ((ca.bic_origin_point - cwnd) / _C) ** (1 / 3)
    t = (now - ca.epoch_start + -(-ca.delay_min_us * HZ // 1_000_000)) / HZ
    delta = int(_C * abs(t - ca.bic_K) ** 3)
    target = ca.bic_origin_point + (delta if t >= ca.bic_K else -delta)
    ca.cnt = cwnd // (target - cwnd) if target > cwnd else 100 * cwnd
    if not ca.last_max_cwnd:
        ca.cnt = min(ca.cnt, 20)  # Before the first loss: at least 5 % a round trip.


def cubictcp_cong_avoid(sk: "TcpSock", acked: int) -> None:
    """Open the window."""
    if not tcp_is_cwnd_limited(sk):
        return
    ca: Bictcp = sk.ca_priv
    if tcp_in_slow_start(sk):
        acked = tcp_slow_start(sk, acked)
        if not acked:
            return
    bictcp_update(sk, ca, acked)
    tcp_cong_avoid_ai(sk, ca.cnt, acked)


def cubictcp_recalc_ssthresh(sk: "TcpSock") -> int:
    """Return 0.7 of the window (RFC 9438 §4.6); who had less than before leaves more to others (§4.7)."""
    ca: Bictcp = sk.ca_priv
    cwnd = sk.snd_cwnd
    ca.epoch_start = None
    less = cwnd < ca.last_max_cwnd
    ca.last_max_cwnd = cwnd * (_BETA_SCALE + _BETA) // (2 * _BETA_SCALE) if less else cwnd
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
    if ca.epoch_start is not None and jiffies(sk.kernel) - ca.epoch_start < HZ:
        return  # Just after a recovery round trips are too long.
    delay_us = rtt_us or 1
    if not ca.delay_min_us or delay_us < ca.delay_min_us:
        ca.delay_min_us = delay_us
    if not ca.found and tcp_in_slow_start(sk) and sk.snd_cwnd >= _HYSTART_LOW_WINDOW:
        hystart_update(sk, ca, delay_us)


def hystart_ack_delay(sk: "TcpSock") -> int:
    """Return how long, in µs, ACKs may be held to be merged: four of the longest packets at the present rate."""
    per_rtt = 2 * sk.snd_cwnd * sk.mss_cache  # In octets: slow start goes twice as fast (tcp_update_pacing_rate()).
    return min(1000, _HYSTART_TRAIN_OCTETS * (sk.srtt_us >> 3) // per_rtt)


def hystart_update(sk: "TcpSock", ca: Bictcp, delay_us: int) -> None:
    """End slow start when ACKs of one round come for as long as half a round trip, or round trips get longer."""
    if after(sk.snd_una, ca.end_seq):
        _hystart_reset(sk)
    now_us = sk.tcp_mstamp_us
    mib = sk.net.mib
    if now_us - ca.last_ack_us <= _HYSTART_ACK_DELTA_US:
        ca.last_ack_us = now_us
        if now_us - ca.round_start_us > ca.delay_min_us + hystart_ack_delay(sk) >> 1:
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

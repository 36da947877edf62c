"""Options of TCP (Linux: net/ipv4/tcp.c; tcp(7))."""

from collections.abc import Callable
from errno import EINVAL, ENOPROTOOPT
from struct import Struct
from typing import TYPE_CHECKING

from ..core.sock import PACING_UNLIMITED, lock_sock_nested, release_sock
from ..core.tcp_states import TCP_CLOSE, TCP_LISTEN, TCPF_CLOSE_WAIT, TCPF_ESTABLISHED
from ..core.timer import HZ, jiffies
from ..uapi_options import (
    SOL_TCP,
    TCP_CONGESTION,
    TCP_CORK,
    TCP_DEFER_ACCEPT,
    TCP_INFO,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_LINGER2,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_QUICKACK,
    TCP_SYNCNT,
    TCP_USER_TIMEOUT,
    TCP_WINDOW_CLAMP,
)
from .inet_connection_sock_timer import inet_csk_reset_keepalive_timer
from .ip_sockglue import ip_getsockopt, ip_setsockopt
from .tcp_cong import tcp_init_congestion_control, tcp_set_congestion_control
from .tcp_defs import (
    ICSK_ACK_NOW,
    ICSK_ACK_SCHED,
    TCP_CORK_NAGLE,
    TCP_ECN_OK,
    TCP_NAGLE_OFF,
    TCP_NAGLE_PUSH,
    TCP_RTO_MAX,
    TCP_TIMEOUT_INIT,
)
from .tcp_keepalive import (
    keepalive_intvl_when,
    keepalive_probes,
    keepalive_time_elapsed,
    keepalive_time_when,
)
from .tcp_output_write import tcp_push_pending_frames
from .tcp_recvmsg import tcp_cleanup_rbuf

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["tcp_get_info", "tcp_getsockopt", "tcp_setsockopt"]

_INT = Struct("=i")
_INFO = Struct("=8B24I4Q")
_MAX_KEEPIDLE = _MAX_KEEPINTVL = 32767
_MAX_KEEPCNT = _MAX_SYNCNT = 127
_LINGER2_MAX = 120 * HZ
_MAX_RETRIES = 255
_MAX_MSS = 32767
_CA_NAME_MAX = 16


def tcp_setsockopt(sk: "TcpSock", level: int, optname: int, octets: bytes) -> int:
    """Set an option of TCP, or of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``, ``ENOENT`` for a congestion control that there is not.
    """
    if level != SOL_TCP:
        return ip_setsockopt(sk, level, optname, octets)
    lock_sock_nested(sk)
    try:
        if optname == TCP_CONGESTION:
            _set_congestion(sk, octets)
            return 0
        if len(octets) < _INT.size:
            raise OSError(EINVAL, f"an option of TCP takes {_INT.size} octets, not {len(octets)}")
        if optname not in _SETTERS:
            raise OSError(ENOPROTOOPT, f"TCP has no option {optname} to set")
        _SETTERS[optname](sk, _INT.unpack_from(octets)[0])
    finally:
        release_sock(sk)
    return 0


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise OSError(EINVAL, f"{value} is not in {low}..{high}")
    return value


def _set_congestion(sk: "TcpSock", octets: bytes) -> None:
    if not octets:
        raise OSError(EINVAL, "no name")
    name = octets[: _CA_NAME_MAX - 1].split(b"\0")[0].decode("ascii", "replace")
    tcp_set_congestion_control(sk, name)
    if not 1 << sk.sk_state & (1 << TCP_CLOSE | 1 << TCP_LISTEN):
        tcp_init_congestion_control(sk)


def _set_nodelay(sk: "TcpSock", value: int) -> None:
    """Send short segments at once: also what waits now, but not what is corked."""
    if value:
        sk.nonagle |= TCP_NAGLE_OFF | TCP_NAGLE_PUSH
        if 1 << sk.sk_state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT):
            tcp_push_pending_frames(sk)
    else:
        sk.nonagle &= ~TCP_NAGLE_OFF


def _set_cork(sk: "TcpSock", value: int) -> None:
    if value:
        sk.nonagle |= TCP_CORK_NAGLE
    else:
        sk.nonagle &= ~TCP_CORK_NAGLE
        if sk.nonagle & TCP_NAGLE_OFF:
            sk.nonagle |= TCP_NAGLE_PUSH
        if 1 << sk.sk_state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT):
            tcp_push_pending_frames(sk)


def _set_maxseg(sk: "TcpSock", value: int) -> None:
    if value:
        _within(value, 88, _MAX_MSS)
    sk.rx_opt.user_mss = value


def _set_keepidle(sk: "TcpSock", value: int) -> None:
    sk.keepalive_time = _within(value, 1, _MAX_KEEPIDLE) * HZ
    if sk.sk_timer.timer is not None and sk.sk_state != TCP_LISTEN:
        elapsed = keepalive_time_elapsed(sk)
        inet_csk_reset_keepalive_timer(sk, max(sk.keepalive_time - elapsed, 0))


def _set_keepintvl(sk: "TcpSock", value: int) -> None:
    sk.keepalive_intvl = _within(value, 1, _MAX_KEEPINTVL) * HZ


def _set_keepcnt(sk: "TcpSock", value: int) -> None:
    sk.keepalive_probes = _within(value, 1, _MAX_KEEPCNT)


def _set_syncnt(sk: "TcpSock", value: int) -> None:
    sk.icsk_syn_retries = _within(value, 1, _MAX_SYNCNT)


def _set_linger2(sk: "TcpSock", value: int) -> None:
    sk.linger2 = -1 if value < 0 else min(value * HZ, _LINGER2_MAX)


def _set_defer_accept(sk: "TcpSock", value: int) -> None:
    """Turn seconds into how often a SYN-ACK is sent in that time, doubling (``secs_to_retrans``)."""
    retries, period, timeout = 0, 0, TCP_TIMEOUT_INIT // HZ
    if value > 0:
        retries, period = 1, timeout
        while value > period and retries < _MAX_RETRIES:
            retries += 1
            timeout = min(timeout << 1, TCP_RTO_MAX // HZ)
            period += timeout
    sk.defer_accept = retries


def _set_window_clamp(sk: "TcpSock", value: int) -> None:
    if not value:
        if sk.sk_state != TCP_CLOSE:
            raise OSError(EINVAL, "a window that is in use stays limited")
        sk.window_clamp = 0
    else:
        sk.window_clamp = max(value, 1152)
        if sk.sk_state != TCP_CLOSE:
            sk.rcv_ssthresh = min(sk.rcv_wnd, sk.window_clamp)


def _set_quickack(sk: "TcpSock", value: int) -> None:
    if not value:
        sk.ack_pingpong = 3
        return
    sk.ack_pingpong = 0
    if 1 << sk.sk_state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT) and sk.ack_pending & ICSK_ACK_SCHED:
        sk.ack_pending |= ICSK_ACK_NOW
        sk.ack_quick = max(sk.ack_quick, 1)
        tcp_cleanup_rbuf(sk, 1)
        if not value & 1:
            sk.ack_pingpong = 3


def _set_user_timeout(sk: "TcpSock", value: int) -> None:
    if value < 0:
        raise OSError(EINVAL, "less than no time")
    sk.icsk_user_timeout = -(-value * HZ // 1000)


_SETTERS: "dict[int, Callable[[TcpSock, int], None]]" = {
    TCP_NODELAY: _set_nodelay,
    TCP_MAXSEG: _set_maxseg,
    TCP_CORK: _set_cork,
    TCP_KEEPIDLE: _set_keepidle,
    TCP_KEEPINTVL: _set_keepintvl,
    TCP_KEEPCNT: _set_keepcnt,
    TCP_SYNCNT: _set_syncnt,
    TCP_LINGER2: _set_linger2,
    TCP_DEFER_ACCEPT: _set_defer_accept,
    TCP_WINDOW_CLAMP: _set_window_clamp,
    TCP_QUICKACK: _set_quickack,
    TCP_USER_TIMEOUT: _set_user_timeout,
}


def tcp_getsockopt(sk: "TcpSock", level: int, optname: int) -> int | bytes:
    """Return an option of TCP, or of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``.
    """
    if level != SOL_TCP:
        return ip_getsockopt(sk, level, optname)
    if optname not in _GETTERS:
        raise OSError(ENOPROTOOPT, f"TCP has no option {optname} to read")
    return _GETTERS[optname](sk)


def _get_nodelay(sk: "TcpSock") -> int:
    return int(sk.nonagle & TCP_NAGLE_OFF != 0)


def _get_cork(sk: "TcpSock") -> int:
    return int(sk.nonagle & TCP_CORK_NAGLE != 0)


def _get_maxseg(sk: "TcpSock") -> int:
    if sk.rx_opt.user_mss and 1 << sk.sk_state & (1 << TCP_CLOSE | 1 << TCP_LISTEN):
        return sk.rx_opt.user_mss
    return sk.mss_cache


def _get_keepidle(sk: "TcpSock") -> int:
    return keepalive_time_when(sk) // HZ


def _get_keepintvl(sk: "TcpSock") -> int:
    return keepalive_intvl_when(sk) // HZ


def _get_keepcnt(sk: "TcpSock") -> int:
    return keepalive_probes(sk)


def _get_syncnt(sk: "TcpSock") -> int:
    return sk.icsk_syn_retries or sk.net.ipv4.sysctl_tcp_syn_retries


def _get_linger2(sk: "TcpSock") -> int:
    return (sk.linger2 or sk.net.ipv4.sysctl_tcp_fin_timeout) // HZ if sk.linger2 >= 0 else -1


def _get_defer_accept(sk: "TcpSock") -> int:
    period, timeout = 0, TCP_TIMEOUT_INIT // HZ
    for number in range(sk.defer_accept):
        if number:
            timeout = min(timeout << 1, TCP_RTO_MAX // HZ)
        period += timeout
    return period


def _get_window_clamp(sk: "TcpSock") -> int:
    return sk.window_clamp


def _get_quickack(sk: "TcpSock") -> int:
    return int(not sk.ack_pingpong)


def _get_congestion(sk: "TcpSock") -> bytes:
    return sk.ca_ops.name.encode().ljust(_CA_NAME_MAX, b"\0")


def _get_user_timeout(sk: "TcpSock") -> int:
    return sk.icsk_user_timeout * 1000 // HZ


def tcp_get_info(sk: "TcpSock") -> bytes:
    """Return the first 136 octets of ``struct tcp_info``, up to the number of octets received."""
    opt = sk.rx_opt
    options = (
        (1 if opt.tstamp_ok else 0)
        | (2 if opt.sack_ok else 0)
        | (4 if opt.wscale_ok else 0)
        | (8 if sk.ecn_flags & TCP_ECN_OK else 0)
    )
    now = jiffies(sk.kernel)
    listens = sk.sk_state == TCP_LISTEN
    unacked, sacked = sk.packets_out, sk.sacked_out
    if listens:
        unacked, sacked = len(sk.icsk_accept_queue), sk.sk_max_ack_backlog
    return _INFO.pack(
        sk.sk_state,
        sk.icsk_ca_state,
        min(sk.icsk_retransmits, 255),
        min(sk.icsk_probes_out, 255),
        min(sk.icsk_backoff, 255),
        options,
        opt.snd_wscale | opt.rcv_wscale << 4,
        int(sk.app_limited),
        sk.icsk_rto * 1_000_000 // HZ,
        sk.ack_ato * 1_000_000 // HZ,
        sk.mss_cache,
        sk.ack_rcv_mss,
        unacked,
        sacked,
        sk.lost_out,
        sk.retrans_out,
        0,
        (now - sk.lsndtime) * 1000 // HZ,
        0,
        (now - sk.ack_lrcvtime) * 1000 // HZ,
        (now - sk.rcv_tstamp) * 1000 // HZ,
        sk.icsk_pmtu_cookie,
        sk.rcv_ssthresh,
        sk.srtt_us >> 3,
        sk.rttvar_us >> 2,
        min(sk.snd_ssthresh, 0x7FFFFFFF),
        sk.snd_cwnd,
        sk.advmss,
        sk.reordering,
        sk.rcv_rtt_us >> 3,
        sk.rcvq_space,
        sk.total_retrans,
        PACING_UNLIMITED,
        sk.sk_max_pacing_rate,
        sk.bytes_acked,
        sk.bytes_received,
    )


_GETTERS: "dict[int, Callable[[TcpSock], int | bytes]]" = {
    TCP_NODELAY: _get_nodelay,
    TCP_MAXSEG: _get_maxseg,
    TCP_CORK: _get_cork,
    TCP_KEEPIDLE: _get_keepidle,
    TCP_KEEPINTVL: _get_keepintvl,
    TCP_KEEPCNT: _get_keepcnt,
    TCP_SYNCNT: _get_syncnt,
    TCP_LINGER2: _get_linger2,
    TCP_DEFER_ACCEPT: _get_defer_accept,
    TCP_WINDOW_CLAMP: _get_window_clamp,
    TCP_INFO: tcp_get_info,
    TCP_QUICKACK: _get_quickack,
    TCP_CONGESTION: _get_congestion,
    TCP_USER_TIMEOUT: _get_user_timeout,
}

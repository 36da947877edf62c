"""What became of a packet that was longer than others (Linux: net/ipv4/tcp_input.c; RFC 4821 §7.6)."""

from typing import TYPE_CHECKING

from ..core.timer import jiffies
from .tcp_output_window import tcp_mss_to_mtu, tcp_sync_mss
from .tcp_output_write import tcp_current_ssthresh

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["tcp_mtup_probe_failed", "tcp_mtup_probe_success"]


def tcp_mtup_probe_failed(sk: "TcpSock") -> None:
    """Search below a probe that was lost."""
    sk.icsk_mtup_high = sk.icsk_mtup_size - 1
    sk.icsk_mtup_size = 0
    sk.net.mib["TcpExt:TCPMTUPFail"] += 1


def tcp_mtup_probe_success(sk: "TcpSock") -> None:
    """Send packets as long as a probe that arrived, and search above it; the window stays the same in octets."""
    sk.prior_ssthresh = tcp_current_ssthresh(sk)
    sk.snd_cwnd = max(sk.snd_cwnd * tcp_mss_to_mtu(sk, sk.mss_cache) // sk.icsk_mtup_size, 1)
    sk.snd_cwnd_cnt = 0
    sk.snd_cwnd_stamp = jiffies(sk.kernel)
    sk.snd_ssthresh = tcp_current_ssthresh(sk)
    sk.icsk_mtup_low = sk.icsk_mtup_size
    sk.icsk_mtup_size = 0
    tcp_sync_mss(sk, sk.icsk_pmtu_cookie)
    sk.net.mib["TcpExt:TCPMTUPSuccess"] += 1

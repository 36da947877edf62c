"""Which window and which segment size to tell and to use (Linux: net/ipv4/tcp_output.c; RFC 9293 §3.7.1, §3.8.6)."""

from typing import TYPE_CHECKING

from ..core.dst import dst_mtu
from ..core.timer import jiffies
from ..uapi import IP_PMTUDISC_DO
from .tcp_defs import MAX_TCP_WINDOW, TCP_INIT_CWND, TCP_MAX_WSCALE, TCP_MIN_MSS, before
from .tcp_memory import tcp_under_memory_pressure

if TYPE_CHECKING:
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = [
    "__tcp_select_window",
    "mtu_of",
    "mtup_search_high",
    "tcp_acceptable_seq",
    "tcp_adjust_rcv_ssthresh",
    "tcp_full_space",
    "tcp_initialize_rcv_mss",
    "tcp_mss_to_mtu",
    "tcp_mtu_to_mss",
    "tcp_mtup_init",
    "tcp_receive_window",
    "tcp_select_initial_window",
    "tcp_select_window",
    "tcp_sndbuf_expand",
    "tcp_space",
    "tcp_sync_mss",
    "tcp_win_from_space",
    "tcp_wnd_end",
]

_HEADERS = 40  # Of IPv4 and TCP, without options.


def tcp_win_from_space(sk: "TcpSock", space: int) -> int:
    """Return how much of some memory is window; the rest is what packets take besides (``tcp_adv_win_scale``)."""
    scale: int = sk.net.ipv4.sysctl_tcp_adv_win_scale
    return space >> -scale if scale <= 0 else space - (space >> scale)


def tcp_space(sk: "TcpSock") -> int:
    """Return how much more there is room for."""
    return tcp_win_from_space(sk, sk.sk_rcvbuf - sk.sk_backlog_len - sk.sk_rmem_alloc)


def tcp_full_space(sk: "TcpSock") -> int:
    """Return how much there is room for in all."""
    return tcp_win_from_space(sk, sk.sk_rcvbuf)


def tcp_receive_window(sk: "TcpSock") -> int:
    """Return how much of the window that was told is left."""
    left = sk.rcv_wup + sk.rcv_wnd - sk.rcv_nxt & 0xFFFFFFFF
    return 0 if left > 0x7FFFFFFF else left


def tcp_select_initial_window(sk: "TcpSock", space: int, mss: int, wscale_ok: bool) -> tuple[int, int, int]:
    """Return the first window to tell, its largest size, and how far windows are shifted (RFC 7323 §2.2)."""
    clamp = sk.window_clamp or 0xFFFF << TCP_MAX_WSCALE
    space = min(clamp, max(space, 0))
    if space > mss:
        space = space // mss * mss
    rcv_wnd = min(space, MAX_TCP_WINDOW) if sk.net.ipv4.sysctl_tcp_workaround_signed_windows else min(space, 0xFFFF)
    wscale = 0
    if wscale_ok:
        most = min(max(space, sk.net.ipv4.sysctl_tcp_rmem[2], sk.net.ipv4.sysctl_rmem_max), clamp)
        wscale = min(max(most.bit_length() - 16, 0), TCP_MAX_WSCALE)
    return rcv_wnd, min(0xFFFF << wscale, clamp), wscale


def tcp_adjust_rcv_ssthresh(sk: "TcpSock") -> None:
    """Let the window be no more than four segments, since memory is short."""
    sk.rcv_ssthresh = min(sk.rcv_ssthresh, 4 * sk.advmss)


def __tcp_select_window(sk: "TcpSock") -> int:
    """Return the window to tell: what there is room for, but none that is silly (RFC 9293 §3.8.6.2.2).

    It grows by whole segments only, and is 0 while there is room for less than one, or for less than half a buffer
    and that is not more than what memory allows.
    """
    mss = sk.ack_rcv_mss
    free_space = tcp_space(sk)
    full_space = min(sk.window_clamp, tcp_full_space(sk))
    if mss > full_space:
        mss = full_space
        if mss <= 0:
            return 0
    if free_space < full_space >> 1:
        if tcp_under_memory_pressure(sk):
            tcp_adjust_rcv_ssthresh(sk)
        allowed = max(free_space, 0)
        if sk.rx_opt.rcv_wscale:
            allowed &= -1 << sk.rx_opt.rcv_wscale
        if free_space < allowed or free_space < full_space >> 4 or free_space < mss:
            return 0
    free_space = min(free_space, sk.rcv_ssthresh)
    wscale = sk.rx_opt.rcv_wscale
    if wscale:
        unit = 1 << wscale
        # Rounded up: a window that is cut by the shift could never be filled.
        return free_space + unit - 1 & -unit
    window = sk.rcv_wnd
    if window <= free_space - mss or window > free_space:
        return free_space // mss * mss
    if mss == full_space and free_space > window + (full_space >> 1):
        return free_space
    return window


def tcp_select_window(sk: "TcpSock") -> int:
    """Return the number for the header's window field, and note what it promises; a window never shrinks."""
    old = sk.rcv_wnd
    current = tcp_receive_window(sk)
    new = __tcp_select_window(sk)
    mib = sk.net.mib
    wscale = sk.rx_opt.rcv_wscale
    if new < current:
        if not new:
            mib["TcpExt:TCPWantZeroWindowAdv"] += 1
        # Rounded up, since the shift cuts: what was promised is kept.
        new = current + (1 << wscale) - 1 & -1 << wscale
    sk.rcv_wnd = new
    sk.rcv_wup = sk.rcv_nxt
    if not wscale and sk.net.ipv4.sysctl_tcp_workaround_signed_windows:
        new = min(new, MAX_TCP_WINDOW)
    else:
        new = min(new, 0xFFFF << wscale)
    new >>= wscale
    if not new:
        if old:
            mib["TcpExt:TCPToZeroWindowAdv"] += 1
    elif not old:
        mib["TcpExt:TCPFromZeroWindowAdv"] += 1
    return new


def tcp_mtu_to_mss(sk: "TcpSock", pmtu: int) -> int:
    """Return how much data a segment may have on a way with this MTU, time stamps taken off."""
    mss = min(pmtu - _HEADERS - len(sk.opt), sk.rx_opt.mss_clamp or 0xFFFF)
    return max(mss, sk.net.ipv4.sysctl_tcp_min_snd_mss, 48) - (sk.tcp_header_len - 20)


def tcp_mss_to_mtu(sk: "TcpSock", mss: int) -> int:
    """Return the MTU that segments with so much data need."""
    return mss + sk.tcp_header_len + 20 + len(sk.opt)


def tcp_sync_mss(sk: "TcpSock", pmtu: int) -> int:
    """Take over the MTU of the way (RFC 1191, RFC 9293 §3.7.1), and return how much data a segment may have.

    No segment is longer than half the largest window that the peer has had: else one of them would stop all.
    """
    sk.icsk_mtup_high = min(sk.icsk_mtup_high, pmtu)
    mss = tcp_mtu_to_mss(sk, pmtu)
    if sk.max_window > 536:
        mss = min(mss, max(sk.max_window >> 1, 68 - sk.tcp_header_len))
    sk.icsk_pmtu_cookie = pmtu
    if sk.icsk_mtup_enabled:
        mss = min(mss, tcp_mtu_to_mss(sk, sk.icsk_mtup_low))
    sk.mss_cache = mss
    return mss


def mtup_search_high(sk: "TcpSock") -> int:
    """Return the MTU of the longest segments that the peer takes."""
    return (sk.rx_opt.mss_clamp or 0xFFFF) + _HEADERS


def tcp_mtup_init(sk: "TcpSock") -> None:
    """Prepare for ways that swallow long packets without a word (RFC 4821; ``tcp_mtu_probing``)."""
    sk.icsk_mtup_enabled = sk.net.ipv4.sysctl_tcp_mtu_probing > 1
    sk.icsk_mtup_high = mtup_search_high(sk)
    sk.icsk_mtup_low = tcp_mss_to_mtu(sk, sk.net.ipv4.sysctl_tcp_base_mss)
    sk.icsk_mtup_size = 0
    if sk.icsk_mtup_enabled:
        sk.icsk_mtup_stamp = jiffies(sk.kernel)


def tcp_initialize_rcv_mss(sk: "TcpSock") -> None:
    """Guess how long the peer's segments will be."""
    hint = min(sk.advmss, sk.mss_cache, sk.rcv_wnd // 2, 536)
    sk.ack_rcv_mss = max(hint, TCP_MIN_MSS)


def tcp_sndbuf_expand(sk: "TcpSock") -> None:
    """Let the buffer to send have room for twice the congestion window, unless the program chose its size."""
    if sk.sk_userlocks & 1:
        return
    per_mss = max(sk.rx_opt.mss_clamp, sk.mss_cache) + 576
    per_mss = 1 << per_mss.bit_length()
    packets = max(TCP_INIT_CWND, sk.snd_cwnd, sk.reordering + 1)
    sndbuf = 2 * packets * per_mss
    if sk.sk_sndbuf < sndbuf:
        sk.sk_sndbuf = min(sndbuf, sk.net.ipv4.sysctl_tcp_wmem[2])


def mtu_of(sk: "TcpSock", rt: "RTable") -> int:
    """Return the MTU for a socket's segments by its route."""
    return dst_mtu(rt) if sk.pmtudisc <= IP_PMTUDISC_DO else rt.dev.mtu


def tcp_wnd_end(sk: "TcpSock") -> int:
    """Return the first sequence number behind the peer's window."""
    return sk.snd_una + sk.snd_wnd & 0xFFFFFFFF


def tcp_acceptable_seq(sk: "TcpSock") -> int:
    """Return the sequence number for a segment without data: one that the peer takes even if its window shrank."""
    end = tcp_wnd_end(sk)
    return sk.snd_nxt if not before(end, sk.snd_nxt) or not sk.rx_opt.wscale_ok else end

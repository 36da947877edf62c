"""When a connection may follow one that is in TIME_WAIT (Linux: net/ipv4/tcp_ipv4.c; RFC 6191, RFC 7323 §5)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inet_timewait_sock import InetTimewaitSock
    from .tcp_sock import TcpSock

__all__ = ["tcp_twsk_unique"]

_SEQ_STEP = 65535 + 2  # Beyond any window without scaling of the old one.
_LOOPBACK = 127


def tcp_twsk_unique(sk: "TcpSock", tw: "InetTimewaitSock") -> bool:
    """Return whether a new connection can take the place of an old one; then it goes on from its numbers.

    ``tcp_tw_reuse``: 0 never; 1 if time stamps tell them apart; 2 the same, of connections inside this host only.
    """
    net = sk.net
    reuse = net.ipv4.sysctl_tcp_tw_reuse
    if reuse == 2:
        inside = _LOOPBACK in (tw.inet_rcv_saddr >> 24, tw.inet_daddr >> 24)
        reuse = int(inside or tw.sk_bound_dev_if == net.loopback_dev.ifindex)
    if not tw.tw_ts_recent_stamp or not reuse:
        return False
    if net.kernel.now_ns() // 1_000_000_000 <= tw.tw_ts_recent_stamp:
        return False
    sk.write_seq = tw.tw_snd_nxt + _SEQ_STEP & 0xFFFFFFFF or 1
    sk.rx_opt.ts_recent = tw.tw_ts_recent
    sk.rx_opt.ts_recent_stamp = tw.tw_ts_recent_stamp
    return True

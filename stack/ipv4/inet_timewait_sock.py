"""Connections in TIME_WAIT, as little of them as is needed (Linux: net/ipv4/inet_timewait_sock.c)."""

from typing import TYPE_CHECKING

from ..core.tcp_states import TCP_TIME_WAIT
from ..core.timer import TimerList, del_timer, jiffies, mod_timer

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = [
    "InetTimewaitSock",
    "__inet_twsk_schedule",
    "inet_twsk_alloc",
    "inet_twsk_deschedule_put",
    "inet_twsk_hashdance",
    "inet_twsk_kill",
]


class InetTimewaitSock:
    """What is left of a connection (Linux: ``struct tcp_timewait_sock``); its ``tw_timer`` ends it.

    Members
    -------
    sk_state : int
        TCP_TIME_WAIT always; so that tables tell it from a socket.
    tw_substate : int
        TCP_FIN_WAIT2 until the peer's FIN comes, TCP_TIME_WAIT then.
    tw_rcv_nxt, tw_snd_nxt, tw_rcv_wnd : int
        Of the connection.
    tw_ts_recent, tw_ts_recent_stamp, tw_ts_offset : int
        Its time stamps; the middle one 0 without.
    tw_last_oow_ack_us : int
        When a segment out of the window was answered last.
    """

    __slots__ = (
        "inet_daddr",
        "inet_dport",
        "inet_num",
        "inet_rcv_saddr",
        "net",
        "sk_bound_dev_if",
        "sk_mark",
        "sk_reuse",
        "sk_reuseport",
        "sk_state",
        "tw_last_oow_ack_us",
        "tw_rcv_nxt",
        "tw_rcv_wnd",
        "tw_rcv_wscale",
        "tw_snd_nxt",
        "tw_substate",
        "tw_timer",
        "tw_timeout",
        "tw_tos",
        "tw_ts_offset",
        "tw_ts_recent",
        "tw_ts_recent_stamp",
    )

    def __init__(self, sk: "TcpSock", state: int) -> None:
        self.net = sk.net
        self.sk_state = TCP_TIME_WAIT
        self.tw_substate = state
        self.inet_daddr, self.inet_dport = sk.inet_daddr, sk.inet_dport
        self.inet_rcv_saddr, self.inet_num = sk.inet_rcv_saddr, sk.inet_num
        self.sk_bound_dev_if: int = sk.sk_bound_dev_if
        self.sk_reuse: bool = sk.sk_reuse
        self.sk_reuseport: bool = sk.sk_reuseport
        self.sk_mark: int = sk.sk_mark
        self.tw_tos = sk.tos
        self.tw_rcv_nxt = self.tw_snd_nxt = self.tw_rcv_wnd = self.tw_rcv_wscale = 0
        self.tw_ts_recent = self.tw_ts_recent_stamp = self.tw_ts_offset = 0
        self.tw_last_oow_ack_us = -(1 << 62)
        self.tw_timeout = 0
        self.tw_timer = TimerList(sk.kernel, lambda: tw_timer_handler(self))


def inet_twsk_alloc(sk: "TcpSock", state: int) -> InetTimewaitSock | None:
    """Return a new one for a connection; None if there are too many (``tcp_max_tw_buckets``)."""
    hashinfo = sk.net.ipv4.tcp_hashinfo
    if hashinfo.tw_count >= sk.net.ipv4.sysctl_tcp_max_tw_buckets:
        return None
    hashinfo.tw_count += 1
    return InetTimewaitSock(sk, state)


def inet_twsk_hashdance(tw: InetTimewaitSock, sk: "TcpSock") -> None:
    """Put one into the tables in the place of its connection."""
    hashinfo = tw.net.ipv4.tcp_hashinfo
    hashinfo.ehash[sk.inet_daddr, sk.inet_dport, sk.inet_rcv_saddr, sk.inet_num] = tw
    hashinfo.bhash[tw.inet_num].owners.append(tw)


def tw_timer_handler(tw: InetTimewaitSock) -> None:
    """End one whose time is over."""
    inet_twsk_kill(tw)


def inet_twsk_kill(tw: InetTimewaitSock) -> None:
    """Take one out of the tables."""
    hashinfo = tw.net.ipv4.tcp_hashinfo
    key = (tw.inet_daddr, tw.inet_dport, tw.inet_rcv_saddr, tw.inet_num)
    if hashinfo.ehash.get(key) is tw:
        del hashinfo.ehash[key]
        hashinfo.tw_count -= 1
    bucket = hashinfo.bhash.get(tw.inet_num)
    if bucket is not None and tw in bucket.owners:
        bucket.owners.remove(tw)
        if not bucket.owners:
            del hashinfo.bhash[tw.inet_num]


def inet_twsk_deschedule_put(tw: InetTimewaitSock) -> None:
    """End one before its time."""
    del_timer(tw.tw_timer)
    inet_twsk_kill(tw)


def __inet_twsk_schedule(tw: InetTimewaitSock, timeo: int) -> None:
    """Have one end in so many jiffies from now."""
    if not tw.tw_timer.expires:
        tw.net.mib["TcpExt:TW"] += 1
    mod_timer(tw.tw_timer, jiffies(tw.net.kernel) + timeo)

"""Control messages of any socket with what it receives: time, drops, mark, priority (Linux: net/socket.c)."""

from struct import Struct
from typing import TYPE_CHECKING

from .core.msghdr import put_cmsg
from .core.sock import (
    SOCK_NO_STAMP,
    SOCK_RCVMARK,
    SOCK_RCVPRIORITY,
    SOCK_RCVTSTAMP,
    SOCK_RCVTSTAMPNS,
    SOCK_RXQ_OVFL,
    SOCK_TSTAMP_NEW,
)
from .uapi import SO_MARK, SO_PRIORITY, SOL_SOCKET
from .uapi_options import SO_RXQ_OVFL, SO_TIMESTAMP, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS, SO_TIMESTAMPNS_NEW

if TYPE_CHECKING:
    from .core.msghdr import RecvMsghdr
    from .core.skbuff import SkBuff
    from .core.sock import Sock

__all__ = ["__sock_recv_cmsgs", "__sock_recv_timestamp", "sock_recv_drops"]

_TIME = Struct("=qq")
_U32 = Struct("=I")


def __sock_recv_cmsgs(msg: "RecvMsghdr", sk: "Sock", skb: "SkBuff") -> None:
    """Tell the program what it wants to know of a packet; called if one of ``SOCK_RECV_CMSGS`` is set."""
    flags = sk.sk_flags
    sk.sk_stamp_ns = skb.tstamp_ns
    sk.sk_flags = flags & ~SOCK_NO_STAMP
    if flags & SOCK_RCVTSTAMP:
        __sock_recv_timestamp(msg, sk, skb)
    if flags & SOCK_RXQ_OVFL:
        sock_recv_drops(msg, skb)
    if flags & SOCK_RCVMARK:
        put_cmsg(msg, SOL_SOCKET, SO_MARK, _U32.pack(skb.mark))
    if flags & SOCK_RCVPRIORITY:
        put_cmsg(msg, SOL_SOCKET, SO_PRIORITY, _U32.pack(skb.priority & 0xFFFF_FFFF))


def __sock_recv_timestamp(msg: "RecvMsghdr", sk: "Sock", skb: "SkBuff") -> None:
    """Tell the program when a packet came: now, if nobody noted that when it did."""
    if not skb.tstamp_ns:
        skb.tstamp_ns = skb.kernel.now_ns()
    seconds, ns = divmod(skb.tstamp_ns, 1_000_000_000)
    new = sk.sk_flags & SOCK_TSTAMP_NEW
    if sk.sk_flags & SOCK_RCVTSTAMPNS:
        put_cmsg(msg, SOL_SOCKET, SO_TIMESTAMPNS_NEW if new else SO_TIMESTAMPNS, _TIME.pack(seconds, ns))
    else:
        put_cmsg(msg, SOL_SOCKET, SO_TIMESTAMP_NEW if new else SO_TIMESTAMP, _TIME.pack(seconds, ns // 1000))


def sock_recv_drops(msg: "RecvMsghdr", skb: "SkBuff") -> None:
    """Tell the program how many packets its socket had dropped when this one was queued, if any."""
    dropped = getattr(skb, "dropcount", 0)
    if dropped:
        put_cmsg(msg, SOL_SOCKET, SO_RXQ_OVFL, _U32.pack(dropped))

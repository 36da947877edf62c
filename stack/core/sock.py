"""Sockets as protocols see them: memory, locks, errors and routes (Linux: net/core/sock.c)."""

from collections import deque
from collections.abc import Callable
from errno import EAGAIN, EPIPE
from os import strerror
from typing import TYPE_CHECKING, Any

from .dst import dst_hold, dst_release
from .platform import WaitQueue, wake_up
from .skbuff import SkBuff, alloc_skb_with_frags

if TYPE_CHECKING:
    from .dst import DstEntry
    from .filter_check import SockFilter
    from .net import Net

__all__ = [
    "PACING_UNLIMITED",
    "RCV_SHUTDOWN",
    "SEND_SHUTDOWN",
    "SOCK_DBG",
    "SOCK_KEEPOPEN",
    "SOCK_LINGER",
    "SOCK_MIN_SNDBUF",
    "SOCK_NOFCS",
    "SOCK_NO_STAMP",
    "SOCK_PREFER_BUSY_POLL",
    "SOCK_RCVBUF_LOCK",
    "SOCK_RCVMARK",
    "SOCK_RCVPRIORITY",
    "SOCK_RCVTSTAMP",
    "SOCK_RCVTSTAMPNS",
    "SOCK_RECV_CMSGS",
    "SOCK_RXQ_OVFL",
    "SOCK_SELECT_ERR_QUEUE",
    "SOCK_SNDBUF_LOCK",
    "SOCK_TIMESTAMP",
    "SOCK_TSTAMP_NEW",
    "SOCK_URGINLINE",
    "SOCK_WIFI_STATUS",
    "Proto",
    "Sock",
    "__release_sock",
    "__sk_dst_check",
    "lock_sock_nested",
    "release_sock",
    "sk_dst_check",
    "sk_dst_reset",
    "sk_dst_set",
    "sk_wait_event",
    "skb_orphan_partial",
    "skb_set_owner_w",
    "sock_alloc_send_pskb",
    "sock_def_wakeup",
    "sock_disable_timestamp",
    "sock_enable_timestamp",
    "sock_error",
    "sock_sndtimeo",
    "sock_wait_for_wmem",
    "sock_wfree",
]

# Options in sk_flags (Linux: enum sock_flags).
SOCK_DBG = 1 << 0
SOCK_KEEPOPEN = 1 << 1
SOCK_LINGER = 1 << 2
SOCK_URGINLINE = 1 << 3
SOCK_NOFCS = 1 << 4
SOCK_SELECT_ERR_QUEUE = 1 << 5
SOCK_PREFER_BUSY_POLL = 1 << 6
SOCK_TSTAMP_NEW = 1 << 7
SOCK_WIFI_STATUS = 1 << 8
SOCK_RCVTSTAMP = 1 << 9
SOCK_RCVTSTAMPNS = 1 << 10
SOCK_RXQ_OVFL = 1 << 11
SOCK_RCVMARK = 1 << 12
SOCK_RCVPRIORITY = 1 << 13
SOCK_TIMESTAMP = 1 << 14  # It keeps the time of arrival of packets on.
SOCK_NO_STAMP = 1 << 15  # Nothing was received yet.
# With any of these a receive has more to do: sock_recv_cmsgs().
SOCK_RECV_CMSGS = SOCK_RCVTSTAMP | SOCK_RXQ_OVFL | SOCK_RCVMARK | SOCK_RCVPRIORITY | SOCK_TIMESTAMP | SOCK_NO_STAMP

SOCK_SNDBUF_LOCK = 1
SOCK_RCVBUF_LOCK = 2
PACING_UNLIMITED = (1 << 64) - 1  # As octets a second.

RCV_SHUTDOWN = 1
SEND_SHUTDOWN = 2
SOCK_MIN_SNDBUF = 4608


class Proto:
    """What a transport protocol does for its sockets (Linux: ``struct proto``).

    ``hash``, ``disconnect``, ``accept``, ``shutdown``, ``poll`` and ``no_autobind`` are of stream protocols:
    ``InetConnectionSock`` has the contract. ``backlog_rcv`` receives what came while a task held the
    lock; ``keepalive`` learns of ``SO_KEEPALIVE``.
    """

    __slots__ = (
        "accept",
        "backlog_rcv",
        "bind",
        "close",
        "connect",
        "disconnect",
        "get_port",
        "getsockopt",
        "hash",
        "ioctl",
        "keepalive",
        "name",
        "no_autobind",
        "poll",
        "recvmsg",
        "release_cb",
        "sendmsg",
        "setsockopt",
        "shutdown",
        "unhash",
    )

    def __init__(
        self,
        name: str,
        *,
        sendmsg: Callable[[Any, Any, int], int],
        recvmsg: Callable[[Any, Any, int, int], int],
        connect: Callable[[Any, Any], int],
        get_port: Callable[[Any, int], int],
        unhash: Callable[[Any], None],
        close: Callable[[Any], None],
        setsockopt: Callable[[Any, int, int, bytes], int],
        getsockopt: Callable[[Any, int, int], "int | bytes"],
        bind: Callable[[Any, Any], int] | None = None,
        ioctl: Callable[[Any, int, bytearray], None] | None = None,
        release_cb: Callable[[Any], None] | None = None,
        hash: Callable[[Any], int] | None = None,
        disconnect: Callable[[Any, int], None] | None = None,
        accept: Callable[[Any, int], Any] | None = None,
        shutdown: Callable[[Any, int], None] | None = None,
        poll: Callable[[Any], int] | None = None,
        backlog_rcv: Callable[[Any, SkBuff], None] | None = None,
        keepalive: Callable[[Any, bool], None] | None = None,
        no_autobind: bool = False,
    ) -> None:
        self.name = name
        self.sendmsg = sendmsg
        self.recvmsg = recvmsg
        self.bind = bind
        self.ioctl = ioctl
        self.connect = connect
        self.get_port = get_port
        self.unhash = unhash
        self.close = close
        self.setsockopt = setsockopt
        self.getsockopt = getsockopt
        self.release_cb = release_cb
        self.hash = hash
        self.disconnect = disconnect
        self.accept = accept
        self.shutdown = shutdown
        self.poll = poll
        self.backlog_rcv = backlog_rcv
        self.keepalive = keepalive
        self.no_autobind = no_autobind


class Sock:
    """A socket as a protocol sees it (Linux: ``struct sock``).

    Members
    -------
    sk_wmem_alloc : int
        Memory of packets on their way out, by ``truesize``; sending waits at ``sk_sndbuf``.
    sk_sndtimeo : int or None
        How long a send may wait, in ns; None: for ever.
    sk_receive_queue : deque[SkBuff]
        Packets that the program has not taken yet.
    sk_error_queue : deque[SkBuff]
        Errors that it has not taken yet (``MSG_ERRQUEUE``).
    sk_rmem_alloc : int
        Memory of received packets, by ``truesize``; more are dropped beyond ``sk_rcvbuf``.
    sk_wmem_queued : int
        Memory of what a stream has to send, or to keep until it is acknowledged; writing waits at ``sk_sndbuf``.
    sk_forward_alloc, sk_memory : int, ProtoMemory or None
        What is set apart for packets to come, and the memory of all sockets that it is out of; None: that has no limit.
    sk_rcvtimeo : int or None
        How long a receive may wait, in ns; None: for ever.
    sk_drops : int
        Number of received packets that were dropped.
    sk_err : int
        An error (positive errno) that the next call shall report.
    sk_filter, sk_filter_locked : tuple[SockFilter, ...] or None, bool
        Which packets it receives (``SO_ATTACH_FILTER``), and whether that may change no more (``SO_LOCK_FILTER``).
    sk_wq : WaitQueue
        Tasks that wait for room to send, or for something to receive.
    sk_nospace : bool
        Somebody waits there for room (``SOCK_NOSPACE``).
    sk_sleepers : int
        How many wait there for something to receive (``skwq_has_sleeper``).
    sk_owned : bool
        A task holds the lock, perhaps asleep.
    sk_backlog, sk_backlog_len : deque[SkBuff], int
        Packets that came meanwhile, and their memory, by ``truesize``.
    sk_flags : int
        ``SOCK_*`` bits: options, and what each receive has to look at (``SOCK_RECV_CMSGS``).
    sk_stamp_ns : int
        When the packet came that was received last, if that is noted (``SIOCGSTAMP``); -1: none was received.
    sk_peek_off : int
        Where the next ``MSG_PEEK`` reads (``SO_PEEK_OFF``); -1: always at the start.
    sk_cookie : int
        A number that no other socket of the host has; 0 until somebody asks.
    sk_userlocks : int
        Which buffers have a size that the program chose: ``SOCK_SNDBUF_LOCK``, ``SOCK_RCVBUF_LOCK``.
    """

    __slots__ = (
        "kernel",
        "net",
        "sk_backlog",
        "sk_backlog_len",
        "sk_bound_dev_if",
        "sk_broadcast",
        "sk_busy_poll_budget",
        "sk_cookie",
        "sk_drops",
        "sk_dst_cache",
        "sk_err",
        "sk_error_queue",
        "sk_family",
        "sk_filter",
        "sk_filter_locked",
        "sk_flags",
        "sk_forward_alloc",
        "sk_gso_max_segs",
        "sk_gso_max_size",
        "sk_incoming_cpu",
        "sk_lingertime",
        "sk_ll_usec",
        "sk_localroute",
        "sk_lock_contended",
        "sk_lock_wq",
        "sk_mark",
        "sk_max_pacing_rate",
        "sk_memory",
        "sk_no_check_tx",
        "sk_nospace",
        "sk_owned",
        "sk_peek_off",
        "sk_priority",
        "sk_prot",
        "sk_protocol",
        "sk_rcvbuf",
        "sk_rcvlowat",
        "sk_rcvtimeo",
        "sk_receive_queue",
        "sk_reuse",
        "sk_reuseport",
        "sk_rmem_alloc",
        "sk_shutdown",
        "sk_sleepers",
        "sk_sndbuf",
        "sk_sndtimeo",
        "sk_stamp_ns",
        "sk_type",
        "sk_userlocks",
        "sk_wmem_alloc",
        "sk_wmem_queued",
        "sk_wq",
    )

    sk_gso_max_segs: int
    sk_gso_max_size: int

    def __init__(self, net: "Net", family: int, type: int, protocol: int, prot: Proto) -> None:
        self.net = net
        self.kernel = net.kernel
        self.sk_family = family
        self.sk_type = type
        self.sk_protocol = protocol
        self.sk_prot = prot
        self.sk_sndbuf: int = net.ipv4.sysctl_wmem_default
        self.sk_rcvbuf: int = net.ipv4.sysctl_rmem_default
        self.sk_wmem_alloc = self.sk_rmem_alloc = self.sk_wmem_queued = self.sk_forward_alloc = 0
        self.sk_memory = net.kernel.proto_memory.get(prot.name)
        self.sk_receive_queue: deque[SkBuff] = deque()
        self.sk_error_queue: deque[SkBuff] = deque()
        self.sk_rcvtimeo: int | None = None
        self.sk_drops = self.sk_sleepers = 0
        self.sk_sndtimeo: int | None = None
        self.sk_err = 0
        self.sk_shutdown = 0
        self.sk_dst_cache: DstEntry | None = None
        self.sk_bound_dev_if: int = 0
        self.sk_mark: int = 0
        self.sk_filter: tuple[SockFilter, ...] | None = None
        self.sk_filter_locked = False
        self.sk_priority = 0
        self.sk_broadcast = False
        self.sk_localroute = False
        self.sk_no_check_tx = False
        self.sk_reuse: bool = False
        self.sk_reuseport: bool = False
        self.sk_flags = SOCK_NO_STAMP
        self.sk_stamp_ns = self.sk_peek_off = self.sk_incoming_cpu = -1
        self.sk_rcvlowat = 1
        self.sk_lingertime = self.sk_ll_usec = self.sk_busy_poll_budget = self.sk_userlocks = self.sk_cookie = 0
        self.sk_max_pacing_rate = PACING_UNLIMITED
        self.sk_wq = WaitQueue()
        self.sk_nospace = False
        self.sk_owned = False
        self.sk_backlog: deque[SkBuff] = deque()
        self.sk_backlog_len = 0
        self.sk_lock_wq = WaitQueue()
        self.sk_lock_contended = False


def sock_enable_timestamp(sk: Sock) -> None:
    """Have the host note when packets come, until this socket goes."""
    if not sk.sk_flags & SOCK_TIMESTAMP:
        sk.sk_flags |= SOCK_TIMESTAMP
        sk.kernel.netstamp_needed += 1


def sock_disable_timestamp(sk: Sock) -> None:
    """Take one ``sock_enable_timestamp`` back."""
    if sk.sk_flags & SOCK_TIMESTAMP:
        sk.sk_flags &= ~SOCK_TIMESTAMP
        sk.kernel.netstamp_needed -= 1


def lock_sock_nested(sk: Sock) -> None:
    """Take a socket's lock; wait while another task, itself asleep, holds it."""
    while sk.sk_owned:
        sk.sk_lock_contended = True
        sk.kernel.platform.wait(sk.sk_lock_wq)
    sk.sk_owned = True


def release_sock(sk: Sock) -> None:
    """Give a socket's lock back, after what was put off meanwhile."""
    if sk.sk_backlog:
        __release_sock(sk)
    if sk.sk_prot.release_cb is not None:
        sk.sk_prot.release_cb(sk)
    sk.sk_owned = False
    if sk.sk_lock_contended:
        sk.sk_lock_contended = False
        sk.kernel.platform.wake(sk.sk_lock_wq)


def __release_sock(sk: Sock) -> None:
    """Receive what came while a task held the lock, in order."""
    backlog_rcv = sk.sk_prot.backlog_rcv
    assert backlog_rcv is not None
    while sk.sk_backlog:
        backlog_rcv(sk, sk.sk_backlog.popleft())
    sk.sk_backlog_len = 0


def sk_wait_event(sk: Sock, deadline_ns: int | None, condition: Callable[[], bool]) -> None:
    """Sleep until a socket's tasks are woken or the deadline is there, the lock given back meanwhile.

    Giving it back may receive what makes the condition true: then nobody would wake the task any more.
    """
    release_sock(sk)
    if not condition():
        sk.sk_sleepers += 1
        try:
            sk.kernel.platform.wait(sk.sk_wq, deadline_ns)
        finally:
            sk.sk_sleepers -= 1
    lock_sock_nested(sk)


def sock_def_wakeup(sk: Sock) -> None:
    """Wake who waits, since the state changed (``sk_state_change``)."""
    wake_up(sk.kernel.platform, sk.sk_wq)


def sock_error(sk: Sock) -> int:
    """Return the pending error as a negative errno, and forget it."""
    error = sk.sk_err
    sk.sk_err = 0
    return -error


def sock_sndtimeo(sk: Sock, noblock: bool) -> int | None:
    """Return how long a send may wait, in ns; None: for ever."""
    return 0 if noblock else sk.sk_sndtimeo


def sock_wfree(skb: SkBuff) -> None:
    """Destroy a packet that was being sent: its memory counts no longer, and whoever waits for room may go on."""
    sk = skb.sk
    assert sk is not None
    sk.sk_wmem_alloc -= skb.truesize
    if sk.sk_nospace and sk.sk_wmem_alloc << 1 <= sk.sk_sndbuf:
        sk.sk_nospace = False
        wake_up(sk.kernel.platform, sk.sk_wq)


def skb_orphan_partial(skb: SkBuff) -> None:
    """Count a packet's memory no longer against its sender, which it still knows: it is on its way for long."""
    destructor, skb.destructor = skb.destructor, None
    if destructor is not None:
        destructor(skb)


def skb_set_owner_w(skb: SkBuff, sk: Sock) -> None:
    """Count a packet's memory against its sender until it is freed."""
    skb.sk = sk
    skb.destructor = sock_wfree
    sk.sk_wmem_alloc += skb.truesize


def sock_wait_for_wmem(sk: Sock, timeo: int | None) -> int | None:
    """Wait for room to send; return what is left of the time."""
    platform = sk.kernel.platform
    start = platform.now_ns()
    while sk.sk_wmem_alloc >= sk.sk_sndbuf and not sk.sk_err and not sk.sk_shutdown & SEND_SHUTDOWN:
        sk.sk_nospace = True
        if not platform.wait(sk.sk_wq, None if timeo is None else start + timeo):
            return 0
    return None if timeo is None else max(timeo - (platform.now_ns() - start), 0)


def sock_alloc_send_pskb(sk: Sock, header_len: int, data_len: int, noblock: bool) -> SkBuff:
    """Return a packet that counts against the socket's send buffer; wait for room there.

    Raises
    ------
    OSError
        The socket's pending error; ``EPIPE`` after a shutdown; ``EAGAIN`` if it may not wait (any longer); ``ENOMEM``.
    """
    if sk.sk_err or sk.sk_shutdown or sk.sk_wmem_alloc >= sk.sk_sndbuf:
        _sock_wait_until_writable(sk, noblock)
    skb = alloc_skb_with_frags(sk.kernel, header_len, data_len)
    skb_set_owner_w(skb, sk)
    return skb


def _sock_wait_until_writable(sk: Sock, noblock: bool) -> None:
    timeo = sock_sndtimeo(sk, noblock)
    while True:
        error = sock_error(sk)
        if error:
            raise OSError(-error, strerror(-error))
        if sk.sk_shutdown & SEND_SHUTDOWN:
            raise OSError(EPIPE, "shut down for sending")
        if sk.sk_wmem_alloc < sk.sk_sndbuf:
            return
        sk.sk_nospace = True
        if timeo == 0:
            raise OSError(EAGAIN, "the send buffer is full")
        timeo = sock_wait_for_wmem(sk, timeo)


def sk_dst_set(sk: Sock, dst: "DstEntry") -> None:
    """Keep a route for the socket's next packets."""
    dst_hold(dst)
    dst_release(sk.sk_dst_cache)
    sk.sk_dst_cache = dst


def sk_dst_reset(sk: Sock) -> None:
    """Forget the socket's route."""
    dst_release(sk.sk_dst_cache)
    sk.sk_dst_cache = None


def __sk_dst_check(sk: Sock) -> "DstEntry | None":
    """Return the route of a socket, whose lock is held, if it is still good, else forget it."""
    return sk_dst_check(sk)


def sk_dst_check(sk: Sock) -> "DstEntry | None":
    """Return the socket's route if it is still good, else forget it."""
    dst = sk.sk_dst_cache
    if dst is not None and dst.obsolete and dst.ops.check(dst) is None:
        sk_dst_reset(sk)
        return None
    return dst

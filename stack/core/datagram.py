"""Receiving datagrams: queues of sockets, waiting, and copying to the program (Linux: net/core/datagram.c, sock.c)."""

from errno import EAGAIN, EINVAL, ENOMEM
from os import strerror
from struct import Struct
from typing import TYPE_CHECKING

from ..uapi import (
    MSG_DONTWAIT,
    MSG_PEEK,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)
from ..uapi_options import POLLPRI
from ..wire.checksum import csum_add, csum_fold
from .filter import sk_filter_trim_cap
from .msghdr import Msghdr, RecvMsghdr, copy_from_iter, copy_to_iter
from .platform import wake_up
from .skbuff import SkBuff, consume_skb, skb_orphan
from .skbuff_csum import __skb_checksum_complete
from .skbuff_data import skb_checksum, skb_copy_bits, skb_runs_between
from .sock import RCV_SHUTDOWN, SEND_SHUTDOWN, SOCK_RXQ_OVFL, SOCK_SELECT_ERR_QUEUE, Sock, sock_error

if TYPE_CHECKING:
    from collections import deque

__all__ = [
    "__skb_peek_from_queue",
    "__skb_recv_datagram",
    "__skb_try_recv_datagram",
    "__skb_try_recv_from_queue",
    "__skb_wait_for_more_packets",
    "__sock_queue_rcv_skb",
    "datagram_poll",
    "skb_copy_and_csum_datagram_msg",
    "skb_copy_datagram_from_iter",
    "skb_copy_datagram_iter",
    "skb_free_datagram",
    "skb_recv_datagram",
    "skb_set_owner_r",
    "sock_def_error_report",
    "sock_def_readable",
    "sock_dequeue_err_skb",
    "sock_queue_err_skb",
    "sock_queue_rcv_skb_reason",
    "sock_rcvtimeo",
    "sock_rfree",
    "sock_writeable",
]

_TIME = Struct("=qq")  # struct timespec, struct timeval.


def sock_rcvtimeo(sk: Sock, noblock: bool) -> int | None:
    """Return how long a receive may wait, in ns; None: for ever."""
    return 0 if noblock else sk.sk_rcvtimeo


def sock_def_readable(sk: Sock) -> None:
    """Wake who waits for something to receive (``sk_data_ready``)."""
    if sk.sk_sleepers:
        wake_up(sk.kernel.platform, sk.sk_wq)


def sock_queue_err_skb(sk: Sock, skb: SkBuff) -> bool:
    """Put an error into a socket's queue, and say so; return whether there was room."""
    if sk.sk_rmem_alloc + skb.truesize >= sk.sk_rcvbuf:
        return False
    skb.sk = sk
    skb.destructor = sock_rfree
    sk.sk_rmem_alloc += skb.truesize
    sk.sk_error_queue.append(skb)
    sock_def_error_report(sk)
    return True


def sock_dequeue_err_skb(sk: Sock) -> SkBuff | None:
    """Take a socket's oldest error; the one behind it is what the next call shall report."""
    if not sk.sk_error_queue:
        return None
    skb = sk.sk_error_queue.popleft()
    sk.sk_err = sk.sk_error_queue[0].cb.errno if sk.sk_error_queue else 0
    return skb


def sock_def_error_report(sk: Sock) -> None:
    """Wake who waits, since there is an error to see."""
    if sk.sk_sleepers or sk.sk_nospace:
        wake_up(sk.kernel.platform, sk.sk_wq)


def sock_rfree(skb: SkBuff) -> None:
    """Destroy a received packet: its memory counts no longer."""
    sk = skb.sk
    assert sk is not None
    sk.sk_rmem_alloc -= skb.truesize


def skb_set_owner_r(skb: SkBuff, sk: Sock) -> None:
    """Count a packet's memory against its receiver until it is freed."""
    skb_orphan(skb)
    skb.sk = sk
    skb.destructor = sock_rfree
    sk.sk_rmem_alloc += skb.truesize


def __sock_queue_rcv_skb(sk: Sock, skb: SkBuff) -> int:
    """Queue a packet for the program; return ``-ENOMEM`` if the socket holds enough already."""
    if sk.sk_rmem_alloc >= sk.sk_rcvbuf:
        sk.sk_drops += 1
        return -ENOMEM
    skb.dev = None
    if sk.sk_flags & SOCK_RXQ_OVFL:
        skb.dropcount = sk.sk_drops
    skb_set_owner_r(skb, sk)
    sk.sk_receive_queue.append(skb)
    sock_def_readable(sk)
    return 0


def sock_queue_rcv_skb_reason(sk: Sock, skb: SkBuff) -> int:
    """Queue a packet for the program if its filter lets it pass; return 0 or a negative errno."""
    return sk_filter_trim_cap(sk, skb, 1) or __sock_queue_rcv_skb(sk, skb)


def __skb_try_recv_from_queue(sk: Sock, queue: "deque[SkBuff]", flags: int) -> SkBuff | None:
    """Take the first packet of a queue; with ``MSG_PEEK`` take a reference only."""
    if not queue:
        return None
    if flags & MSG_PEEK:
        skb = queue[0]
        skb.users += 1
        return skb
    return queue.popleft()


def __skb_peek_from_queue(queue: "deque[SkBuff]", off: int) -> tuple[SkBuff | None, int]:
    """Take a reference to the packet at ``off`` octets into a queue; return it with the place in it (``SO_PEEK_OFF``).

    A packet without octets is seen once.
    """
    for skb in queue:
        if off >= skb.len and (off or getattr(skb, "peeked", False)):
            off -= skb.len
            continue
        if not skb.len:
            skb.peeked = True
        skb.users += 1
        return skb, off
    return None, off


def __skb_try_recv_datagram(sk: Sock, flags: int) -> SkBuff | None:
    """Return a packet if there is one.

    Raises
    ------
    OSError
        The socket's pending error.
    """
    error = sock_error(sk)
    if error:
        raise OSError(-error, strerror(-error))
    return __skb_try_recv_from_queue(sk, sk.sk_receive_queue, flags)


def __skb_wait_for_more_packets(sk: Sock, timeo: int | None) -> int | None:
    """Wait for a packet, an error or the end.

    Returns
    -------
    int or None
        What is left of the time in ns; None: there is no limit. 0 may also mean that a packet is there by now.

    Raises
    ------
    EOFError
        If the socket was shut down for receiving.
    """
    if sk.sk_err:
        return timeo
    if sk.sk_shutdown & RCV_SHUTDOWN:
        raise EOFError
    platform = sk.kernel.platform
    start_ns = platform.now_ns()
    sk.sk_sleepers += 1
    try:
        platform.wait(sk.sk_wq, None if timeo is None else start_ns + timeo)
    finally:
        sk.sk_sleepers -= 1
    return None if timeo is None else max(timeo - (platform.now_ns() - start_ns), 0)


def __skb_recv_datagram(sk: Sock, flags: int) -> SkBuff | None:
    """Return the next packet, waiting for it if allowed; None if the socket was shut down for receiving.

    Raises
    ------
    OSError
        The socket's pending error; ``EAGAIN`` if it may not wait (any longer).
    """
    timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT != 0)
    while True:
        skb = __skb_try_recv_datagram(sk, flags)
        if skb is not None:
            return skb
        if timeo == 0:
            raise OSError(EAGAIN, "nothing to receive")
        try:
            timeo = __skb_wait_for_more_packets(sk, timeo)
        except EOFError:
            return None


def skb_recv_datagram(sk: Sock, flags: int) -> SkBuff | None:
    """Return the next packet; as ``__skb_recv_datagram``."""
    return __skb_recv_datagram(sk, flags)


def skb_free_datagram(sk: Sock, skb: SkBuff) -> None:
    """Free a packet that the program has."""
    consume_skb(skb)


def skb_copy_datagram_iter(skb: SkBuff, offset: int, msg: RecvMsghdr, length: int) -> None:
    """Copy ``length`` octets of a packet, from ``offset`` on, to the program."""
    if msg.iov is not None:
        for run in skb_runs_between(skb, offset, length):
            copy_to_iter(msg, run)
        return
    start = skb.data + offset
    if start + length <= skb.tail:
        msg.octets = bytes(skb.view[start : start + length])
    else:
        msg.octets = skb_copy_bits(skb, offset, length)


def skb_copy_datagram_from_iter(skb: SkBuff, offset: int, msg: Msghdr, length: int) -> None:
    """Copy the next ``length`` octets of a message over a packet's own from ``offset`` on, head and fragments."""
    head = min(skb.tail - skb.data - offset, length)
    copy_from_iter(msg, skb.view, skb.data + offset, head)
    length -= head
    for page, start, size in skb.frags:
        part = min(size, length)
        copy_from_iter(msg, page.view, start, part)
        length -= part


def skb_copy_and_csum_datagram_msg(skb: SkBuff, hlen: int, msg: RecvMsghdr) -> None:
    """Copy a packet from ``hlen`` on to the program, and check its checksum; ``skb.csum`` has that of what was pulled.

    Raises
    ------
    OSError
        ``EINVAL`` if the checksum is wrong: the program gets nothing.
    """
    chunk = skb.len - hlen
    if msg.size < chunk:
        wrong = __skb_checksum_complete(skb)
        chunk = msg.size
    else:
        wrong = csum_fold(csum_add(skb.csum, skb_checksum(skb, hlen, chunk)))
    if wrong:
        raise OSError(EINVAL, "the checksum is wrong")
    skb_copy_datagram_iter(skb, hlen, msg, chunk)


def sock_writeable(sk: Sock) -> bool:
    """Return whether there is so much room to send that it is worth waking somebody."""
    return sk.sk_wmem_alloc < sk.sk_sndbuf >> 1


def datagram_poll(sk: Sock) -> int:
    """Return what could be done with a socket now, as ``POLL*`` bits."""
    mask = 0
    if sk.sk_err or sk.sk_error_queue:
        mask |= POLLERR | POLLPRI if sk.sk_flags & SOCK_SELECT_ERR_QUEUE else POLLERR
    if sk.sk_shutdown & RCV_SHUTDOWN:
        mask |= POLLRDHUP | POLLIN | POLLRDNORM
    if sk.sk_shutdown == RCV_SHUTDOWN | SEND_SHUTDOWN:
        mask |= POLLHUP
    if sk.sk_receive_queue:
        mask |= POLLIN | POLLRDNORM
    if sock_writeable(sk):
        mask |= POLLOUT | POLLWRNORM | POLLWRBAND
    return mask

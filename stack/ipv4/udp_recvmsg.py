"""The User Datagram Protocol, receiving by programs (Linux: net/ipv4/udp.c)."""

from errno import EAGAIN, EINVAL
from os import strerror
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import (
    __skb_try_recv_from_queue,
    __skb_wait_for_more_packets,
    datagram_poll,
    skb_copy_and_csum_datagram_msg,
    skb_copy_datagram_iter,
    sock_rcvtimeo,
    sock_recv_timestamp,
)
from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import SkBuff, consume_skb, kfree_skb_reason
from ..core.skbuff_csum import __skb_checksum_complete, skb_csum_unnecessary
from ..core.sock import RCV_SHUTDOWN, sock_error
from ..uapi import AF_INET, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, POLLIN, POLLRDNORM
from .ip_recv import ip_cmsg_recv, ip_recv_error

if TYPE_CHECKING:
    from ..core.msghdr import RecvMsghdr
    from .udp import UdpSock

__all__ = ["__skb_recv_udp", "skb_consume_udp", "udp_poll", "udp_recvmsg", "udp_rmem_release"]

_PORT = Struct("!H")
_ADDRESS = Struct("!I")


def udp_rmem_release(sk: "UdpSock", size: int) -> None:
    """Count a datagram's memory no longer."""
    sk.sk_rmem_alloc -= size


def __skb_recv_udp(sk: "UdpSock", flags: int) -> SkBuff | None:
    """Return the next datagram, waiting for it if allowed; None if the socket was shut down for receiving.

    Raises
    ------
    OSError
        The socket's pending error; ``EAGAIN`` if it may not wait (any longer).
    """
    timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT != 0)
    while True:
        error = sock_error(sk)
        if error:
            raise OSError(-error, strerror(-error))
        skb = __skb_try_recv_from_queue(sk, sk.sk_receive_queue, flags)
        if skb is not None:
            if not flags & MSG_PEEK:
                udp_rmem_release(sk, skb.truesize)
            return skb
        if timeo == 0:
            raise OSError(EAGAIN, "nothing to receive")
        try:
            timeo = __skb_wait_for_more_packets(sk, timeo)
        except EOFError:
            return None


def skb_consume_udp(sk: "UdpSock", skb: SkBuff) -> None:
    """Free a datagram that the program has."""
    consume_skb(skb)


def udp_recvmsg(sk: "UdpSock", msg: "RecvMsghdr", length: int, flags: int) -> int:
    """Give the program the next datagram; what it has no room for is cut off.

    Returns
    -------
    int
        Number of octets that the program got; with ``MSG_TRUNC``, that the datagram has.

    Raises
    ------
    OSError
        As ``__skb_recv_udp``.
    """
    if flags & MSG_ERRQUEUE:
        return ip_recv_error(sk, msg, length)
    while True:
        skb = __skb_recv_udp(sk, flags)
        if skb is None:
            return 0
        ulen = skb.len
        copied = ulen
        if copied > length:
            copied = length
            msg.flags |= MSG_TRUNC
        elif copied < length:
            msg.size = copied
        if skb_csum_unnecessary(skb):
            skb_copy_datagram_iter(skb, 0, msg, copied)
            break
        if copied < ulen or flags & MSG_PEEK:
            if not __skb_checksum_complete(skb):
                skb_copy_datagram_iter(skb, 0, msg, copied)
                break
        else:
            try:
                skb_copy_and_csum_datagram_msg(skb, 0, msg)
                break
            except OSError as error:
                if error.errno != EINVAL:
                    raise
        _drop_wrong(sk, skb, flags)
        msg.flags &= ~MSG_TRUNC
    mib = sk.net.mib
    if not flags & MSG_PEEK:
        mib["Udp:InDatagrams"] += 1
    view = skb.view
    msg.name = (
        AF_INET,
        _ADDRESS.unpack_from(view, skb.network_header + 12)[0],
        _PORT.unpack_from(view, skb.transport_header)[0],
    )
    if sk.sk_rcvtstamp:
        sock_recv_timestamp(msg, sk, skb)
    if sk.pktinfo or sk.recvttl or sk.recvtos:
        ip_cmsg_recv(sk, msg, skb)
    skb_consume_udp(sk, skb)
    return ulen if flags & MSG_TRUNC else copied


def _drop_wrong(sk: "UdpSock", skb: SkBuff, flags: int) -> None:
    """Drop a datagram whose checksum turned out wrong; a peeked one leaves the queue (``__sk_queue_drop_skb``)."""
    queue = sk.sk_receive_queue
    counts = True
    if flags & MSG_PEEK:
        counts = bool(queue) and queue[0] is skb
        if counts:
            queue.popleft()
            udp_rmem_release(sk, skb.truesize)
            skb.users -= 1
    if counts:
        sk.net.mib["Udp:InCsumErrors"] += 1
        sk.net.mib["Udp:InErrors"] += 1
        sk.sk_drops += 1
    kfree_skb_reason(skb, SkbDropReason.UDP_CSUM)


def first_packet_length(sk: "UdpSock") -> bool:
    """Drop datagrams with wrong checksums from the start of the queue; return whether one is left."""
    queue = sk.sk_receive_queue
    while queue:
        skb = queue[0]
        if skb_csum_unnecessary(skb) or not __skb_checksum_complete(skb):
            return True
        queue.popleft()
        udp_rmem_release(sk, skb.truesize)
        _drop_wrong(sk, skb, 0)
    return False


def udp_poll(sk: "UdpSock") -> int:
    """Return what could be done with a socket now, as ``POLL*`` bits."""
    mask = datagram_poll(sk)
    if mask & POLLRDNORM and not sk.sk_shutdown & RCV_SHUTDOWN and not first_packet_length(sk):
        mask &= ~(POLLIN | POLLRDNORM)
    return mask

"""The User Datagram Protocol, receiving by programs (Linux: net/ipv4/udp.c)."""

from errno import EAGAIN, EINVAL
from os import strerror
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import (
    __skb_peek_from_queue,
    __skb_try_recv_from_queue,
    __skb_wait_for_more_packets,
    datagram_poll,
    skb_copy_and_csum_datagram_msg,
    skb_copy_datagram_iter,
    sock_rcvtimeo,
)
from ..core.drop_reasons import SkbDropReason
from ..core.msghdr import put_cmsg
from ..core.proto_ops import sock_no_ioctl
from ..core.skbuff import SkBuff, consume_skb, kfree_skb_reason
from ..core.skbuff_csum import __skb_checksum_complete, skb_csum_unnecessary
from ..core.sock import RCV_SHUTDOWN, SOCK_RECV_CMSGS, sock_error
from ..socket_cmsg import __sock_recv_cmsgs
from ..uapi import AF_INET, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, POLLIN, POLLRDNORM, SOL_UDP
from ..uapi_ioctl import SIOCINQ, SIOCOUTQ
from ..uapi_options import UDP_GRO
from .ip_recv import ip_cmsg_recv_offset, ip_recv_error
from .udp_memory import udp_rmem_release

if TYPE_CHECKING:
    from ..core.msghdr import RecvMsghdr
    from .udp import UdpSock

__all__ = [
    "__skb_recv_udp",
    "skb_consume_udp",
    "udp_ioctl",
    "udp_poll",
    "udp_recvmsg",
    "udp_set_peek_off",
]

_PORT = Struct("!H")
_ADDRESS = Struct("!I")
_INT = Struct("=i")


def udp_set_peek_off(sk: "UdpSock", offset: int) -> None:
    """Say where the next ``MSG_PEEK`` begins; -1: always at the start."""
    sk.sk_peek_off = offset


def __skb_recv_udp(sk: "UdpSock", flags: int, off: int) -> tuple[SkBuff | None, int]:
    """Return the next datagram, waiting for it if allowed; None if the socket was shut down for receiving.

    Parameters
    ----------
    sk : UdpSock
        The socket.
    flags : int
        ``MSG_*``.
    off : int
        With ``MSG_PEEK``, how many octets of the queue to skip (``SO_PEEK_OFF``); what is left of it is returned, too.

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
        if sk.sk_peek_off >= 0 and flags & MSG_PEEK:
            skb, off = __skb_peek_from_queue(sk.sk_receive_queue, off)
        else:
            skb = __skb_try_recv_from_queue(sk, sk.sk_receive_queue, flags)
        if skb is not None:
            if not flags & MSG_PEEK:
                udp_rmem_release(sk, skb.truesize)
            return skb, off
        if timeo == 0:
            raise OSError(EAGAIN, "nothing to receive")
        try:
            timeo = __skb_wait_for_more_packets(sk, timeo)
        except EOFError:
            return None, off


def skb_consume_udp(sk: "UdpSock", skb: SkBuff, length: int) -> None:
    """Free a datagram that the program has; peeking goes on behind (``length`` negative) or before that."""
    if sk.sk_peek_off >= 0:
        sk.sk_peek_off = max(sk.sk_peek_off - length, 0)
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
        off = max(sk.sk_peek_off, 0) if flags & MSG_PEEK else 0
        skb, off = __skb_recv_udp(sk, flags, off)
        if skb is None:
            return 0
        ulen = skb.len
        copied = ulen - off
        if copied > length:
            copied = length
            msg.flags |= MSG_TRUNC
        elif copied < length:
            msg.size = copied
        if skb_csum_unnecessary(skb):
            skb_copy_datagram_iter(skb, off, msg, copied)
            break
        if copied < ulen or flags & MSG_PEEK:
            if not __skb_checksum_complete(skb):
                skb_copy_datagram_iter(skb, off, msg, copied)
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
    if sk.sk_flags & SOCK_RECV_CMSGS:
        __sock_recv_cmsgs(msg, sk, skb)
    view = skb.view
    msg.name = (
        AF_INET,
        _ADDRESS.unpack_from(view, skb.network_header + 12)[0],
        _PORT.unpack_from(view, skb.transport_header)[0],
    )
    if sk.gro_enabled:
        udp_cmsg_recv(msg, skb)
    if sk.cmsg_flags:
        ip_cmsg_recv_offset(sk, msg, skb, off)
    result = ulen if flags & MSG_TRUNC else copied
    skb_consume_udp(sk, skb, -result if flags & MSG_PEEK else result)
    return result


def udp_cmsg_recv(msg: "RecvMsghdr", skb: SkBuff) -> None:
    """Tell the program how long the datagrams were that a device or the stack has joined (``UDP_GRO``)."""
    if skb.gso_size:
        put_cmsg(msg, SOL_UDP, UDP_GRO, _INT.pack(skb.gso_size))


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


def first_packet_length(sk: "UdpSock") -> int:
    """Drop datagrams with wrong checksums from the start of the queue; return the length of the next, -1 for none."""
    queue = sk.sk_receive_queue
    while queue:
        skb = queue[0]
        if skb_csum_unnecessary(skb) or not __skb_checksum_complete(skb):
            return skb.len
        queue.popleft()
        udp_rmem_release(sk, skb.truesize)
        _drop_wrong(sk, skb, 0)
    return -1


def udp_ioctl(sk: "UdpSock", request: int, arg: bytearray) -> None:
    """Tell how many octets wait to be sent, or the next datagram has.

    Raises
    ------
    OSError
        ``ENOTTY`` for another request.
    """
    if request == SIOCOUTQ:
        _INT.pack_into(arg, 0, sk.sk_wmem_alloc)
    elif request == SIOCINQ:
        _INT.pack_into(arg, 0, max(first_packet_length(sk), 0))
    else:
        sock_no_ioctl(sk, request, arg)


def udp_poll(sk: "UdpSock") -> int:
    """Return what could be done with a socket now, as ``POLL*`` bits."""
    mask = datagram_poll(sk)
    if mask & POLLRDNORM and not sk.sk_shutdown & RCV_SHUTDOWN and first_packet_length(sk) < 0:
        mask &= ~(POLLIN | POLLRDNORM)
    return mask

"""What comes with a received IPv4 packet: control messages, and errors with their cause (Linux: ip_sockglue.c)."""

from dataclasses import dataclass
from errno import EAGAIN
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import skb_copy_datagram_iter, sock_dequeue_err_skb, sock_queue_err_skb
from ..core.msghdr import put_cmsg
from ..core.skbuff import SkBuff, __alloc_skb, consume_skb, kfree_skb
from ..core.skbuff_data import skb_clone
from ..uapi import AF_INET, IP_PKTINFO, IP_RECVERR, IP_TOS, IP_TTL, MSG_ERRQUEUE, MSG_TRUNC, SOL_IP
from .fib_frontend import fib_compute_spec_dst

if TYPE_CHECKING:
    from ..core.msghdr import RecvMsghdr
    from .inet_sock import InetSock
    from .route import RTable

__all__ = ["SockExterrSkb", "ip_cmsg_recv", "ip_icmp_error", "ip_local_error", "ip_recv_error", "ipv4_pktinfo_prepare"]

_INT = Struct("=i")
_PKTINFO = Struct("=i4s4s")  # struct in_pktinfo: ifindex, spec_dst, addr.
_EXTENDED_ERR = Struct("=IBBBBII")  # struct sock_extended_err.
_SOCKADDR_IN = Struct("=HH4s8x")
SO_EE_ORIGIN_LOCAL, SO_EE_ORIGIN_ICMP = 1, 2
_NO_PKTINFO = (0, 0)


@dataclass(frozen=True, slots=True)
class SockExterrSkb:
    """What an skb in an error queue tells (Linux: ``struct sock_exterr_skb``).

    Members
    -------
    errno, type, code, info : int
        The error, and the ICMP message that brought it; info of an error of this host: the MTU.
    addr, port : int
        Whom the packet that caused it was sent to.
    offender : int
        Who sent the message.
    origin : int
        ``SO_EE_ORIGIN_ICMP`` or ``SO_EE_ORIGIN_LOCAL``.
    """

    errno: int
    type: int
    code: int
    info: int
    addr: int
    port: int
    offender: int
    origin: int = SO_EE_ORIGIN_ICMP


def ipv4_pktinfo_prepare(sk: "InetSock", skb: SkBuff) -> None:
    """Note what ``IP_PKTINFO`` will tell, while the packet has its route; that goes now."""
    if sk.pktinfo:
        rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
        skb.cb = _NO_PKTINFO if rt is None else (rt.iif or skb.skb_iif, fib_compute_spec_dst(skb))
    else:
        skb.cb = None
    skb.dst = None


def ip_cmsg_recv(sk: "InetSock", msg: "RecvMsghdr", skb: SkBuff) -> None:
    """Tell the program what it wants to know of a packet, as control messages."""
    view = skb.view
    at = skb.network_header
    if sk.pktinfo:
        kept: tuple[int, int] = skb.cb or _NO_PKTINFO
        ifindex, spec_dst = kept
        data = _PKTINFO.pack(ifindex, spec_dst.to_bytes(4, "big"), bytes(view[at + 16 : at + 20]))
        put_cmsg(msg, SOL_IP, IP_PKTINFO, data)
    if sk.recvttl:
        put_cmsg(msg, SOL_IP, IP_TTL, _INT.pack(view[at + 8]))
    if sk.recvtos:
        put_cmsg(msg, SOL_IP, IP_TOS, bytes(view[at + 1 : at + 2]))


def ip_icmp_error(sk: "InetSock", skb: SkBuff, error: int, port: int, info: int, payload: int) -> None:
    """Queue an ICMP error for a socket that asked for all of them (``IP_RECVERR``).

    Parameters
    ----------
    sk : InetSock
        The socket.
    skb : SkBuff
        The message: its data starts at the IPv4 header of the packet that caused it.
    error : int
        The error, as a positive errno.
    port, info : int
        Whom the packet was for, and the info of the message.
    payload : int
        Where in the head the packet's payload starts; the program gets it.
    """
    view = skb.view
    inner, outer, message = skb.data, skb.network_header, skb.transport_header
    clone = skb_clone(skb)
    clone.len -= payload - inner
    clone.data = payload
    clone.cb = SockExterrSkb(
        errno=error,
        type=view[message],
        code=view[message + 1],
        info=info,
        addr=int.from_bytes(view[inner + 16 : inner + 20], "big"),
        port=port,
        offender=int.from_bytes(view[outer + 12 : outer + 16], "big"),
    )
    if not sock_queue_err_skb(sk, clone):
        kfree_skb(clone)


def ip_local_error(sk: "InetSock", error: int, daddr: int, port: int, info: int) -> None:
    """Queue an error of this host's own, as ``ip_icmp_error``: ``info`` is the MTU that a packet does not fit."""
    if not sk.recverr:
        return
    skb = __alloc_skb(sk.kernel, 20)
    skb.network_header = skb.data
    skb.cb = SockExterrSkb(error, 0, 0, info, daddr, port, 0, SO_EE_ORIGIN_LOCAL)
    if not sock_queue_err_skb(sk, skb):
        kfree_skb(skb)


def ip_recv_error(sk: "InetSock", msg: "RecvMsghdr", length: int) -> int:
    """Give the program the next error of its queue (``MSG_ERRQUEUE``), with the payload of what caused it.

    Returns
    -------
    int
        Number of octets.

    Raises
    ------
    OSError
        ``EAGAIN`` if there is none.
    """
    skb = sock_dequeue_err_skb(sk)
    if skb is None:
        raise OSError(EAGAIN, "no error waits")
    told: SockExterrSkb = skb.cb
    copied = skb.len
    if copied > length:
        msg.flags |= MSG_TRUNC
        copied = length
    skb_copy_datagram_iter(skb, 0, msg, copied)
    msg.name = (AF_INET, told.addr, told.port)
    skb.cb = None  # An error says nothing of IP_PKTINFO.
    by_message = told.origin == SO_EE_ORIGIN_ICMP
    if by_message and (sk.pktinfo or sk.recvttl or sk.recvtos):
        ip_cmsg_recv(sk, msg, skb)
    data = _EXTENDED_ERR.pack(told.errno, told.origin, told.type, told.code, 0, told.info, 0)
    data += _SOCKADDR_IN.pack(AF_INET if by_message else 0, 0, told.offender.to_bytes(4, "big"))
    put_cmsg(msg, SOL_IP, IP_RECVERR, data)
    msg.flags |= MSG_ERRQUEUE
    consume_skb(skb)
    return copied

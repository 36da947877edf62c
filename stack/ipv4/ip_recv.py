"""What comes with a received IPv4 packet: control messages, and errors with their cause (Linux: ip_sockglue.c)."""

from dataclasses import dataclass
from errno import EAGAIN
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import skb_copy_datagram_iter, sock_dequeue_err_skb, sock_queue_err_skb
from ..core.msghdr import put_cmsg
from ..core.skbuff import CHECKSUM_COMPLETE, SkBuff, __alloc_skb, consume_skb, kfree_skb
from ..core.skbuff_data import skb_checksum, skb_clone, skb_copy_bits
from ..uapi import AF_INET, IP_PKTINFO, IP_RECVERR, IP_RETOPTS, IP_TOS, IP_TTL, MSG_ERRQUEUE, MSG_TRUNC, SOL_IP
from ..uapi_options import IP_CHECKSUM, IP_ORIGDSTADDR, IP_RECVFRAGSIZE, IP_RECVOPTS
from ..wire.checksum import csum_add, ip_fast_csum
from .fib_frontend import fib_compute_spec_dst
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_PARAMETERPROB, ICMP_TIME_EXCEEDED
from .inet_sock import (
    INET_FLAGS_RECVERR_RFC4884,
    IP_CMSG_CHECKSUM,
    IP_CMSG_ORIGDSTADDR,
    IP_CMSG_PKTINFO,
    IP_CMSG_RECVFRAGSIZE,
    IP_CMSG_RECVOPTS,
    IP_CMSG_RETOPTS,
    IP_CMSG_TOS,
    IP_CMSG_TTL,
)
from .ip_options import IpOptions
from .ip_options_rcv import __ip_options_echo
from .sockaddr_in import sockaddr_in_octets

if TYPE_CHECKING:
    from ..core.msghdr import RecvMsghdr
    from .inet_sock import InetSock
    from .route import RTable

__all__ = [
    "SockExterrSkb",
    "ip_cmsg_recv_offset",
    "ip_icmp_error",
    "ip_local_error",
    "ip_recv_error",
    "ipv4_pktinfo_prepare",
]

_INT = Struct("=i")
_PKTINFO = Struct("=i4s4s")  # struct in_pktinfo: ifindex, spec_dst, addr.
_EXTENDED_ERR = Struct("=IBBBBII")  # struct sock_extended_err.
_SOCKADDR_IN = Struct("=HH4s8x")
SO_EE_ORIGIN_LOCAL, SO_EE_ORIGIN_ICMP = 1, 2
_NO_PKTINFO = (0, 0, None)


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
    data : int
        Where the extensions of the message are (``struct sock_ee_data_rfc4884``), if that was asked for.
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
    data: int = 0


def ipv4_pktinfo_prepare(sk: "InetSock", skb: SkBuff) -> None:
    """Note what control messages will tell, while the packet has its route; that goes now."""
    if sk.cmsg_flags & _FROM_CB:
        rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
        opt = skb.cb if isinstance(skb.cb, IpOptions) else None
        if rt is None or not sk.cmsg_flags & IP_CMSG_PKTINFO:
            skb.cb = (0, 0, opt)
        else:
            skb.cb = (rt.iif or skb.skb_iif, fib_compute_spec_dst(skb), opt)
    else:
        skb.cb = None
    skb.dst = None


# What cannot be read in the packet itself.
_FROM_CB = IP_CMSG_PKTINFO | IP_CMSG_RETOPTS | IP_CMSG_RECVFRAGSIZE


def ip_cmsg_recv_offset(sk: "InetSock", msg: "RecvMsghdr", skb: SkBuff, offset: int) -> None:
    """Tell the program what it wants to know of a packet, of which it got the octets from ``offset`` on."""
    flags = sk.cmsg_flags
    view = skb.view
    at = skb.network_header
    ifindex, spec_dst, opt = skb.cb or _NO_PKTINFO
    if flags & IP_CMSG_PKTINFO:
        data = _PKTINFO.pack(ifindex, spec_dst.to_bytes(4, "big"), bytes(view[at + 16 : at + 20]))
        put_cmsg(msg, SOL_IP, IP_PKTINFO, data)
    if flags & IP_CMSG_TTL:
        put_cmsg(msg, SOL_IP, IP_TTL, _INT.pack(view[at + 8]))
    if flags & IP_CMSG_TOS:
        put_cmsg(msg, SOL_IP, IP_TOS, bytes(view[at + 1 : at + 2]))
    end = at + ((view[at] & 15) << 2)
    if flags & IP_CMSG_RECVOPTS and end > at + 20:
        put_cmsg(msg, SOL_IP, IP_RECVOPTS, bytes(view[at + 20 : end]))
    if flags & IP_CMSG_RETOPTS and end > at + 20:
        put_cmsg(msg, SOL_IP, IP_RETOPTS, __ip_options_echo(skb, opt))
    if flags & IP_CMSG_ORIGDSTADDR and skb.transport_header + 4 <= skb.tail:
        port = int.from_bytes(view[skb.transport_header + 2 : skb.transport_header + 4], "big")
        address = int.from_bytes(view[at + 16 : at + 20], "big")
        put_cmsg(msg, SOL_IP, IP_ORIGDSTADDR, sockaddr_in_octets((AF_INET, address, port)))
    if flags & IP_CMSG_CHECKSUM and skb.ip_summed == CHECKSUM_COMPLETE:
        csum = skb.csum
        if offset:
            csum = csum_add(csum, ~skb_checksum(skb, 0, offset) & 0xFFFF)
        put_cmsg(msg, SOL_IP, IP_CHECKSUM, csum.to_bytes(2, "big") + bytes(2))
    if flags & IP_CMSG_RECVFRAGSIZE and opt is not None and opt.frag_max_size:
        put_cmsg(msg, SOL_IP, IP_RECVFRAGSIZE, _INT.pack(opt.frag_max_size))


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
    clone.data = clone.transport_header = payload
    clone.cb = SockExterrSkb(
        errno=error,
        type=view[message],
        code=view[message + 1],
        info=info,
        addr=int.from_bytes(view[inner + 16 : inner + 20], "big"),
        port=port,
        offender=int.from_bytes(view[outer + 12 : outer + 16], "big"),
        data=_icmp_extension(clone, message, payload) if sk.inet_flags & INET_FLAGS_RECVERR_RFC4884 else 0,
    )
    if not sock_queue_err_skb(sk, clone):
        kfree_skb(clone)


def _icmp_extension(skb: SkBuff, message: int, payload: int) -> int:
    """Return where in an ICMP error the extensions of RFC 4884 begin (``ip_icmp_error_rfc4884``).

    Counted in octets from what the program gets; 0: there are none. Bit 16: they are wrong.
    """
    if skb.view[message] not in (ICMP_DEST_UNREACH, ICMP_TIME_EXCEEDED, ICMP_PARAMETERPROB):
        return 0
    original = skb.view[message + 5] * 4  # Octets of the datagram that caused it, if the sender says so.
    headers = payload - message - 8
    at = original - headers
    if original < 128 or at < 0 or at + 4 > skb.len:
        return 0
    return at if _are_icmp_objects(skb_copy_bits(skb, at, skb.len - at)) else at | 1 << 16


def _are_icmp_objects(octets: bytes) -> bool:
    """Return whether octets are an extension header, with a right checksum if any, and whole objects behind it."""
    if octets[0] >> 4 != 2:
        return True  # Nobody knows what is right in another version.
    if any(octets[2:4]) and ip_fast_csum(octets):
        return False
    at = 4
    while at < len(octets):
        length = int.from_bytes(octets[at : at + 2], "big")
        if length < 4 or at + length > len(octets):
            return False
        at += length
    return True


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
    skb.cb = (skb.skb_iif, 0, None)
    by_message = told.origin == SO_EE_ORIGIN_ICMP
    if by_message and sk.cmsg_flags:
        ip_cmsg_recv_offset(sk, msg, skb, 0)
    data = _EXTENDED_ERR.pack(told.errno, told.origin, told.type, told.code, 0, told.info, told.data)
    data += _SOCKADDR_IN.pack(AF_INET if by_message else 0, 0, told.offender.to_bytes(4, "big"))
    put_cmsg(msg, SOL_IP, IP_RECVERR, data)
    msg.flags |= MSG_ERRQUEUE
    consume_skb(skb)
    return copied

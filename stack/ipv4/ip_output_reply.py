"""Answering a packet without a connection (Linux: net/ipv4/ip_output.c)."""

from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import CHECKSUM_NONE
from ..wire.checksum import csum_add, csum_fold, csum_partial
from .flow import Flowi4
from .inet_sock import IpcmCookie
from .ip_options import first_hop
from .ip_options_rcv import __ip_options_echo
from .ip_output_make import ip_append_data, ip_flush_pending_frames, ip_push_pending_frames
from .route import ip_route_output_flow

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .inet_sock import InetSock

__all__ = ["IpReplyArg", "ip_reply_glue_bits", "ip_send_unicast_reply"]

_CHECK = Struct("!H")


class IpReplyArg:
    """What to answer with (Linux: ``struct ip_reply_arg``).

    Members
    -------
    octets : bytes
        All behind the IPv4 header.
    csum : int
        Sum of what a checksum covers beside them: the pseudo header; ``csumoffset`` is where the checksum goes.
    tos, bound_dev_if, mark : int
        Of the packet.
    """

    __slots__ = ("bound_dev_if", "csum", "csumoffset", "mark", "octets", "tos")

    def __init__(self, octets: bytes, csum: int, csumoffset: int, *, tos: int, bound_dev_if: int, mark: int) -> None:
        self.octets = octets
        self.csum = csum
        self.csumoffset = csumoffset
        self.tos = tos
        self.bound_dev_if = bound_dev_if
        self.mark = mark


def ip_reply_glue_bits(
    arg: IpReplyArg, view: memoryview, to: int, offset: int, length: int, odd: int, skb: "SkBuff"
) -> None:
    """Copy the next part of an answer, and sum it."""
    del odd  # An answer is copied in one go.
    view[to : to + length] = arg.octets[offset : offset + length]
    skb.csum = csum_add(skb.csum, csum_partial(view[to : to + length]))


def ip_send_unicast_reply(sk: "InetSock", skb: "SkBuff", daddr: int, saddr: int, arg: IpReplyArg) -> None:
    """Send an answer back the way that a packet came, by its options too; without a route or memory it is not sent.

    Parameters
    ----------
    sk : InetSock
        The namespace's own socket of the protocol.
    skb : SkBuff
        The packet.
    daddr, saddr : int
        Whom the answer is for, and whom it is from.
    arg : IpReplyArg
        The answer.
    """
    net = sk.net
    options = __ip_options_echo(skb)
    ipc = IpcmCookie(daddr, 0, arg.mark, options or None)
    hop = first_hop(options) if options else 0
    oif = arg.bound_dev_if
    fl4 = Flowi4(hop or daddr, saddr, sk.sk_protocol, tos=arg.tos & 0x1E, oif=oif, mark=arg.mark)
    with suppress(OSError):
        rt = ip_route_output_flow(net, fl4, sk)
        sk.tos = arg.tos
        sk.sk_bound_dev_if = arg.bound_dev_if
        try:
            ip_append_data(sk, fl4, ip_reply_glue_bits, arg, len(arg.octets), 0, ipc, rt, 0)
        except OSError:
            ip_flush_pending_frames(sk)
            raise
        reply = sk.sk_write_queue[0]
        check = csum_fold(csum_add(reply.csum, arg.csum))
        _CHECK.pack_into(reply.view, reply.transport_header + arg.csumoffset, check)
        reply.ip_summed = CHECKSUM_NONE
        ip_push_pending_frames(sk, fl4)

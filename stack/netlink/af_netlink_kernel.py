"""Netlink, the kernel's side: requests, their acknowledgement, and dumps (Linux: net/netlink/af_netlink.c)."""

from collections.abc import Callable
from errno import EBUSY, EINTR, EMSGSIZE, ENOBUFS, ESRCH
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.datagram import sock_def_error_report
from ..core.filter import sk_filter_trim_cap
from ..core.skbuff import SkBuff, __alloc_skb, kfree_skb, skb_pull, skb_tailroom
from ..uapi import SOCK_DGRAM
from .af_netlink_sock import NetlinkCb, NetlinkSock, NetlinkTable
from .af_netlink_unicast import __netlink_sendskb, netlink_skb_set_owner_r, netlink_unicast
from .attr import NetlinkError, nla_put_string, nla_put_u32, nla_total_size
from .message import (
    NLMSG_GOODSIZE,
    NetlinkCallback,
    Nlmsghdr,
    nl_dump_check_consistent,
    nlmsg_align,
    nlmsg_end,
    nlmsg_iter,
    nlmsg_new,
    nlmsg_put_own,
    nlmsg_total_size,
)
from .uapi import NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN, NLMSG_MIN_TYPE, NlmF, NlmsgerrAttr

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "DumpFill",
    "dump_items",
    "netlink_ack",
    "netlink_dump",
    "netlink_dump_start",
    "netlink_kernel_create",
    "netlink_rcv_skb",
    "nlmsg_notify",
    "nlmsg_unicast",
]

_INT = Struct("=i")
Handler = Callable[[SkBuff, Nlmsghdr], int]
DumpFill = Callable[[SkBuff, NetlinkCallback], int]


def netlink_kernel_create(net: "Net", protocol: int, ngroups: int, rcv: Callable[[SkBuff], Any]) -> NetlinkSock:
    """Make a protocol of netlink whose messages to number 0 a function of the kernel takes."""
    from .af_netlink import netlink_proto

    net.nl_table[protocol] = table = NetlinkTable(ngroups)
    sk = NetlinkSock(net, SOCK_DGRAM, protocol, netlink_proto)
    sk.netlink_rcv = rcv
    sk.bound = True
    table.hash[0] = sk
    return sk


def netlink_rcv_skb(skb: SkBuff, cb: Handler) -> int:
    """Give each request of a datagram to a function, and acknowledge those that failed or want it."""
    for nlh in nlmsg_iter(bytes(skb.view[skb.data : skb.tail])):
        error: OSError | None = None
        if nlh.flags & NlmF.REQUEST and nlh.type >= NLMSG_MIN_TYPE:
            try:
                cb(skb, nlh)
            except OSError as caught:
                error = caught
        # A dump that started answers by itself.
        if not (error is not None and error.errno == EINTR) and (nlh.flags & NlmF.ACK or error is not None):
            netlink_ack(skb, nlh, error)
        skb_pull(skb, min(nlmsg_align(len(nlh.octets)), skb.len))
    return 0


def _ack_tlvs(nlh: Nlmsghdr, error: OSError | None) -> tuple[str, int | None]:
    """Return what an acknowledgement says besides the number of the error: a text, and the place of the fault."""
    if error is None:
        return "", None
    offset = error.offset if isinstance(error, NetlinkError) else None
    return error.strerror or "", offset if offset is None or offset < len(nlh.octets) else None


def netlink_ack(in_skb: SkBuff, nlh: Nlmsghdr, error: OSError | None) -> None:
    """Answer a request with its error, or with 0, and with the request itself if there was an error."""
    sk: NetlinkSock = in_skb.cb.sk
    number = -(error.errno or 0) if error is not None else 0
    flags = 0
    request = nlh.octets[:NLMSG_HDRLEN]
    if number and not sk.cap_ack:
        request = nlh.octets
    else:
        flags |= NlmF.CAPPED
    text, offset = _ack_tlvs(nlh, error) if sk.ext_ack else ("", None)
    room = nla_total_size(len(text.encode()) + 1) + nla_total_size(4)
    if text or offset is not None:
        flags |= NlmF.ACK_TLVS
    try:
        skb = nlmsg_new(sk.kernel, _INT.size + nlmsg_align(len(request)) + room)
    except OSError:
        sk.sk_err = ENOBUFS
        sock_def_error_report(sk)
        return
    at = nlmsg_put_own(skb, in_skb.cb.portid, nlh.seq, NLMSG_ERROR, _INT.pack(number) + request, flags)
    if text:
        nla_put_string(skb, NlmsgerrAttr.MSG, text)
    if offset is not None:
        nla_put_u32(skb, NlmsgerrAttr.OFFS, offset)
    nlmsg_end(skb, at)
    nlmsg_unicast(in_skb.sk, skb, in_skb.cb.portid)


def nlmsg_unicast(ssk: Any, skb: SkBuff, portid: int) -> int:
    """Send the kernel's message to a program; return 0 or a negative errno."""
    skb.cb = NetlinkCb(0)
    try:
        netlink_unicast(ssk.net, ssk, skb, portid, True)
    except OSError as error:
        return -(error.errno or 0)
    return 0


def nlmsg_notify(ssk: NetlinkSock, skb: SkBuff, portid: int, group: int, report: bool) -> int:
    """Send the kernel's message to a group, and to the program that caused it if it wants that (``NLM_F_ECHO``)."""
    from .af_netlink_unicast import netlink_broadcast

    skb.cb = NetlinkCb(0, group)
    error = 0
    if group:
        if report:
            skb.users += 1
        error = netlink_broadcast(ssk.net, ssk, skb, portid if report else 0, group)
        if error == -ESRCH:  # Nobody listens, which is no fault.
            error = 0
    if report:
        return nlmsg_unicast(ssk, skb, portid) or error
    return error


def netlink_dump_start(
    ssk: NetlinkSock,
    skb: SkBuff,
    nlh: Nlmsghdr,
    dump: Callable[[SkBuff, NetlinkCallback], int],
    min_dump_alloc: int = 0,
) -> None:
    """Begin to answer a request with many messages: the first now, the others as the program receives them.

    Raises
    ------
    OSError
        ``EBUSY`` if the program's socket has a dump under way; ``EINTR``: it has begun, so there is nothing to
        acknowledge; what the dump raises.
    """
    sk: NetlinkSock = skb.cb.sk
    if sk.cb is not None:
        raise OSError(EBUSY, "the socket has a dump under way")
    cb = NetlinkCallback(ssk, nlh, dump, min_dump_alloc)
    cb.portid = skb.cb.portid
    cb.strict_check = sk.strict_chk
    sk.cb = cb
    sk.dump_done_errno = 1
    error = netlink_dump(sk)
    if error:
        raise OSError(-error, "no room for the answer")
    raise OSError(EINTR, "the dump has begun")


def _dump_skb(sk: NetlinkSock, cb: NetlinkCallback) -> SkBuff:
    """Return an skb with room for as much as the program seems to take at once."""
    least = max(cb.min_dump_alloc, NLMSG_GOODSIZE)
    try:
        skb = __alloc_skb(sk.kernel, max(least, sk.max_recvmsg_len))
    except OSError:
        skb = __alloc_skb(sk.kernel, least)
    netlink_skb_set_owner_r(skb, sk)
    skb.cb = NetlinkCb(0)
    return skb


def netlink_dump(sk: NetlinkSock) -> int:
    """Go on with a dump: queue one more datagram, the last one with its end; return 0 or a negative errno."""
    cb = sk.cb
    assert cb is not None
    if sk.sk_rmem_alloc >= sk.sk_rcvbuf:
        return -ENOBUFS
    try:
        skb = _dump_skb(sk, cb)
    except OSError:
        return -ENOBUFS
    text = ""
    if sk.dump_done_errno > 0:
        try:
            sk.dump_done_errno = cb.dump(skb, cb)
        except OSError as error:
            sk.dump_done_errno = -(error.errno or 0)
            text = error.strerror or "" if sk.ext_ack else ""
    if sk.dump_done_errno > 0 or skb_tailroom(skb) < nlmsg_total_size(_INT.size):
        if sk_filter_trim_cap(sk, skb, 1):
            kfree_skb(skb)
        else:
            __netlink_sendskb(sk, skb)
        return 0
    _dump_done(sk, cb, skb, text)
    return 0


def _dump_done(sk: NetlinkSock, cb: NetlinkCallback, skb: SkBuff, text: str) -> None:
    """Queue the last datagram of a dump."""
    flags = NlmF.MULTI | NlmF.ACK_TLVS if text else NlmF.MULTI
    at = nlmsg_put_own(skb, cb.portid, cb.nlh.seq, NLMSG_DONE, _INT.pack(sk.dump_done_errno), flags)
    nl_dump_check_consistent(cb, skb, at)
    if text and skb_tailroom(skb) >= nla_total_size(len(text.encode()) + 1):
        nla_put_string(skb, NlmsgerrAttr.MSG, text)
    nlmsg_end(skb, at)
    if sk_filter_trim_cap(sk, skb, 1):
        kfree_skb(skb)
    else:
        __netlink_sendskb(sk, skb)
    sk.cb = None


def dump_items(skb: SkBuff, cb: NetlinkCallback, items: "list[tuple[Any, DumpFill]]") -> int:
    """Append the messages that are next in a dump as long as there is room.

    Parameters
    ----------
    skb, cb : SkBuff, NetlinkCallback
        Where to, and the dump.
    items : list
        All that there is now, in order: a key to sort by, and what appends the message and returns where it starts.

    Returns
    -------
    int
        Length of all messages; 0 if there are no more.

    Raises
    ------
    OSError
        ``EMSGSIZE`` if not even one fits.
    """
    for key, fill in items:
        if cb.last is not None and key <= cb.last:
            continue
        try:
            at = fill(skb, cb)
        except OSError as error:
            if error.errno != EMSGSIZE or not skb.len:
                raise
            break
        nl_dump_check_consistent(cb, skb, at)
        cb.last = key
    return skb.len

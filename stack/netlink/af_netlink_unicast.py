"""Netlink, handing messages over: to one socket, or to all of a group (Linux: net/netlink/af_netlink.c)."""

from errno import EAGAIN, ECONNREFUSED, ENOBUFS, ESRCH
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_error_report, sock_def_readable, sock_rfree
from ..core.filter import sk_filter_trim_cap
from ..core.skbuff import SHINFO_OCTETS, STRUCT_OCTETS, SkBuff, consume_skb, kfree_skb, skb_orphan, skb_shared
from ..core.skbuff_data import pskb_expand_head, skb_clone
from ..core.sock import sock_sndtimeo
from .af_netlink_sock import NetlinkCb, NetlinkSock, NetlinkTable, __netlink_lookup

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "__netlink_sendskb",
    "netlink_attachskb",
    "netlink_broadcast",
    "netlink_has_listeners",
    "netlink_overrun",
    "netlink_rcv_wake",
    "netlink_set_err",
    "netlink_skb_set_owner_r",
    "netlink_trim",
    "netlink_unicast",
]


def netlink_overrun(sk: NetlinkSock) -> None:
    """Note that a socket missed a message: its next receive says so, unless the program does not want to know."""
    if not sk.no_enobufs and not sk.congested:
        sk.congested = True
        sk.sk_err = ENOBUFS
        sock_def_error_report(sk)
    sk.sk_drops += 1


def netlink_rcv_wake(sk: NetlinkSock) -> None:
    """Let messages come again once a program has read all that it had."""
    if not sk.sk_receive_queue:
        sk.congested = False
    if not sk.congested:
        sk.kernel.platform.wake(sk.wait)


def netlink_trim(skb: SkBuff) -> SkBuff:
    """Give memory of a message back that it does not use, if that is most of it."""
    unused = skb.truesize - STRUCT_OCTETS - SHINFO_OCTETS - skb.tail
    if unused * 2 < skb.truesize or skb.tail == skb.end:
        return skb
    if skb_shared(skb):
        clone = skb_clone(skb)
        clone.cb = skb.cb
        consume_skb(skb)
        skb = clone
    try:
        pskb_expand_head(skb, 0, skb.tail - skb.end)
    except OSError:
        return skb  # Then it stays as it is.
    skb.truesize -= unused
    return skb


def netlink_skb_destructor(skb: SkBuff) -> None:
    """Destroy a message: its memory counts no longer."""
    sock_rfree(skb)


def netlink_skb_set_owner_r(skb: SkBuff, sk: NetlinkSock) -> None:
    """Count a message's memory against its receiver until it is freed."""
    skb_orphan(skb)
    skb.sk = sk
    skb.destructor = netlink_skb_destructor
    sk.sk_rmem_alloc += skb.truesize


def _is_full(sk: NetlinkSock) -> bool:
    return sk.sk_rmem_alloc > sk.sk_rcvbuf or sk.congested


def netlink_attachskb(sk: NetlinkSock, skb: SkBuff, timeo: int | None, ssk: NetlinkSock | None) -> int | None:
    """Count a message against its receiver, or wait for room there.

    Returns
    -------
    int or None
        -1 if it is done; what is left of the time, in ns, if the receiver has to be looked up anew; None: for ever.

    Raises
    ------
    OSError
        ``EAGAIN`` if there is no room and no time; the message is dropped.
    """
    if not _is_full(sk):
        netlink_skb_set_owner_r(skb, sk)
        return -1
    if timeo == 0:
        if ssk is None or ssk.netlink_rcv is not None:
            netlink_overrun(sk)
        kfree_skb(skb)
        raise OSError(EAGAIN, "the receiver has no room")
    platform = sk.kernel.platform
    start_ns = platform.now_ns()
    platform.wait(sk.wait, None if timeo is None else start_ns + timeo)
    return None if timeo is None else max(timeo - (platform.now_ns() - start_ns), 0)


def __netlink_sendskb(sk: NetlinkSock, skb: SkBuff) -> int:
    """Queue a message for the program, and return its length."""
    length = skb.len
    sk.sk_receive_queue.append(skb)
    sock_def_readable(sk)
    return length


def netlink_unicast_kernel(sk: NetlinkSock, skb: SkBuff, ssk: NetlinkSock) -> int:
    """Hand a message to the kernel, which answers before this returns."""
    assert sk.netlink_rcv is not None
    length = skb.len
    netlink_skb_set_owner_r(skb, sk)
    skb.cb.sk = ssk
    sk.netlink_rcv(skb)
    consume_skb(skb)
    return length


def _refused(text: str, skb: SkBuff) -> OSError:
    kfree_skb(skb)
    return OSError(ECONNREFUSED, text)


def netlink_unicast(net: "Net", ssk: NetlinkSock, skb: SkBuff, portid: int, nonblock: bool) -> int:
    """Send a message to the socket with a number; return its length.

    Raises
    ------
    OSError
        ``ECONNREFUSED`` if there is none, or it has another peer; ``EAGAIN`` if it has no room and the caller cannot
        wait.
    """
    skb = netlink_trim(skb)
    timeo = sock_sndtimeo(ssk, nonblock)
    table: NetlinkTable = net.nl_table[ssk.sk_protocol]
    while True:
        sk = __netlink_lookup(table, portid)
        if sk is None:
            raise _refused(f"no socket has the number {portid}", skb)
        if sk.connected and sk.dst_portid != ssk.portid:
            raise _refused(f"the socket {portid} has another peer", skb)
        if sk.netlink_rcv is not None:
            return netlink_unicast_kernel(sk, skb, ssk)
        if sk_filter_trim_cap(sk, skb, 1):
            length = skb.len
            kfree_skb(skb)
            return length
        timeo = netlink_attachskb(sk, skb, timeo, ssk)
        if timeo == -1:
            return __netlink_sendskb(sk, skb)


def netlink_has_listeners(net: "Net", protocol: int, group: int) -> bool:
    """Return whether anybody is in a group."""
    return any(sk.groups >> group - 1 & 1 for sk in net.nl_table[protocol].mc_list)


def netlink_broadcast_deliver(sk: NetlinkSock, skb: SkBuff) -> bool:
    """Queue a message of a group for one of its sockets; return whether there was room."""
    if _is_full(sk):
        return False
    netlink_skb_set_owner_r(skb, sk)
    __netlink_sendskb(sk, skb)
    return True


def netlink_broadcast(net: "Net", ssk: NetlinkSock, skb: SkBuff, portid: int, group: int) -> int:
    """Send a message to all sockets in a group, but to the sender and the one with the number.

    Returns
    -------
    int
        0; ``-ESRCH`` if nobody has it; ``-ENOBUFS`` if somebody missed it who wants the sender to know.
    """
    skb = netlink_trim(skb)
    cb: NetlinkCb = skb.cb
    failed = delivered = False
    for sk in tuple(net.nl_table[ssk.sk_protocol].mc_list):
        if sk is ssk or sk.portid == portid or not sk.groups >> group - 1 & 1:
            continue
        try:
            clone = skb_clone(skb)
        except OSError:
            netlink_overrun(sk)
            failed |= sk.broadcast_error
            continue
        clone.cb = NetlinkCb(cb.portid, group)
        if sk_filter_trim_cap(sk, clone, 1) or not netlink_broadcast_deliver(sk, clone):
            kfree_skb(clone)
            netlink_overrun(sk)
            failed |= sk.broadcast_error
        else:
            delivered = True
    consume_skb(skb)
    if failed:
        return -ENOBUFS
    return 0 if delivered else -ESRCH


def netlink_set_err(net: "Net", protocol: int, group: int, errno: int) -> None:
    """Tell all sockets of a group that they missed something."""
    for sk in net.nl_table[protocol].mc_list:
        if sk.groups >> group - 1 & 1 and not (errno == ENOBUFS and sk.no_enobufs):
            sk.sk_err = errno
            sock_def_error_report(sk)

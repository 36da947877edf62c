"""Requests of rtnetlink: who handles which, and notifications (Linux: net/core/rtnetlink.c; rtnetlink(7))."""

from collections.abc import Callable
from errno import ENOBUFS, EOPNOTSUPP
from typing import TYPE_CHECKING

from ..netlink.af_netlink_kernel import (
    netlink_dump_start,
    netlink_kernel_create,
    netlink_rcv_skb,
    nlmsg_notify,
    nlmsg_unicast,
)
from ..netlink.af_netlink_unicast import netlink_set_err
from ..netlink.message import NetlinkCallback, Nlmsghdr, nlmsg_new
from ..netlink.rtnetlink import Rtm, Rtnlgrp
from ..netlink.uapi import NETLINK_ROUTE, NlmF
from ..uapi import AF_UNSPEC

if TYPE_CHECKING:
    from .net import Kernel, Net
    from .skbuff import SkBuff

__all__ = [
    "RtnlLink",
    "netlink_strict_get_check",
    "rtnetlink_init",
    "rtnetlink_net_init",
    "rtnetlink_rcv",
    "rtnetlink_rcv_msg",
    "rtnl_broadcast",
    "rtnl_dump_all",
    "rtnl_notify",
    "rtnl_register",
    "rtnl_set_sk_err",
    "rtnl_unicast",
]

_KIND_GET = 2  # The low two bits of a type: new, del, get, set.

DoIt = Callable[["SkBuff", Nlmsghdr], None]
DumpIt = Callable[["SkBuff", NetlinkCallback], int]


class RtnlLink:
    """Who handles one type of request (Linux: ``struct rtnl_link``).

    Members
    -------
    doit, dumpit : callable or None
        What answers it, and what dumps.
    locked : bool
        ``doit`` wants the rtnl mutex held; one that is not calls functions that take it.
    """

    __slots__ = ("doit", "dumpit", "locked")

    def __init__(self, doit: DoIt | None, dumpit: DumpIt | None, locked: bool) -> None:
        self.doit = doit
        self.dumpit = dumpit
        self.locked = locked


def rtnl_register(
    kernel: "Kernel",
    family: int,
    kind: int,
    doit: DoIt | None = None,
    dumpit: DumpIt | None = None,
    *,
    locked: bool = True,
) -> None:
    """Have requests of a family and type handled; as ``RtnlLink``."""
    kernel.rtnl_msg_handlers[family, kind] = RtnlLink(doit, dumpit, locked)


def rtnetlink_init(kernel: "Kernel") -> None:
    """Have all requests that there are handled."""
    from ..ipv4.devinet_netlink import devinet_init
    from ..ipv4.fib_netlink import ip_fib_init
    from ..ipv4.route_netlink import ip_rt_init
    from ..sched.sch_netlink import tc_init
    from .fib_rules_netlink import fib_rules_init
    from .neighbour_netlink import neigh_init
    from .rtnetlink_link import rtnl_dump_ifinfo, rtnl_getlink
    from .rtnetlink_newlink import rtnl_dellink, rtnl_newlink
    from .rtnetlink_setlink import rtnl_setlink
    from .rtnl_link_kinds import LINK_KINDS, rtnl_link_register

    rtnl_register(kernel, AF_UNSPEC, Rtm.GETLINK, rtnl_getlink, rtnl_dump_ifinfo)
    rtnl_register(kernel, AF_UNSPEC, Rtm.SETLINK, rtnl_setlink, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.NEWLINK, rtnl_newlink, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.DELLINK, rtnl_dellink, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETADDR, dumpit=rtnl_dump_all)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETROUTE, dumpit=rtnl_dump_all)
    for ops in LINK_KINDS:
        rtnl_link_register(kernel, ops)
    neigh_init(kernel)
    fib_rules_init(kernel)
    tc_init(kernel)
    devinet_init(kernel)
    ip_fib_init(kernel)
    ip_rt_init(kernel)


def rtnetlink_net_init(net: "Net") -> None:
    """Give a namespace its rtnetlink, and follow its devices."""
    from .rtnetlink_event import rtnetlink_event

    net.rtnl = netlink_kernel_create(net, NETLINK_ROUTE, max(Rtnlgrp), rtnetlink_rcv)
    net.netdev_chain.insert(0, rtnetlink_event)  # Before IPv4, whose messages come after those of the link.


def netlink_strict_get_check(skb: "SkBuff") -> bool:
    """Return whether the asker wants requests with anything unknown in them refused."""
    strict: bool = skb.cb.sk.strict_chk
    return strict


def rtnetlink_rcv(skb: "SkBuff") -> None:
    """Handle the requests of a datagram."""
    netlink_rcv_skb(skb, rtnetlink_rcv_msg)


def _get_link(kernel: "Kernel", family: int, kind: int, *, dump: bool) -> RtnlLink:
    for key in ((family, kind), (AF_UNSPEC, kind)):
        link = kernel.rtnl_msg_handlers.get(key)
        if link is not None and (link.dumpit if dump else link.doit) is not None:
            return link
    raise OSError(EOPNOTSUPP, f"no {'dump' if dump else 'handler'} for messages {kind} of family {family}")


def rtnetlink_rcv_msg(skb: "SkBuff", nlh: Nlmsghdr) -> int:
    """Handle a request.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` if nobody handles it; what its handler raises.
    """
    if not nlh.data:
        return 0
    sk = skb.sk
    assert sk is not None
    kernel = sk.kernel
    family = nlh.data[0]
    if nlh.type & 3 == _KIND_GET and nlh.flags & NlmF.DUMP:
        link = _get_link(kernel, family, nlh.type, dump=True)
        assert link.dumpit is not None
        netlink_dump_start(sk.net.rtnl, skb, nlh, link.dumpit)
        return 0
    link = _get_link(kernel, family, nlh.type, dump=False)
    assert link.doit is not None
    if nlh.type & 3 == 1 and nlh.flags & NlmF.BULK:
        raise OSError(EOPNOTSUPP, "Bulk delete is not supported")
    if link.locked:
        with kernel.rtnl:
            link.doit(skb, nlh)
    else:
        link.doit(skb, nlh)
    return 0


def rtnl_dump_all(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump what each family has, one after the other."""
    handlers = cb.sk.kernel.rtnl_msg_handlers
    families = sorted(family for family, kind in handlers if family and kind == cb.nlh.type)
    for family in families:
        if family < cb.family:
            continue
        if family > cb.family:
            cb.family = family
            cb.last = cb.args = None
            cb.seq = cb.prev_seq = 0
        link = handlers[family, cb.nlh.type]
        length: int = link.dumpit(skb, cb) if link.dumpit is not None else 0
        if length:
            return length
    return 0


def rtnl_unicast(skb: "SkBuff", net: "Net", portid: int) -> int:
    """Send an answer; return 0 or a negative errno."""
    return nlmsg_unicast(net.rtnl, skb, portid)


def rtnl_notify(skb: "SkBuff", net: "Net", portid: int, group: int, nlh: Nlmsghdr | None) -> None:
    """Send a notification to a group, and to the one who caused it if the request wants that."""
    nlmsg_notify(net.rtnl, skb, portid, group, nlh is not None and nlh.flags & NlmF.ECHO != 0)


def rtnl_set_sk_err(net: "Net", group: int, errno: int) -> None:
    """Tell those in a group that they missed a notification."""
    netlink_set_err(net, NETLINK_ROUTE, group, errno)


def rtnl_broadcast(
    net: "Net",
    group: int,
    size: int,
    fill: Callable[["SkBuff"], int],
    portid: int = 0,
    nlh: Nlmsghdr | None = None,
) -> None:
    """Make a notification of at most ``size`` octets and send it; without memory, say that one was missed."""
    try:
        skb = nlmsg_new(net.kernel, size)
    except OSError:
        rtnl_set_sk_err(net, group, ENOBUFS)
        return
    fill(skb)
    rtnl_notify(skb, net, portid, group, nlh)

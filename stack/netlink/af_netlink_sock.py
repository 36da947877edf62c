"""Sockets of netlink, and how they are found (Linux: net/netlink/af_netlink.c)."""

from errno import EADDRINUSE, EBUSY
from typing import TYPE_CHECKING, Any

from ..core.platform import WaitQueue
from ..core.sock import Proto, Sock
from .uapi import AF_NETLINK, MAX_LINKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .message import NetlinkCallback

__all__ = [
    "NetlinkCb",
    "NetlinkSock",
    "NetlinkTable",
    "__netlink_lookup",
    "netlink_autobind",
    "netlink_insert",
    "netlink_remove",
    "netlink_table",
]

# All programs of a host share their descriptors: as processes they are one, and the first.
_TGID = 1
_LAST_ROVER = -4096  # Port numbers that no process has are below it.


class NetlinkCb:
    """Where a message in a queue comes from and went to (Linux: ``NETLINK_CB``)."""

    __slots__ = ("dst_group", "portid", "sk")

    def __init__(self, portid: int, dst_group: int = 0, sk: "NetlinkSock | None" = None) -> None:
        self.portid = portid
        self.dst_group = dst_group
        self.sk = sk  # The sender.


class NetlinkSock(Sock):
    """A socket of netlink (Linux: ``struct netlink_sock``).

    Members
    -------
    portid, bound : int, bool
        Its number, 0 of the kernel's own, and whether it has one.
    dst_portid, dst_group : int
        Its peer by default.
    connected : bool
        It has a peer, and takes messages of no other.
    groups, ngroups : int
        The groups that it is in, as bits from 0 on for group 1, and how many there are.
    congested : bool
        It missed messages, and takes none until it has read those that it has.
    cb : NetlinkCallback or None
        The dump under way.
    """

    __slots__ = (
        "bound",
        "broadcast_error",
        "cap_ack",
        "cb",
        "congested",
        "connected",
        "dst_group",
        "dst_portid",
        "dump_done_errno",
        "ext_ack",
        "groups",
        "max_recvmsg_len",
        "netlink_rcv",
        "ngroups",
        "no_enobufs",
        "pktinfo",
        "portid",
        "strict_chk",
        "wait",
    )

    def __init__(self, net: "Net", type: int, protocol: int, prot: Proto) -> None:
        super().__init__(net, AF_NETLINK, type, protocol, prot)
        self.portid = self.dst_portid = self.dst_group = 0
        self.bound = self.connected = self.congested = False
        self.groups = self.ngroups = 0
        self.cb: NetlinkCallback | None = None
        self.dump_done_errno = 0
        self.max_recvmsg_len = 0
        self.netlink_rcv: Callable[[SkBuff], Any] | None = None
        self.wait = WaitQueue()  # Senders that wait for room.
        self.cap_ack = self.ext_ack = self.strict_chk = False
        self.pktinfo = self.no_enobufs = self.broadcast_error = False


class NetlinkTable:
    """Sockets of one protocol in a namespace (Linux: ``struct netlink_table``).

    Members
    -------
    hash : dict[int, NetlinkSock]
        By number.
    mc_list : list[NetlinkSock]
        Those that are in a group.
    ngroups : int
        How many groups there are.
    """

    __slots__ = ("hash", "mc_list", "ngroups", "rover")

    def __init__(self, ngroups: int) -> None:
        self.hash: dict[int, NetlinkSock] = {}
        self.mc_list: list[NetlinkSock] = []
        self.ngroups = ngroups
        self.rover = _LAST_ROVER


def netlink_table(net: "Net", protocol: int) -> NetlinkTable | None:
    """Return the sockets of a protocol in a namespace; None if there is no such protocol."""
    return net.nl_table.get(protocol) if 0 <= protocol < MAX_LINKS else None


def _table(sk: NetlinkSock) -> NetlinkTable:
    return sk.net.nl_table[sk.sk_protocol]


def __netlink_lookup(table: NetlinkTable, portid: int) -> NetlinkSock | None:
    """Return the socket with a number."""
    return table.hash.get(portid)


def netlink_insert(sk: NetlinkSock, portid: int) -> None:
    """Give a socket its number.

    Raises
    ------
    OSError
        ``EADDRINUSE`` if another one has it, ``EBUSY`` if this one has one.
    """
    if sk.bound:
        if sk.portid == portid:
            return
        raise OSError(EBUSY, f"the socket has the number {sk.portid}")
    table = _table(sk)
    if portid in table.hash:
        raise OSError(EADDRINUSE, f"another socket has the number {portid}")
    table.hash[portid] = sk
    sk.portid = portid
    sk.bound = True


def netlink_remove(sk: NetlinkSock) -> None:
    """Take a socket out of its table and groups."""
    table = _table(sk)
    if sk.bound:
        del table.hash[sk.portid]
    if sk in table.mc_list:
        table.mc_list.remove(sk)


def netlink_autobind(sk: NetlinkSock) -> None:
    """Give a socket a free number: the process's, or else a negative one, which programs see as a large one."""
    table = _table(sk)
    portid = _TGID
    while __netlink_lookup(table, portid) is not None:
        if table.rover == _LAST_ROVER:
            span = (1 << 31) + _LAST_ROVER
            table.rover = (sk.kernel.platform.random_u32() * span >> 32) - (1 << 31)
        elif table.rover > _LAST_ROVER or table.rover < -(1 << 31):
            table.rover = _LAST_ROVER - 1
        portid = table.rover & 0xFFFF_FFFF
        table.rover -= 1
    netlink_insert(sk, portid)

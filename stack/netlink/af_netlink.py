"""The netlink family of sockets (Linux: net/netlink/af_netlink.c; netlink(7))."""

from errno import (
    EINVAL,
    EMSGSIZE,
    ENOBUFS,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from ..core.datagram import datagram_poll, skb_copy_datagram_iter, skb_free_datagram, skb_recv_datagram
from ..core.msghdr import Msghdr, RecvMsghdr, Sockaddr, copy_from_iter, put_cmsg
from ..core.proto_ops import ProtoOps, sock_no_getsockopt, sock_no_setsockopt
from ..core.skbuff import SkBuff, __alloc_skb, consume_skb, skb_get, skb_put
from ..core.sock import Proto
from ..uapi import AF_UNSPEC, MSG_DONTWAIT, MSG_OOB, MSG_TRUNC, SOCK_DGRAM, SOCK_RAW
from .af_netlink_kernel import netlink_dump
from .af_netlink_sock import NetlinkCb, NetlinkSock, NetlinkTable, netlink_autobind, netlink_insert, netlink_remove
from .af_netlink_unicast import netlink_broadcast, netlink_rcv_wake, netlink_unicast
from .uapi import AF_NETLINK, NETLINK_USERSOCK, SOL_NETLINK, NetlinkOpt

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "netlink_bind",
    "netlink_connect",
    "netlink_create",
    "netlink_getname",
    "netlink_getsockopt",
    "netlink_net_init",
    "netlink_ops",
    "netlink_recvmsg",
    "netlink_release",
    "netlink_sendmsg",
    "netlink_setsockopt",
]

_SOCKADDR_NL = Struct("=HHII")  # struct sockaddr_nl: family, padding, number, groups.
_MAX_RECVMSG_LEN = 32768 - 320  # What a dump takes at most in one datagram.
_U32 = Struct("=I")


def netlink_net_init(net: "Net") -> None:
    """Give a namespace its protocols of netlink."""
    net.nl_table = {NETLINK_USERSOCK: NetlinkTable(32)}


def sockaddr_nl(address: Any) -> Sockaddr:
    """Take over an address: ``(pid, groups)``, or the octets of a ``struct sockaddr_nl``."""
    if isinstance(address, (bytes, bytearray, memoryview)):
        octets = bytes(cast(bytes, address))
        if len(octets) < _SOCKADDR_NL.size:
            raise OSError(EINVAL, f"a sockaddr_nl has {_SOCKADDR_NL.size} octets, not {len(octets)}")
        family, _, pid, groups = _SOCKADDR_NL.unpack_from(octets)
        return family, pid, groups
    try:
        pid, groups = address
        _SOCKADDR_NL.pack(AF_NETLINK, 0, pid, groups)
    except Exception:
        raise OSError(EINVAL, f"an address of netlink is (pid, groups), not {address!r}") from None
    return AF_NETLINK, pid, groups


def _address(name: Sockaddr) -> tuple[int, int]:
    """Return an address as Python's ``socket`` shows it."""
    return name[1], name[2]


def netlink_create(net: "Net", type: int, protocol: int) -> tuple[NetlinkSock, ProtoOps]:
    """Return a new socket of a protocol of netlink, and its operations.

    Raises
    ------
    OSError
        ``ESOCKTNOSUPPORT``, ``EPROTONOSUPPORT``.
    """
    if type not in (SOCK_RAW, SOCK_DGRAM):
        raise OSError(ESOCKTNOSUPPORT, f"netlink has no sockets of type {type}")
    if protocol not in net.nl_table:
        raise OSError(EPROTONOSUPPORT, f"netlink has no protocol {protocol}")
    return NetlinkSock(net, type, protocol, netlink_proto), netlink_ops


def netlink_release(sk: NetlinkSock) -> None:
    """Close a socket: senders that wait are refused, and what was not read is gone."""
    netlink_remove(sk)
    sk.cb = None
    sk.bound = sk.connected = False
    sk.kernel.platform.wake(sk.wait)
    while sk.sk_receive_queue:
        consume_skb(sk.sk_receive_queue.popleft())


def netlink_realloc_groups(sk: NetlinkSock) -> int:
    """Give a socket room for the groups that its protocol has, and return their number."""
    sk.ngroups = sk.net.nl_table[sk.sk_protocol].ngroups
    return sk.ngroups


def netlink_update_socket_mc(sk: NetlinkSock, groups: int) -> None:
    """Put a socket into groups, given as bits, and out of all others."""
    table = sk.net.nl_table[sk.sk_protocol]
    if groups and not sk.groups:
        table.mc_list.insert(0, sk)
    elif sk.groups and not groups:
        table.mc_list.remove(sk)
    sk.groups = groups


def netlink_bind(sk: NetlinkSock, address: Sockaddr) -> int:
    """Give a socket its number (0: any that is free), and put it into the first 32 groups that the address names.

    Raises
    ------
    OSError
        ``EINVAL`` if the address is of another family or the socket has another number, ``EADDRINUSE``.
    """
    family, pid, groups = address
    if family != AF_NETLINK:
        raise OSError(EINVAL, "not an address of netlink")
    if groups:
        ngroups = netlink_realloc_groups(sk)
        if ngroups < 32:
            groups &= (1 << ngroups) - 1
    if sk.bound:
        if pid != sk.portid:
            raise OSError(EINVAL, f"the socket has the number {sk.portid}")
    elif pid:
        netlink_insert(sk, pid)
    else:
        netlink_autobind(sk)
    if groups or sk.groups & 0xFFFF_FFFF:
        netlink_update_socket_mc(sk, sk.groups & ~0xFFFF_FFFF | groups)
    return 0


def _ffs(groups: int) -> int:
    """Return the number of the first group of a mask, 0 if there is none."""
    return (groups & -groups).bit_length()


def netlink_connect(sk: NetlinkSock, address: Sockaddr, flags: int = 0) -> int:  # noqa: ARG001 - an operation's arguments
    """Set the peer; ``AF_UNSPEC`` ends that.

    Raises
    ------
    OSError
        ``EINVAL`` if the address is of another family.
    """
    family, pid, groups = address
    if family == AF_UNSPEC:
        sk.connected = False
        sk.dst_portid = sk.dst_group = 0
        return 0
    if family != AF_NETLINK:
        raise OSError(EINVAL, "not an address of netlink")
    if not sk.bound:
        netlink_autobind(sk)
    sk.connected = True
    sk.dst_portid = pid
    sk.dst_group = _ffs(groups)
    return 0


def _group_mask(group: int) -> int:
    return 1 << group - 1 if 0 < group <= 32 else 0


def netlink_getname(sk: NetlinkSock, peer: int) -> Sockaddr:
    """Return the address of a socket, or of its peer."""
    if peer:
        return AF_NETLINK, sk.dst_portid, _group_mask(sk.dst_group)
    return AF_NETLINK, sk.portid, sk.groups & 0xFFFF_FFFF


def _alloc_large_skb(sk: NetlinkSock, msg: Msghdr, length: int) -> SkBuff:
    try:
        skb = __alloc_skb(sk.kernel, length)
    except OSError:
        raise OSError(ENOBUFS, "no memory for the message") from None
    copy_from_iter(msg, skb.view, skb_put(skb, length), length)
    return skb


def netlink_sendmsg(sk: NetlinkSock, msg: Msghdr, length: int) -> int:
    """Send a message to a socket by its number (0: to the kernel), and to a group if the address has one.

    Raises
    ------
    OSError
        ``EOPNOTSUPP``, ``EINVAL``, ``EMSGSIZE``, ``ENOBUFS``; what ``netlink_unicast`` raises.
    """
    if msg.flags & MSG_OOB:
        raise OSError(EOPNOTSUPP, "netlink has no urgent data")
    if msg.name is not None:
        family, dst_portid, groups = msg.name
        if family != AF_NETLINK:
            raise OSError(EINVAL, "not an address of netlink")
        dst_group = _ffs(groups)
    else:
        dst_portid, dst_group = sk.dst_portid, sk.dst_group
    if not sk.bound:
        netlink_autobind(sk)
    if length > sk.sk_sndbuf - 32:
        raise OSError(EMSGSIZE, f"{length} octets are more than the send buffer takes")
    skb = _alloc_large_skb(sk, msg, length)
    skb.cb = NetlinkCb(sk.portid, dst_group)
    if dst_group:
        netlink_broadcast(sk.net, sk, skb_get(skb), dst_portid, dst_group)
    return netlink_unicast(sk.net, sk, skb, dst_portid, msg.flags & MSG_DONTWAIT != 0)


def netlink_recvmsg(sk: NetlinkSock, msg: RecvMsghdr, length: int, flags: int) -> int:
    """Receive a message; what does not fit is lost, and ``MSG_TRUNC`` says so. A dump under way goes on.

    Raises
    ------
    OSError
        ``EOPNOTSUPP``; ``ENOBUFS`` if messages were missed; ``EAGAIN``.
    """
    if flags & MSG_OOB:
        raise OSError(EOPNOTSUPP, "netlink has no urgent data")
    skb = skb_recv_datagram(sk, flags)
    assert skb is not None  # These sockets cannot be shut down.
    sk.max_recvmsg_len = min(max(sk.max_recvmsg_len, length), _MAX_RECVMSG_LEN)
    copied = skb.len
    if length < copied:
        msg.flags |= MSG_TRUNC
        copied = length
    skb_copy_datagram_iter(skb, 0, msg, copied)
    cb: NetlinkCb = skb.cb
    msg.name = (AF_NETLINK, cb.portid, _group_mask(cb.dst_group))
    if sk.pktinfo:
        put_cmsg(msg, SOL_NETLINK, NetlinkOpt.PKTINFO, _U32.pack(cb.dst_group))
    if flags & MSG_TRUNC:
        copied = skb.len
    skb_free_datagram(sk, skb)
    if sk.cb is not None and sk.sk_rmem_alloc <= sk.sk_rcvbuf // 2:
        error = netlink_dump(sk)
        if error:
            sk.sk_err = -error
    netlink_rcv_wake(sk)
    return copied


_FLAGS = {
    NetlinkOpt.PKTINFO: "pktinfo",
    NetlinkOpt.BROADCAST_ERROR: "broadcast_error",
    NetlinkOpt.NO_ENOBUFS: "no_enobufs",
    NetlinkOpt.CAP_ACK: "cap_ack",
    NetlinkOpt.EXT_ACK: "ext_ack",
    NetlinkOpt.GET_STRICT_CHK: "strict_chk",
}


def netlink_setsockopt(sk: NetlinkSock, level: int, optname: int, octets: bytes) -> int:
    """Set an option.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``; ``EINVAL`` for a group that there is not.
    """
    if level != SOL_NETLINK:
        sock_no_setsockopt(sk, level, optname, octets)
    value: int = _U32.unpack_from(octets)[0] if len(octets) >= _U32.size else 0
    if optname in (NetlinkOpt.ADD_MEMBERSHIP, NetlinkOpt.DROP_MEMBERSHIP):
        if not 0 < value <= netlink_realloc_groups(sk):
            raise OSError(EINVAL, f"no group {value}")
        bit = 1 << value - 1
        add = optname == NetlinkOpt.ADD_MEMBERSHIP
        netlink_update_socket_mc(sk, sk.groups | bit if add else sk.groups & ~bit)
        return 0
    if optname not in _FLAGS:
        raise OSError(ENOPROTOOPT, f"no option {optname} of netlink")
    setattr(sk, _FLAGS[NetlinkOpt(optname)], value != 0)
    if optname == NetlinkOpt.NO_ENOBUFS and value:
        sk.congested = False
        sk.kernel.platform.wake(sk.wait)
    return 0


def netlink_getsockopt(sk: NetlinkSock, level: int, optname: int) -> int | bytes:
    """Return an option; of ``LIST_MEMBERSHIPS`` the groups as bits, in numbers of 32 bits.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``.
    """
    if level != SOL_NETLINK:
        sock_no_getsockopt(sk, level, optname)
    if optname == NetlinkOpt.LIST_MEMBERSHIPS:
        words = -(-sk.ngroups // 32)
        return b"".join(_U32.pack(sk.groups >> 32 * word & 0xFFFF_FFFF) for word in range(words))
    if optname not in _FLAGS:
        raise OSError(ENOPROTOOPT, f"no option {optname} of netlink")
    return int(getattr(sk, _FLAGS[NetlinkOpt(optname)]))


def _close(sk: Any) -> None:
    netlink_release(sk)


def _get_port(sk: Any, port: int) -> int:
    netlink_autobind(sk)
    return 0


netlink_proto = Proto(
    "NETLINK",
    sendmsg=netlink_sendmsg,
    recvmsg=netlink_recvmsg,
    connect=netlink_connect,
    get_port=_get_port,
    unhash=netlink_remove,
    close=_close,
    setsockopt=netlink_setsockopt,
    getsockopt=netlink_getsockopt,
)

netlink_ops = ProtoOps(
    sockaddr=sockaddr_nl,
    address=_address,
    release=netlink_release,
    bind=netlink_bind,
    connect=netlink_connect,
    getname=netlink_getname,
    poll=datagram_poll,
    sendmsg=netlink_sendmsg,
    recvmsg=netlink_recvmsg,
    setsockopt=netlink_setsockopt,
    getsockopt=netlink_getsockopt,
)

"""Raw sockets: protocols in programs (Linux: net/ipv4/raw.c)."""

from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EDESTADDRREQ,
    EFAULT,
    EHOSTUNREACH,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOBUFS,
    EOPNOTSUPP,
    EPERM,
    EPROTO,
)
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import (
    skb_copy_datagram_iter,
    skb_free_datagram,
    skb_recv_datagram,
    sock_def_error_report,
    sock_queue_rcv_skb_reason,
)
from ..core.drop_reasons import SkbDropReason
from ..core.neighbour import neigh_confirm
from ..core.netdevice import NET_RX_DROP, NET_RX_SUCCESS
from ..core.proto_ops import sock_no_ioctl
from ..core.skbuff import SkBuff, kfree_skb_reason, put_page
from ..core.skbuff_data import skb_clone
from ..core.sock import SOCK_RECV_CMSGS, Proto, lock_sock_nested, release_sock, sk_dst_reset
from ..socket_cmsg import __sock_recv_cmsgs
from ..uapi import (
    AF_INET,
    AF_UNSPEC,
    IP_PMTUDISC_DONT,
    IPPROTO_ICMP,
    IPPROTO_RAW,
    MSG_CONFIRM,
    MSG_DONTROUTE,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PROBE,
    MSG_TRUNC,
)
from ..uapi_ioctl import SIOCINQ, SIOCOUTQ
from ..xfrm.xfrm import XFRM_POLICY_IN
from ..xfrm.xfrm_policy import xfrm4_policy_check
from .datagram import ip4_datagram_connect, ip4_datagram_release_cb
from .fib_frontend import inet_addr_type
from .flow import FLOWI_FLAG_KNOWN_NH, Flowi4
from .icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    ICMP_PARAMETERPROB,
    ICMP_REDIRECT,
    ICMP_SOURCE_QUENCH,
    NR_ICMP_UNREACH,
    icmp_err_convert,
)
from .igmp import ip_mc_sf_allow
from .inet_sock import InetSock, IpcmCookie, inet_can_nonlocal_bind, inet_sk_flowi_flags, ipcm_init_sk
from .ip_options import first_hop
from .ip_output_make import (
    ip_append_data,
    ip_flush_pending_frames,
    ip_generic_getfrag,
    ip_push_pending_frames,
)
from .ip_recv import ip_cmsg_recv_offset, ip_icmp_error, ip_recv_error, ipv4_pktinfo_prepare
from .ip_sockglue import ip_cmsg_send
from .raw_hdrinc import raw_send_hdrinc
from .raw_options import ip_ra_control, raw_getsockopt, raw_setsockopt
from .route import RTCF_BROADCAST, ip_neigh_for_gw, ip_route_output_flow
from .route_icmp import ipv4_sk_redirect, ipv4_sk_update_pmtu
from .rtnetlink import RtScope, RtType

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr, RecvMsghdr, Sockaddr
    from ..core.net import Net
    from .route import RTable

__all__ = [
    "RawSock",
    "icmp_filter",
    "raw_getfrag",
    "raw_icmp_error",
    "raw_local_deliver",
    "raw_probe_proto_opt",
    "raw_prot",
    "raw_rcv",
    "raw_recvmsg",
    "raw_sendmsg",
]

_ADDRESSES = Struct("!II")
_ADDRESS = Struct("!I")
_INT = Struct("=i")


class RawSock(InetSock):
    """A raw socket (Linux: ``struct raw_sock``): ``inet_num`` is its protocol.

    Members
    -------
    filter : int
        Types of ICMP messages, as bits, that it does not want (``ICMP_FILTER``).
    hdrincl : bool
        Programs write the IPv4 headers (``IP_HDRINCL``).
    """

    __slots__ = ("filter", "hdrincl")

    def __init__(self, net: "Net", family: int, type: int, protocol: int) -> None:
        super().__init__(net, family, type, protocol, raw_prot)
        self.filter = 0
        self.hdrincl = protocol == IPPROTO_RAW
        self.inet_num = protocol
        net.ipv4.raw_hashinfo.setdefault(protocol, []).append(self)  # raw_hash_sk()


def raw_unhash_sk(sk: RawSock) -> None:
    """Have a socket receive no longer."""
    hashinfo = sk.net.ipv4.raw_hashinfo
    sks = hashinfo.get(sk.sk_protocol, [])
    if sk in sks:
        sks.remove(sk)
        if not sks:
            del hashinfo[sk.sk_protocol]


def raw_v4_match(sk: RawSock, raddr: int, laddr: int, dif: int) -> bool:
    """Return whether a socket wants packets from an address, to an address, by a device."""
    return (
        (not sk.inet_daddr or sk.inet_daddr == raddr)
        and (not sk.inet_rcv_saddr or sk.inet_rcv_saddr == laddr)
        and (not sk.sk_bound_dev_if or sk.sk_bound_dev_if == dif)
    )


def icmp_filter(sk: RawSock, skb: SkBuff) -> bool:
    """Return whether a socket does not want an ICMP message."""
    if not sk.filter:
        return False
    if skb.tail <= skb.data:
        return True
    kind = skb.view[skb.data]
    return kind < 32 and sk.filter >> kind & 1 != 0


def raw_local_deliver(skb: SkBuff, protocol: int) -> bool:
    """Give copies of a packet to the raw sockets that want it; return whether there were any."""
    dev = skb.dev
    assert dev is not None
    hashinfo = dev.net.ipv4.raw_hashinfo
    if protocol not in hashinfo:
        return False
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    delivered = False
    for sk in tuple(hashinfo[protocol]):
        if not raw_v4_match(sk, saddr, daddr, skb.skb_iif):
            continue
        delivered = True
        if protocol == IPPROTO_ICMP and icmp_filter(sk, skb):
            continue
        if ip_mc_sf_allow(sk, daddr, saddr, skb.skb_iif):
            raw_rcv(sk, skb_clone(skb))
    return delivered


def raw_rcv(sk: RawSock, skb: SkBuff) -> int:
    """Queue a packet, with its IPv4 header, for a socket; return ``NET_RX_*``."""
    if not xfrm4_policy_check(sk, XFRM_POLICY_IN, skb):
        sk.sk_drops += 1
        kfree_skb_reason(skb, SkbDropReason.XFRM_POLICY)
        return NET_RX_DROP
    at = skb.network_header
    skb.len += skb.data - at
    skb.data = at
    ipv4_pktinfo_prepare(sk, skb)
    error = sock_queue_rcv_skb_reason(sk, skb)
    if error:
        reason = SkbDropReason.SOCKET_FILTER if error == -EPERM else SkbDropReason.SOCKET_RCVBUFF
        kfree_skb_reason(skb, reason)
        return NET_RX_DROP
    return NET_RX_SUCCESS


def raw_icmp_error(skb: SkBuff, protocol: int, info: int) -> None:
    """Tell raw sockets of an ICMP error; the skb's data starts at the IPv4 header of the packet that caused it."""
    dev = skb.dev
    assert dev is not None
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.data + 12)
    for sk in tuple(dev.net.ipv4.raw_hashinfo.get(protocol, ())):
        if raw_v4_match(sk, daddr, saddr, skb.skb_iif):
            raw_err(sk, skb, info)


def raw_err(sk: RawSock, skb: SkBuff, info: int) -> None:
    """Tell one socket of an ICMP error: each if it asked for all (``IP_RECVERR``), else those that last."""
    kind, code = skb.view[skb.transport_header], skb.view[skb.transport_header + 1]
    if kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED:
        ipv4_sk_update_pmtu(skb, sk, info)
    elif kind == ICMP_REDIRECT:
        ipv4_sk_redirect(skb, sk)
        return
    if kind == ICMP_SOURCE_QUENCH or not (sk.recverr or sk.connected):
        return
    error, hard = EHOSTUNREACH, False
    if kind == ICMP_PARAMETERPROB:
        error, hard = EPROTO, True
    elif kind == ICMP_DEST_UNREACH:
        if code <= NR_ICMP_UNREACH:
            error, hard = icmp_err_convert[code]
        if code == ICMP_FRAG_NEEDED:
            error, hard = EMSGSIZE, sk.pmtudisc != IP_PMTUDISC_DONT
    if sk.recverr:
        payload = skb.data + ((skb.view[skb.data] & 15) << 2)
        ip_icmp_error(sk, skb, error, 0, info, payload)
    if sk.recverr or hard:
        sk.sk_err = error
        sock_def_error_report(sk)


def raw_probe_proto_opt(msg: "Msghdr", fl4: Flowi4) -> None:
    """Put type and code of an ICMP message that a program sends into the flow's key.

    Raises
    ------
    OSError
        ``EFAULT`` if it has not both.
    """
    if fl4.proto != IPPROTO_ICMP:
        return
    head = b""
    for buffer in msg.iov:
        head += bytes(memoryview(buffer)[: 2 - len(head)])
        if len(head) == 2:
            fl4.sport, fl4.dport = head
            return
    raise OSError(EFAULT, "an ICMP message has a type and a code")


def raw_getfrag(msg: "Msghdr", view: memoryview, to: int, offset: int, length: int, odd: int, skb: SkBuff) -> None:
    """Copy the next part of a message."""
    ip_generic_getfrag(msg, view, to, offset, length, odd, skb)


def raw_sendmsg(sk: RawSock, msg: "Msghdr", length: int) -> int:
    """Send a message as the payload of an IPv4 packet of the socket's protocol, or with ``IP_HDRINCL`` as the packet.

    Returns
    -------
    int
        Number of octets taken.

    Raises
    ------
    OSError
        ``EMSGSIZE``, ``EFAULT``, ``EDESTADDRREQ``, ``EACCES`` for a broadcast without ``SO_BROADCAST``,
        ``EOPNOTSUPP`` for ``MSG_OOB``, ``EAFNOSUPPORT``; what routing, building and sending raise.
    """
    flags = msg.flags
    if length > 0xFFFF:
        raise OSError(EMSGSIZE, "longer than an IPv4 packet")
    if flags & MSG_OOB:
        raise OSError(EOPNOTSUPP, "raw sockets have no out-of-band data")
    if msg.name is not None:
        family, daddr, _ = msg.name
        if family != AF_INET and family != AF_UNSPEC:
            raise OSError(EAFNOSUPPORT, "not an IPv4 address")
    else:
        if not sk.connected:
            raise OSError(EDESTADDRREQ, "neither connected nor given a destination")
        daddr = sk.inet_daddr
    ipc = ipcm_init_sk(sk)
    if msg.control:
        ip_cmsg_send(sk, msg, ipc)
    saddr = ipc.addr
    ipc.addr = daddr
    if ipc.opt and sk.hdrincl:
        raise OSError(EINVAL, "IP options, and a header that the program writes")
    hop = first_hop(ipc.opt) if ipc.opt else 0
    fl4 = Flowi4(hop or daddr, saddr, IPPROTO_RAW if sk.hdrincl else sk.sk_protocol)
    if sk.sk_localroute or flags & MSG_DONTROUTE:
        fl4.scope = RtScope.LINK
    if daddr >> 28 == 0xE:
        ipc.oif = ipc.oif or sk.mc_index
        fl4.saddr = saddr or sk.mc_addr
    elif not ipc.oif:
        ipc.oif = sk.uc_index
    fl4.tos = (ipc.tos if ipc.tos != -1 else sk.tos) & 0x1E
    fl4.mark = ipc.mark
    fl4.oif = ipc.oif
    fl4.flags = inet_sk_flowi_flags(sk)
    if sk.hdrincl:
        fl4.flags |= FLOWI_FLAG_KNOWN_NH
    else:
        raw_probe_proto_opt(msg, fl4)
    try:
        rt = ip_route_output_flow(sk.net, fl4, sk)
    except OSError as error:
        if error.errno == ENETUNREACH:
            sk.net.mib["Ip:OutNoRoutes"] += 1
        raise
    if rt.flags & RTCF_BROADCAST and not sk.sk_broadcast:
        raise OSError(EACCES, "a broadcast needs SO_BROADCAST")
    if flags & MSG_CONFIRM:
        neigh_confirm(ip_neigh_for_gw(rt, fl4.daddr))
        if flags & MSG_PROBE and not length:
            return 0
    if sk.hdrincl:
        return raw_send_hdrinc(sk, fl4, msg, length, rt, ipc.mark)
    ipc.addr = ipc.addr or fl4.daddr
    return _append_and_push(sk, msg, length, fl4, ipc, rt)


def _append_and_push(sk: RawSock, msg: "Msghdr", length: int, fl4: Flowi4, ipc: IpcmCookie, rt: "RTable") -> int:
    lock_sock_nested(sk)
    try:
        try:
            ip_append_data(sk, fl4, raw_getfrag, msg, length, 0, ipc, rt, msg.flags)
        except OSError:
            ip_flush_pending_frames(sk)
            raise
        error = 0
        if not msg.flags & MSG_MORE:
            error = ip_push_pending_frames(sk, fl4)
    finally:
        release_sock(sk)
    if error and (error != -ENOBUFS or sk.recverr):
        raise OSError(-error, "the packet was dropped on its way out")
    return length


def raw_recvmsg(sk: RawSock, msg: "RecvMsghdr", length: int, flags: int) -> int:
    """Give the program the next packet, with its IPv4 header; what it has no room for is cut off.

    Returns
    -------
    int
        Number of octets that the program got; with ``MSG_TRUNC``, that the packet has.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` for ``MSG_OOB``; as ``skb_recv_datagram``.
    """
    if flags & MSG_OOB:
        raise OSError(EOPNOTSUPP, "raw sockets have no out-of-band data")
    if flags & MSG_ERRQUEUE:
        return ip_recv_error(sk, msg, length)
    skb = skb_recv_datagram(sk, flags)
    if skb is None:
        return 0
    copied = skb.len
    if length < copied:
        msg.flags |= MSG_TRUNC
        copied = length
    skb_copy_datagram_iter(skb, 0, msg, copied)
    if sk.sk_flags & SOCK_RECV_CMSGS:
        __sock_recv_cmsgs(msg, sk, skb)
    msg.name = (AF_INET, _ADDRESS.unpack_from(skb.view, skb.network_header + 12)[0], 0)
    if sk.cmsg_flags:
        ip_cmsg_recv_offset(sk, msg, skb, 0)
    if flags & MSG_TRUNC:
        copied = skb.len
    skb_free_datagram(sk, skb)
    return copied


def raw_bind(sk: RawSock, address: "Sockaddr") -> int:
    """Give a socket a local address: it sends from there, and receives what is for there.

    Raises
    ------
    OSError
        ``EINVAL`` if it is connected, ``EAFNOSUPPORT``, ``EADDRNOTAVAIL``.
    """
    family, addr, _ = address
    if sk.connected:
        raise OSError(EINVAL, "the socket is connected")
    if family != AF_INET and family != AF_UNSPEC:
        raise OSError(EAFNOSUPPORT, "not an IPv4 address")
    kind = inet_addr_type(sk.net, addr) if addr else RtType.LOCAL
    if kind not in (RtType.LOCAL, RtType.BROADCAST, RtType.MULTICAST) and not inet_can_nonlocal_bind(sk.net, sk):
        raise OSError(EADDRNOTAVAIL, "not an address of this host")
    sk.inet_rcv_saddr = addr
    sk.inet_saddr = addr if kind in (RtType.LOCAL, RtType.UNICAST) else 0
    sk_dst_reset(sk)
    return 0


def raw_close(sk: RawSock) -> None:
    """Close a socket; what it has not taken is dropped."""
    if sk in sk.net.ipv4.ra_chain:
        ip_ra_control(sk, False)
    raw_unhash_sk(sk)
    ip_flush_pending_frames(sk)
    for queue in (sk.sk_receive_queue, sk.sk_error_queue):
        while queue:
            kfree_skb_reason(queue.popleft(), SkbDropReason.CONSUMED)
    if sk.sk_frag is not None:
        put_page(sk.kernel, sk.sk_frag)
        sk.sk_frag = None
    sk_dst_reset(sk)


def raw_ioctl(sk: RawSock, request: int, arg: bytearray) -> None:
    """Tell how many octets wait to be sent, or the next packet has.

    Raises
    ------
    OSError
        ``ENOTTY`` for another request.
    """
    if request == SIOCOUTQ:
        _INT.pack_into(arg, 0, sk.sk_wmem_alloc)
    elif request == SIOCINQ:
        _INT.pack_into(arg, 0, sk.sk_receive_queue[0].len if sk.sk_receive_queue else 0)
    else:
        sock_no_ioctl(sk, request, arg)


def raw_get_port(sk: RawSock, port: int) -> int:
    """Return 0: raw sockets have a protocol in place of a port."""
    return 0


raw_prot = Proto(
    "RAW",
    sendmsg=raw_sendmsg,
    recvmsg=raw_recvmsg,
    bind=raw_bind,
    connect=ip4_datagram_connect,
    get_port=raw_get_port,
    unhash=raw_unhash_sk,
    close=raw_close,
    ioctl=raw_ioctl,
    setsockopt=raw_setsockopt,
    getsockopt=raw_getsockopt,
    release_cb=ip4_datagram_release_cb,
)

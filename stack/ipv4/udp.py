"""The User Datagram Protocol, sending (Linux: net/ipv4/udp.c; RFC 768)."""

from errno import (
    EACCES,
    EAFNOSUPPORT,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOBUFS,
    EOPNOTSUPP,
)
from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.msghdr import Msghdr
from ..core.neighbour import neigh_confirm
from ..core.skbuff import CHECKSUM_NONE, CHECKSUM_PARTIAL, SKB_GSO_UDP_L4, SkBuff, kfree_skb_reason, put_page
from ..core.skbuff_data import skb_checksum, skb_walk_frags
from ..core.sock import Proto, lock_sock_nested, release_sock, sk_dst_check, sk_dst_reset, sk_dst_set
from ..uapi import (
    AF_INET,
    AF_UNSPEC,
    IPPROTO_UDP,
    MSG_CONFIRM,
    MSG_DONTROUTE,
    MSG_MORE,
    MSG_OOB,
    MSG_PROBE,
    SOL_UDP,
)
from ..wire.checksum import csum_add, csum_fold, csum_partial, csum_tcpudp_nofold
from .datagram import ip4_datagram_connect, ip4_datagram_release_cb
from .flow import Flowi4
from .inet_sock import InetCork, InetSock, IpcmCookie, inet_sk_flowi_flags, ipcm_init_sk
from .ip_options import first_hop
from .ip_output import ip_send_skb
from .ip_output_make import (
    __ip_make_skb,
    ip_append_data,
    ip_flush_pending_frames,
    ip_generic_getfrag,
    ip_make_skb,
)
from .ip_sockglue import ip_cmsg_send, ip_getsockopt, ip_setsockopt
from .route import RTCF_BROADCAST, RTable, ip_neigh_for_gw, ip_route_output_flow
from .rtnetlink import RtScope
from .udp_memory import udp_rmem_release
from .udp_options import udp_cmsg_send, udp_lib_getsockopt, udp_lib_setsockopt
from .udp_recvmsg import udp_ioctl, udp_recvmsg
from .udp_table import udp_lib_unhash, udp_v4_get_port

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "UdpSock",
    "udp4_hwcsum",
    "udp_flush_pending_frames",
    "udp_prot",
    "udp_push_pending_frames",
    "udp_send_skb",
    "udp_sendmsg",
]

_UDP_HEADER = Struct("!HHHH")
_CHECK = Struct("!H")
_CHECK_OFFSET = 6  # Where the checksum is in the header.
UDP_MAX_SEGMENTS = 1 << 7


class UdpSock(InetSock):
    """A UDP socket (Linux: ``struct udp_sock``).

    Members
    -------
    pending : bool
        A datagram is being put together, of ``len`` octets with its header so far.
    corkflag : bool
        ``UDP_CORK``: go on putting together until it is taken away.
    sk_rx_dst : RTable or None
        The route of what a connected socket receives.
    encap_type : int
        ``UDP_ENCAP``: ESP that comes in its datagrams goes to IPsec; 0: it has none.
    gso_size : int
        ``UDP_SEGMENT``: what is sent is cut into datagrams of so many octets; 0: it is one.
    gro_enabled : bool
        ``UDP_GRO``: it takes many datagrams in one packet.
    no_check6_tx, no_check6_rx : bool
        Over IPv6, no checksum need be there; over IPv4 of no effect.
    """

    __slots__ = (
        "corkflag",
        "encap_type",
        "gro_enabled",
        "gso_size",
        "len",
        "no_check6_rx",
        "no_check6_tx",
        "pending",
        "sk_rx_dst",
    )

    def __init__(self, net: "Net", family: int, type: int, protocol: int) -> None:
        super().__init__(net, family, type, protocol, udp_prot)
        self.pending = False
        self.corkflag = self.gro_enabled = self.no_check6_tx = self.no_check6_rx = False
        self.len = self.gso_size = self.encap_type = 0
        self.sk_rx_dst: RTable | None = None


def udp_sendmsg(sk: UdpSock, msg: Msghdr, length: int) -> int:
    """Send a message as a datagram, or append it to the one that is being put together.

    Returns
    -------
    int
        Number of octets taken.

    Raises
    ------
    OSError
        ``EMSGSIZE``, ``EDESTADDRREQ``, ``EACCES`` for a broadcast without ``SO_BROADCAST``, ``EOPNOTSUPP`` for
        ``MSG_OOB``, ``EAFNOSUPPORT``, ``EINVAL``; what routing, building and sending raise.
    """
    flags = msg.flags
    if length > 0xFFFF:
        raise OSError(EMSGSIZE, "longer than a UDP datagram")
    if flags & MSG_OOB:
        raise OSError(EOPNOTSUPP, "UDP has no out-of-band data")
    if sk.pending:
        lock_sock_nested(sk)
        try:
            if sk.pending:
                return _udp_append(sk, msg, length, None, None)
        finally:
            release_sock(sk)
    connected = msg.name is None
    if msg.name is not None:
        family, daddr, dport = msg.name
        if family != AF_INET and family != AF_UNSPEC:
            raise OSError(EAFNOSUPPORT, "not an IPv4 address")
        if not dport:
            raise OSError(EINVAL, "port 0")
    else:
        if not sk.connected:
            raise OSError(EDESTADDRREQ, "neither connected nor given a destination")
        daddr = sk.inet_daddr
        dport = sk.inet_dport
    ipc = ipcm_init_sk(sk)
    ipc.gso_size = sk.gso_size
    if msg.control and udp_cmsg_send(msg, ipc):
        ip_cmsg_send(sk, msg, ipc)
        connected = False
    fl4 = Flowi4(daddr, ipc.addr, sk.sk_protocol, sk.inet_num, dport)
    ipc.addr = daddr
    rt = _udp_route(sk, fl4, ipc, flags, connected)
    if not daddr:
        ipc.addr = fl4.daddr
    if flags & MSG_CONFIRM:
        # The program has heard from the peer: so has, for a peer on the link, its entry.
        neigh_confirm(ip_neigh_for_gw(rt, fl4.daddr))
        if flags & MSG_PROBE and not length:
            return 0
    try:
        if sk.corkflag or flags & MSG_MORE:
            return _udp_cork(sk, fl4, msg, length, ipc, rt)
        cork = InetCork()
        skb = ip_make_skb(sk, fl4, ip_generic_getfrag, msg, length + 8, 8, ipc, rt, cork, flags)
        error = udp_send_skb(sk, skb, fl4, cork) if skb is not None else 0
    except OSError as problem:
        # Both tell of a send buffer without room.
        if problem.errno == ENOBUFS or sk.sk_nospace:
            sk.net.mib["Udp:SndbufErrors"] += 1
        raise
    if error:
        raise OSError(-error, "the datagram was dropped on its way out")
    return length


def _udp_route(sk: UdpSock, fl4: Flowi4, ipc: IpcmCookie, flags: int, connected: bool) -> RTable:
    """Return the route for a datagram: that of a connected socket while it is good, else a new one.

    Raises
    ------
    OSError
        As ``ip_route_output_flow``; ``EACCES`` for a broadcast without ``SO_BROADCAST``.
    """
    daddr = fl4.daddr
    if ipc.opt:
        hop = first_hop(ipc.opt)
        if hop:
            fl4.daddr = hop
            connected = False
    if sk.sk_localroute or flags & MSG_DONTROUTE:
        fl4.scope = RtScope.LINK
        connected = False
    if daddr >> 28 == 0xE:
        ipc.oif = ipc.oif or sk.mc_index
        fl4.saddr = fl4.saddr or sk.mc_addr
        connected = False
    elif not ipc.oif:
        ipc.oif = sk.uc_index
    if connected:
        kept = sk_dst_check(sk)
        if kept is not None:
            return kept  # type: ignore[return-value]  # What sk_dst_set got below.
    fl4.tos = (ipc.tos if ipc.tos != -1 else sk.tos) & 0x1E
    fl4.mark = ipc.mark
    fl4.oif = ipc.oif
    fl4.flags = inet_sk_flowi_flags(sk)
    try:
        rt = ip_route_output_flow(sk.net, fl4, sk)
    except OSError as error:
        if error.errno == ENETUNREACH:
            sk.net.mib["Ip:OutNoRoutes"] += 1
        raise
    if rt.flags & RTCF_BROADCAST and not sk.sk_broadcast:
        raise OSError(EACCES, "a broadcast needs SO_BROADCAST")
    if connected:
        sk_dst_set(sk, rt)
    return rt


def _udp_cork(sk: UdpSock, fl4: Flowi4, msg: Msghdr, length: int, ipc: IpcmCookie, rt: RTable) -> int:
    """Begin to put a datagram together."""
    lock_sock_nested(sk)
    try:
        if sk.pending:
            # Another task began one while this one looked for a route.
            raise OSError(EINVAL, "the socket is corked already")
        sk.cork_fl = fl4
        sk.pending = True
        return _udp_append(sk, msg, length, ipc, rt)
    finally:
        release_sock(sk)


def _udp_append(sk: UdpSock, msg: Msghdr, length: int, ipc: IpcmCookie | None, rt: RTable | None) -> int:
    """Append to the datagram that is being put together, and send it unless there is more to come.

    Only the first append needs ``ipc`` and ``rt``; an error throws all of the datagram away.
    """
    more = sk.corkflag or msg.flags & MSG_MORE
    flags = msg.flags | MSG_MORE if more else msg.flags
    ulen = length if sk.sk_write_queue else length + 8
    sk.len += ulen
    try:
        ip_append_data(sk, sk.cork_fl, ip_generic_getfrag, msg, ulen, 8, ipc, rt, flags)
    except OSError:
        udp_flush_pending_frames(sk)
        raise
    if not more:
        error = udp_push_pending_frames(sk)
        if error:
            raise OSError(-error, "the datagram was dropped on its way out")
    elif not sk.sk_write_queue:
        sk.pending = False  # MSG_PROBE appends nothing.
    return length


def udp_flush_pending_frames(sk: UdpSock) -> None:
    """Throw away the datagram that is being put together."""
    if sk.pending:
        sk.len = 0
        sk.pending = False
        ip_flush_pending_frames(sk)


def udp_push_pending_frames(sk: UdpSock) -> int:
    """Send the datagram that was put together; return 0 or a negative errno."""
    sk.len = 0
    sk.pending = False
    if not sk.sk_write_queue:
        return 0
    skb = __ip_make_skb(sk, sk.cork_fl, sk.sk_write_queue, sk.cork)
    return udp_send_skb(sk, skb, sk.cork_fl, sk.cork)


def udp4_hwcsum(skb: SkBuff, saddr: int, daddr: int) -> None:
    """Leave the checksum of a datagram to the device; of one with a list of skbs, compute it."""
    at = skb.transport_header
    length = skb.len - (at - skb.data)
    if skb.frag_list is None:
        skb.csum_start = at
        skb.csum_offset = _CHECK_OFFSET
        check = csum_tcpudp_nofold(saddr, daddr, length, IPPROTO_UDP)
    else:
        csum = csum_partial(skb.view[at : skb.tail])
        for frag in skb_walk_frags(skb):
            csum = csum_add(csum, skb_checksum(frag, 0, frag.len))
        skb.ip_summed = CHECKSUM_NONE
        check = csum_fold(csum_tcpudp_nofold(saddr, daddr, length, IPPROTO_UDP, csum)) or 0xFFFF
    _CHECK.pack_into(skb.view, at + _CHECK_OFFSET, check)


def _set_gso(sk: UdpSock, skb: SkBuff, cork: InetCork, length: int) -> int:
    """Say into what a packet is to be cut on its way out; return 0, or why it cannot be as a negative errno."""
    headers = skb.transport_header - skb.network_header + 8
    if headers + min(length, cork.gso_size) > cork.fragsize:
        return -EMSGSIZE
    if length > cork.gso_size * UDP_MAX_SEGMENTS or sk.sk_no_check_tx:
        return -EINVAL
    if length > cork.gso_size:
        skb.gso_size = cork.gso_size
        skb.gso_type = SKB_GSO_UDP_L4
        skb.gso_segs = -(-length // cork.gso_size)
    return 0


def udp_send_skb(sk: UdpSock, skb: SkBuff, fl4: Flowi4, cork: InetCork) -> int:
    """Write the header of a finished datagram, see to its checksum, and send it; return 0 or a negative errno."""
    at = skb.transport_header
    length = skb.len - (at - skb.data)
    _UDP_HEADER.pack_into(skb.view, at, sk.inet_num, fl4.dport, length, 0)
    mib = sk.net.mib
    # Of a source route the header has the first hop, but the receiver will sum its own address, the last one.
    daddr = cork.addr if cork.opt else fl4.daddr
    if cork.gso_size:
        error = _set_gso(sk, skb, cork, length - 8)
        if error:
            kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
            return error
    if sk.sk_no_check_tx:
        skb.ip_summed = CHECKSUM_NONE
    elif skb.ip_summed == CHECKSUM_PARTIAL or skb.gso_size:
        skb.ip_summed = CHECKSUM_PARTIAL  # Whatever the device can: each datagram gets its own checksum.
        udp4_hwcsum(skb, fl4.saddr, daddr)
    else:
        csum = csum_partial(skb.view[at : at + 8], skb.csum)
        if skb.frag_list is not None:
            for frag in skb_walk_frags(skb):
                csum = csum_add(csum, frag.csum)
        check = csum_fold(csum_tcpudp_nofold(fl4.saddr, daddr, length, IPPROTO_UDP, csum)) or 0xFFFF
        _CHECK.pack_into(skb.view, at + _CHECK_OFFSET, check)
    error = ip_send_skb(sk.net, skb)
    if not error:
        mib["Udp:OutDatagrams"] += 1
    elif error == -ENOBUFS and not sk.recverr:
        # A queue on the way was full: the program is told only if it wants to know everything.
        mib["Udp:SndbufErrors"] += 1
        return 0
    return error


def udp_setsockopt(sk: UdpSock, level: int, optname: int, octets: bytes) -> int:
    """Set an option of UDP, or of IP.

    Raises
    ------
    OSError
        As ``udp_lib_setsockopt`` and ``ip_setsockopt``.
    """
    if level != SOL_UDP:
        return ip_setsockopt(sk, level, optname, octets)
    return udp_lib_setsockopt(sk, optname, octets, udp_push_pending_frames)


def udp_getsockopt(sk: UdpSock, level: int, optname: int) -> int | bytes:
    """Return an option of UDP, or of IP.

    Raises
    ------
    OSError
        As ``udp_lib_getsockopt`` and ``ip_getsockopt``.
    """
    return udp_lib_getsockopt(sk, optname) if level == SOL_UDP else ip_getsockopt(sk, level, optname)


def udp_destroy_sock(sk: UdpSock) -> None:
    """Close a socket: what it has put together is thrown away, what it has sent goes its way."""
    lock_sock_nested(sk)
    udp_flush_pending_frames(sk)
    release_sock(sk)
    if sk.sk_frag is not None:
        put_page(sk.kernel, sk.sk_frag)
        sk.sk_frag = None
    udp_lib_unhash(sk)
    skb_queue_purge(sk)
    sk_dst_reset(sk)


def skb_queue_purge(sk: UdpSock) -> None:
    """Drop what a socket received and the program did not take."""
    while sk.sk_receive_queue:
        skb = sk.sk_receive_queue.popleft()
        udp_rmem_release(sk, skb.truesize)
        kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    while sk.sk_error_queue:
        kfree_skb_reason(sk.sk_error_queue.popleft(), SkbDropReason.CONSUMED)


udp_prot = Proto(
    "UDP",
    sendmsg=udp_sendmsg,
    recvmsg=udp_recvmsg,
    connect=ip4_datagram_connect,
    get_port=udp_v4_get_port,
    unhash=udp_lib_unhash,
    close=udp_destroy_sock,
    ioctl=udp_ioctl,
    setsockopt=udp_setsockopt,
    getsockopt=udp_getsockopt,
    release_cb=ip4_datagram_release_cb,
)

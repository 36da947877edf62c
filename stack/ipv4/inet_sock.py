"""Sockets of IPv4: what they keep beyond a plain one (Linux: include/net/inet_sock.h)."""

from collections import deque
from typing import TYPE_CHECKING

from ..core.sock import Proto, Sock
from ..uapi import IP_PMTUDISC_DONT, IP_PMTUDISC_WANT
from .flow import FLOWI_FLAG_ANYSRC

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import Page, SkBuff
    from .flow import Flowi4
    from .igmp import IpMcSocklist
    from .route import RTable

__all__ = [
    "INET_FLAGS_BIND_ADDRESS_NO_PORT",
    "INET_FLAGS_FREEBIND",
    "INET_FLAGS_NODEFRAG",
    "INET_FLAGS_RECVERR_RFC4884",
    "INET_FLAGS_TRANSPARENT",
    "IP_CMSG_CHECKSUM",
    "IP_CMSG_ORIGDSTADDR",
    "IP_CMSG_PASSSEC",
    "IP_CMSG_PKTINFO",
    "IP_CMSG_RECVFRAGSIZE",
    "IP_CMSG_RECVOPTS",
    "IP_CMSG_RETOPTS",
    "IP_CMSG_TOS",
    "IP_CMSG_TTL",
    "InetCork",
    "InetSock",
    "IpcmCookie",
    "inet_can_nonlocal_bind",
    "inet_sk_flowi_flags",
    "ipcm_init_sk",
]

# Bits of cmsg_flags: which control messages a socket gets with each packet.
IP_CMSG_PKTINFO = 1 << 0
IP_CMSG_TTL = 1 << 1
IP_CMSG_TOS = 1 << 2
IP_CMSG_RECVOPTS = 1 << 3
IP_CMSG_RETOPTS = 1 << 4
IP_CMSG_PASSSEC = 1 << 5  # There is no label to pass without a security module.
IP_CMSG_ORIGDSTADDR = 1 << 6
IP_CMSG_CHECKSUM = 1 << 7
IP_CMSG_RECVFRAGSIZE = 1 << 8

# Bits of inet_flags.
INET_FLAGS_FREEBIND = 1 << 0
INET_FLAGS_TRANSPARENT = 1 << 1
INET_FLAGS_NODEFRAG = 1 << 2
INET_FLAGS_BIND_ADDRESS_NO_PORT = 1 << 3
INET_FLAGS_RECVERR_RFC4884 = 1 << 4


class InetCork:
    """What the packets of one datagram have in common (Linux: ``struct inet_cork``); ``ip_setup_cork`` fills it in."""

    __slots__ = ("addr", "dst", "fragsize", "gso_size", "length", "mark", "opt", "priority", "tos", "ttl")

    addr: int
    dst: "RTable"
    fragsize: int
    gso_size: int
    length: int
    mark: int
    opt: bytes | None
    priority: int
    tos: int
    ttl: int


class IpcmCookie:
    """What control messages and the socket say about one send (Linux: ``struct ipcm_cookie``).

    ``ttl`` 0 and ``tos`` -1 mean those of the socket; ``opt`` None that there are no IP options;
    ``gso_size`` how long the datagrams are that the octets are cut into, 0: they are one.
    """

    __slots__ = ("addr", "gso_size", "mark", "oif", "opt", "priority", "tos", "ttl")

    def __init__(self, addr: int, oif: int, mark: int, opt: bytes | None) -> None:
        self.addr = addr  # Source address; later the first hop of a source route.
        self.oif = oif
        self.mark = mark
        self.opt = opt
        self.ttl = 0
        self.tos = -1
        self.priority = self.gso_size = 0


def ipcm_init_sk(inet: "InetSock") -> IpcmCookie:
    """Return what a socket says about its sends."""
    return IpcmCookie(inet.inet_saddr, inet.sk_bound_dev_if, inet.sk_mark, inet.opt or None)


class InetSock(Sock):
    """An IPv4 socket (Linux: ``struct inet_sock``); addresses and ports are numbers.

    Members
    -------
    inet_num : int
        Local port, 0 while there is none.
    inet_saddr, inet_rcv_saddr : int
        Local address to send from, and to receive for.
    inet_daddr, inet_dport : int
        Peer of a connected socket.
    pmtudisc : int
        ``IP_PMTUDISC_*``.
    mc_list : dict[tuple[int, int], IpMcSocklist]
        Groups that the socket is in, each with the number of its device, and from whom it wants what comes there.
    mc_all : bool
        It also gets what comes to groups that others are in (``IP_MULTICAST_ALL``).
    cmsg_flags : int
        ``IP_CMSG_*``: control messages that it gets with each packet.
    inet_flags : int
        ``INET_FLAGS_*``: options.
    uc_index, mc_index : int
        Devices for unicasts and multicasts; 0: as routing says.
    local_port_range : int
        Lowest port in its low half, highest in its high half, of those to choose from; 0: as for all.
    sk_write_queue : deque[SkBuff]
        Packets of the datagram that is being put together.
    sk_frag : Page or None
        Memory that the fragments of the next packets come from, used up to ``sk_frag_offset``.
    """

    __slots__ = (
        "bind_addr_locked",
        "bind_port_locked",
        "cmsg_flags",
        "connected",
        "cork",
        "cork_fl",
        "inet_daddr",
        "inet_dport",
        "inet_flags",
        "inet_id",
        "inet_num",
        "inet_rcv_saddr",
        "inet_saddr",
        "local_port_range",
        "mc_addr",
        "mc_all",
        "mc_index",
        "mc_list",
        "mc_loop",
        "mc_ttl",
        "min_ttl",
        "opt",
        "pmtudisc",
        "recverr",
        "sk_frag",
        "sk_frag_offset",
        "sk_write_queue",
        "tos",
        "uc_index",
        "uc_ttl",
    )

    cork: InetCork
    cork_fl: "Flowi4"

    def __init__(self, net: "Net", family: int, type: int, protocol: int, prot: Proto) -> None:
        super().__init__(net, family, type, protocol, prot)
        self.inet_num = 0
        self.inet_saddr = self.inet_rcv_saddr = 0
        self.inet_daddr = self.inet_dport = 0
        self.inet_id = 0
        self.connected = False
        self.bind_addr_locked = False  # The program chose the address: a disconnect keeps it.
        self.bind_port_locked = False
        self.tos = 0
        self.uc_ttl = -1
        self.mc_ttl = 1
        self.mc_loop = True
        self.mc_index = 0
        self.mc_addr = 0
        self.mc_all = True
        self.mc_list: dict[tuple[int, int], IpMcSocklist] = {}
        self.cmsg_flags = self.inet_flags = self.min_ttl = self.uc_index = self.local_port_range = 0
        self.recverr = False
        self.opt = b""
        self.pmtudisc = IP_PMTUDISC_DONT if net.ipv4.sysctl_ip_no_pmtu_disc else IP_PMTUDISC_WANT
        self.sk_write_queue: deque[SkBuff] = deque()
        self.sk_frag: Page | None = None
        self.sk_frag_offset = 0


def inet_sk_flowi_flags(sk: InetSock) -> int:
    """Return the flags of a socket's flows: a transparent one may send from any address."""
    return FLOWI_FLAG_ANYSRC if sk.inet_flags & INET_FLAGS_TRANSPARENT else 0


def inet_can_nonlocal_bind(net: "Net", sk: InetSock) -> bool:
    """Return whether a socket may be bound to an address that is not this host's."""
    return net.ipv4.sysctl_ip_nonlocal_bind != 0 or (
        sk.inet_flags & (INET_FLAGS_FREEBIND | INET_FLAGS_TRANSPARENT) != 0
    )

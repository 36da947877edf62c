"""Sockets of IPv4: what they keep beyond a plain one (Linux: include/net/inet_sock.h)."""

from collections import deque
from typing import TYPE_CHECKING

from ..core.sock import Proto, Sock
from ..uapi import IP_PMTUDISC_DONT, IP_PMTUDISC_WANT

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import Page, SkBuff
    from .flow import Flowi4
    from .route import RTable

__all__ = ["InetCork", "InetSock", "IpcmCookie", "ipcm_init_sk"]


class InetCork:
    """What the packets of one datagram have in common (Linux: ``struct inet_cork``); ``ip_setup_cork`` fills it in."""

    __slots__ = ("addr", "dst", "fragsize", "length", "mark", "opt", "priority", "tos", "ttl")

    addr: int
    dst: "RTable"
    fragsize: int
    length: int
    mark: int
    opt: bytes | None
    priority: int
    tos: int
    ttl: int


class IpcmCookie:
    """What control messages and the socket say about one send (Linux: ``struct ipcm_cookie``).

    ``ttl`` 0 and ``tos`` -1 mean those of the socket; ``opt`` None that there are no IP options.
    """

    __slots__ = ("addr", "mark", "oif", "opt", "priority", "tos", "ttl")

    def __init__(self, addr: int, oif: int, mark: int, opt: bytes | None) -> None:
        self.addr = addr  # Source address; later the first hop of a source route.
        self.oif = oif
        self.mark = mark
        self.opt = opt
        self.ttl = 0
        self.tos = -1
        self.priority = 0


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
    mc_list : list[tuple[int, int]]
        Groups that the socket is in, each with the number of its device.
    mc_all : bool
        It also gets what comes to groups that others are in (``IP_MULTICAST_ALL``).
    pktinfo, recvttl, recvtos : bool
        Control messages that it gets with each packet.
    sk_write_queue : deque[SkBuff]
        Packets of the datagram that is being put together.
    sk_frag : Page or None
        Memory that the fragments of the next packets come from, used up to ``sk_frag_offset``.
    """

    __slots__ = (
        "bind_addr_locked",
        "bind_port_locked",
        "connected",
        "cork",
        "cork_fl",
        "inet_daddr",
        "inet_dport",
        "inet_id",
        "inet_num",
        "inet_rcv_saddr",
        "inet_saddr",
        "mc_addr",
        "mc_all",
        "mc_index",
        "mc_list",
        "mc_loop",
        "mc_ttl",
        "opt",
        "pktinfo",
        "pmtudisc",
        "recverr",
        "recvtos",
        "recvttl",
        "sk_frag",
        "sk_frag_offset",
        "sk_write_queue",
        "tos",
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
        self.mc_list: list[tuple[int, int]] = []
        self.pktinfo = self.recvttl = self.recvtos = False
        self.recverr = False
        self.opt = b""
        self.pmtudisc = IP_PMTUDISC_DONT if net.ipv4.sysctl_ip_no_pmtu_disc else IP_PMTUDISC_WANT
        self.sk_write_queue: deque[SkBuff] = deque()
        self.sk_frag: Page | None = None
        self.sk_frag_offset = 0

"""Packet sockets as their protocol sees them (Linux: net/packet/internal.h)."""

from collections.abc import Callable
from errno import EOPNOTSUPP
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ..core.packet_type import PacketType
from ..core.proto_ops import sock_no_connect, sock_no_getsockopt, sock_no_setsockopt
from ..core.sock import Proto, Sock
from ..uapi import AF_PACKET

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = ["PacketMreq", "PacketSkbCb", "PacketSock"]


class PacketMreq(NamedTuple):
    """What a socket wants a device to receive (Linux: ``struct packet_mreq``)."""

    ifindex: int
    type: int
    addr: bytes


class PacketSkbCb(NamedTuple):
    """What a socket notes of a packet: its device, who sent it, and its length before a filter cut it."""

    ifindex: int
    hatype: int
    addr: bytes
    origlen: int


class PacketSock(Sock):
    """A packet socket (Linux: ``struct packet_sock``).

    Members
    -------
    num, ifindex : int
        What it is bound to: EtherType, and device; 0: all devices.
    prot_hook : PacketType
        By which it receives, while it is ``running``.
    mclist : dict[PacketMreq, int]
        What it wants devices to receive, and how often it said so.
    tp_packets, tp_drops : int
        Packets received and dropped since the program asked (``PACKET_STATISTICS``).
    auxdata, origdev, qdisc_bypass : bool
        Options.
    """

    __slots__ = (
        "auxdata",
        "ifindex",
        "mclist",
        "num",
        "origdev",
        "prot_hook",
        "qdisc_bypass",
        "running",
        "tp_drops",
        "tp_packets",
    )

    def __init__(
        self,
        net: "Net",
        type: int,
        num: int,
        func: "Callable[[SkBuff, NetDevice, PacketType, NetDevice], int]",
    ) -> None:
        super().__init__(net, AF_PACKET, type, 0, packet_proto)
        self.num = num
        self.ifindex = 0
        self.prot_hook = PacketType(num, func, af_packet_priv=self)
        self.running = False
        self.mclist: dict[PacketMreq, int] = {}
        self.tp_packets = self.tp_drops = 0
        self.auxdata = self.origdev = self.qdisc_bypass = False


def _no_transport(*_: object) -> NoReturn:
    """Refuse what only a transport protocol does."""
    raise OSError(EOPNOTSUPP, "packet sockets have no transport protocol")


packet_proto = Proto(
    "PACKET",
    sendmsg=_no_transport,
    recvmsg=_no_transport,
    connect=sock_no_connect,
    get_port=_no_transport,
    unhash=_no_transport,
    close=_no_transport,
    setsockopt=sock_no_setsockopt,
    getsockopt=sock_no_getsockopt,
)

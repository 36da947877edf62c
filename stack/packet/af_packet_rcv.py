"""Packet sockets, receiving (Linux: net/packet/af_packet.c)."""

from errno import EAGAIN, EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import (
    skb_copy_datagram_iter,
    skb_free_datagram,
    skb_recv_datagram,
    skb_set_owner_r,
    sock_def_readable,
)
from ..core.drop_reasons import SkbDropReason
from ..core.filter import bpf_prog_run
from ..core.msghdr import put_cmsg
from ..core.skbuff import (
    CHECKSUM_PARTIAL,
    PACKET_LOOPBACK,
    PACKET_OUTGOING,
    SkBuff,
    consume_skb,
    kfree_skb_reason,
    skb_pull,
    skb_push,
)
from ..core.skbuff_csum import skb_csum_unnecessary
from ..core.skbuff_data import pskb_trim, skb_clone
from ..core.sock import SOCK_RECV_CMSGS
from ..socket_cmsg import __sock_recv_cmsgs
from ..uapi import (
    AF_PACKET,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_PEEK,
    MSG_TRUNC,
    PACKET_AUXDATA,
    SOCK_DGRAM,
    SOL_PACKET,
)
from .packet_sock import PacketSkbCb, PacketSock
from .sockaddr_ll import SockaddrLl

if TYPE_CHECKING:
    from ..core.msghdr import RecvMsghdr
    from ..core.netdevice import NetDevice
    from ..core.packet_type import PacketType

__all__ = ["packet_rcv", "packet_recvmsg"]

_AUXDATA = Struct("=IIIHHHH")  # struct tpacket_auxdata.
TP_STATUS_USER = 1 << 0
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
TP_STATUS_CSUM_VALID = 1 << 7


def packet_rcv(skb: SkBuff, dev: "NetDevice", pt: "PacketType", orig_dev: "NetDevice") -> int:
    """Queue a packet that a device received, or is about to send, for a socket; as ``PacketType.func``."""
    sk: PacketSock = pt.af_packet_priv
    if skb.pkt_type == PACKET_LOOPBACK:
        consume_skb(skb)
        return 0
    data, length = skb.data, skb.len
    if dev.header_ops is not None:
        # A received packet's data starts behind the link header, that of a sent one with it.
        if sk.sk_type != SOCK_DGRAM:
            skb_push(skb, skb.data - skb.mac_header)
        elif skb.pkt_type == PACKET_OUTGOING:
            skb_pull(skb, skb.network_header - skb.data)
    snaplen = skb.len
    if sk.sk_filter is not None:
        snaplen = min(snaplen, bpf_prog_run(sk.sk_filter, skb))
    if not snaplen:  # Refused by the filter, or empty.
        _restore(skb, data, length)
        consume_skb(skb)
        return 0
    if sk.sk_rmem_alloc >= sk.sk_rcvbuf:
        sk.tp_drops += 1
        sk.sk_drops += 1
        _restore(skb, data, length)
        kfree_skb_reason(skb, SkbDropReason.SOCKET_RCVBUFF)
        return 0
    if skb.users != 1:
        clone = skb_clone(skb)
        _restore(skb, data, length)
        consume_skb(skb)
        skb = clone
    parse = dev.header_ops.parse if dev.header_ops is not None else None
    addr = b"" if parse is None else parse(skb)
    skb.cb = PacketSkbCb((orig_dev if sk.origdev else dev).ifindex, dev.type, addr, skb.len)
    pskb_trim(skb, snaplen)
    skb_set_owner_r(skb, sk)
    skb.dev = None
    skb.dst = None
    sk.tp_packets += 1
    sk.sk_receive_queue.append(skb)
    sock_def_readable(sk)
    return 0


def _restore(skb: SkBuff, data: int, length: int) -> None:
    """Leave an skb that others share as it was."""
    if skb.users != 1:
        skb.data, skb.len = data, length


def packet_recvmsg(sk: PacketSock, msg: "RecvMsghdr", length: int, flags: int) -> int:
    """Give the program the next packet; what it has no room for is cut off.

    Returns
    -------
    int
        Number of octets that the program got; with ``MSG_TRUNC``, that the packet has, as far as the filter left it.

    Raises
    ------
    OSError
        ``EINVAL`` for other flags than ``MSG_PEEK``, ``MSG_DONTWAIT``, ``MSG_TRUNC`` and ``MSG_ERRQUEUE``;
        as ``skb_recv_datagram``.
    """
    if flags & ~(MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_ERRQUEUE):
        raise OSError(EINVAL, f"packet sockets have no flags {flags:#x}")
    if flags & MSG_ERRQUEUE:
        raise OSError(EAGAIN, "no error waits")  # Only times of sent packets come there, and nobody asks for them.
    skb = skb_recv_datagram(sk, flags)
    if skb is None:
        return 0
    told: PacketSkbCb = skb.cb
    copied = skb.len
    if copied > length:
        copied = length
        msg.flags |= MSG_TRUNC
    skb_copy_datagram_iter(skb, 0, msg, copied)
    dev = sk.net.devices.get(told.ifindex)
    name = "" if dev is None else dev.name
    msg.name = SockaddrLl(AF_PACKET, skb.protocol, name, told.hatype, skb.pkt_type, told.addr)
    if sk.sk_flags & SOCK_RECV_CMSGS:
        __sock_recv_cmsgs(msg, sk, skb)
    if sk.auxdata:
        put_cmsg(msg, SOL_PACKET, PACKET_AUXDATA, _auxdata(skb, told))
    if flags & MSG_TRUNC:
        copied = skb.len
    skb_free_datagram(sk, skb)
    return copied


def _auxdata(skb: SkBuff, told: PacketSkbCb) -> bytes:
    """Return what ``PACKET_AUXDATA`` tells of a packet."""
    status = TP_STATUS_USER
    if skb.ip_summed == CHECKSUM_PARTIAL:
        status |= TP_STATUS_CSUMNOTREADY
    elif skb.pkt_type != PACKET_OUTGOING and skb_csum_unnecessary(skb):
        status |= TP_STATUS_CSUM_VALID
    if skb.vlan_proto:
        status |= TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID
    net = skb.network_header - skb.data & 0xFFFF
    return _AUXDATA.pack(status, told.origlen, skb.len, 0, net, skb.vlan_tci, skb.vlan_proto)

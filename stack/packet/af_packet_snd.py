"""Packet sockets, sending (Linux: net/packet/af_packet.c)."""

from errno import EINVAL, EMSGSIZE, ENETDOWN, ENXIO
from os import strerror
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import skb_copy_datagram_from_iter
from ..core.dev import dev_queue_xmit
from ..core.dev_direct import dev_direct_xmit
from ..core.flow_dissector import __skb_flow_dissect
from ..core.if_vlan import ETH_P_8021Q, VLAN_HLEN
from ..core.neighbour_output import dev_hard_header
from ..core.netdevice import ARPHRD_ETHER, IFF_UP, net_xmit_errno
from ..core.packet_type import ETH_P_ALL
from ..core.skbuff import PAGE_SIZE, SkBuff, kfree_skb, skb_reserve
from ..core.sock import sock_alloc_send_pskb
from ..ipv4.ip import LL_RESERVED_SPACE
from ..uapi import MSG_DONTWAIT, SO_MARK, SOCK_RAW, SOL_SOCKET
from .sockaddr_ll import packet_dev

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr
    from ..core.netdevice import NetDevice
    from .packet_sock import PacketSock

__all__ = ["packet_parse_headers", "packet_sendmsg"]

_MARK = Struct("=I")


def packet_sendmsg(sk: "PacketSock", msg: "Msghdr", length: int) -> int:
    """Send a frame (``SOCK_RAW``), or a packet that gets its link header here (``SOCK_DGRAM``).

    It goes by the device, as the protocol and to the link address that ``msg.name`` has, or by the device that the
    socket is bound to.

    Returns
    -------
    int
        Number of octets.

    Raises
    ------
    OSError
        ``ENXIO`` without a device, ``ENETDOWN``, ``EMSGSIZE``, ``EINVAL`` for a frame without a whole header, a packet
        without destination or an unknown control message, ``ENOBUFS`` if a queue is full; as ``sock_alloc_send_pskb``.
    """
    if msg.name is None:
        dev, protocol, addr = sk.prot_hook.dev, sk.num, None
    else:
        _, protocol, device, _, _, addr = msg.name
        dev = packet_dev(sk.net, device)
    if dev is None:
        raise OSError(ENXIO, "no such device")
    if not dev.flags & IFF_UP:
        raise OSError(ENETDOWN, f"{dev.name} is down")
    mark = _sock_cmsg_send(sk, msg)
    reserve = dev.hard_header_len if sk.sk_type == SOCK_RAW else 0
    if length > dev.mtu + reserve + VLAN_HLEN:
        raise OSError(EMSGSIZE, f"{length} octets are too long for {dev.name}")
    skb = packet_alloc_skb(sk, dev, length, msg.flags & MSG_DONTWAIT != 0)
    try:
        _fill(sk, skb, dev, protocol, addr, reserve, msg, length)
    except OSError:
        kfree_skb(skb)
        raise
    skb.protocol = protocol
    skb.dev = dev
    skb.priority = sk.sk_priority
    skb.mark = mark
    packet_parse_headers(skb, sk)
    error = packet_xmit(sk, skb)
    if error > 0:
        error = net_xmit_errno(error)
    if error:
        raise OSError(-error, strerror(-error))
    return length


def _sock_cmsg_send(sk: "PacketSock", msg: "Msghdr") -> int:
    """Return the mark that a packet shall have: the only thing that control messages can set."""
    mark = sk.sk_mark
    for level, kind, data in msg.control:
        if level == SOL_SOCKET:
            if kind != SO_MARK or len(data) != _MARK.size:
                raise OSError(EINVAL, f"no such control message: {kind}")
            mark = _MARK.unpack(data)[0]
    return mark


def packet_alloc_skb(sk: "PacketSock", dev: "NetDevice", length: int, noblock: bool) -> SkBuff:
    """Return an skb with ``length`` octets: in the head if they fit a page, else a link header there, the rest behind.

    Raises
    ------
    OSError
        As ``sock_alloc_send_pskb``.
    """
    headroom = LL_RESERVED_SPACE(dev)
    room = headroom + dev.needed_tailroom
    linear = length if room + length < PAGE_SIZE else dev.hard_header_len
    skb = sock_alloc_send_pskb(sk, room + linear, length - linear, noblock)
    skb_reserve(skb, headroom)
    skb.tail += linear
    skb.len = length
    skb.data_len = length - linear
    return skb


def _fill(
    sk: "PacketSock",
    skb: SkBuff,
    dev: "NetDevice",
    protocol: int,
    addr: bytes | None,
    reserve: int,
    msg: "Msghdr",
    length: int,
) -> None:
    """Put the link header, or what the program says it is, and the program's octets in."""
    skb.network_header = skb.data
    at = 0
    if sk.sk_type != SOCK_RAW:
        destination = None if addr is None else addr[: dev.addr_len]
        at = dev_hard_header(skb, dev, protocol, destination, None, length)
        if at < 0:
            raise OSError(EINVAL, "no destination")
    skb_copy_datagram_from_iter(skb, at, msg, length)
    if sk.sk_type == SOCK_RAW:
        if length < dev.hard_header_len:
            raise OSError(EINVAL, f"a frame of {dev.name} has at least {dev.hard_header_len} octets")
        skb.network_header += reserve
    if length > dev.mtu + reserve and not packet_extra_vlan_len_allowed(dev, skb):
        raise OSError(EMSGSIZE, f"{length} octets are too long for {dev.name}")


def packet_extra_vlan_len_allowed(dev: "NetDevice", skb: SkBuff) -> bool:
    """Return whether a frame may be longer by a VLAN tag, since it has one."""
    if dev.type != ARPHRD_ETHER or dev.header_ops is None or dev.header_ops.parse_protocol is None:
        return False
    skb.mac_header = skb.data
    return dev.header_ops.parse_protocol(skb) == ETH_P_8021Q


def packet_parse_headers(skb: SkBuff, sk: "PacketSock") -> None:
    """Find out what a frame is, where the program does not say so, and where its transport header starts."""
    dev = skb.dev
    assert dev is not None
    if skb.protocol in (0, ETH_P_ALL) and sk.sk_type == SOCK_RAW:
        skb.mac_header = skb.data
        if dev.header_ops is not None and dev.header_ops.parse_protocol is not None:
            skb.protocol = dev.header_ops.parse_protocol(skb)
    keys = __skb_flow_dissect(skb, skb.protocol, skb.network_header - skb.data)  # skb_probe_transport_header()
    if keys is not None:
        skb.transport_header = skb.data + keys.thoff


def packet_xmit(sk: "PacketSock", skb: SkBuff) -> int:
    """Send a frame through its device's queue, or past it; return ``NET_XMIT_*`` or a negative errno."""
    return dev_direct_xmit(skb) if sk.qdisc_bypass else dev_queue_xmit(skb)

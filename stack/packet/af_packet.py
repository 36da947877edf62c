"""The family of sockets that see and send frames (Linux: net/packet/af_packet.c; packet(7))."""

from errno import EINVAL, ENETDOWN, ENODEV, EOPNOTSUPP, ESOCKTNOSUPPORT
from sys import byteorder
from typing import TYPE_CHECKING

from ..core.datagram import datagram_poll, sock_def_error_report
from ..core.dev_register import NetdevEvent, register_netdevice_notifier
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import IFF_UP, NetDevice
from ..core.packet_type import dev_add_pack, dev_remove_pack
from ..core.proto_ops import ProtoOps
from ..core.skbuff import kfree_skb_reason
from ..uapi import AF_PACKET, SOCK_DGRAM, SOCK_RAW
from .af_packet_rcv import packet_rcv, packet_recvmsg
from .af_packet_snd import packet_sendmsg
from .af_packet_sockopt import (
    packet_dev_mclist_delete,
    packet_flush_mclist,
    packet_getsockopt,
    packet_setsockopt,
)
from .packet_sock import PacketSock
from .sockaddr_ll import SockaddrLl, packet_dev, sockaddr_ll, sockaddr_ll_address

if TYPE_CHECKING:
    from ..core.msghdr import Sockaddr
    from ..core.net import Net

__all__ = [
    "PacketSock",
    "packet_bind",
    "packet_create",
    "packet_getname",
    "packet_net_init",
    "packet_notifier",
    "packet_ops",
    "packet_poll",
    "packet_release",
]


def packet_create(net: "Net", type: int, protocol: int) -> tuple[PacketSock, ProtoOps]:
    """Return a new packet socket, and its operations.

    Parameters
    ----------
    net : Net
        The namespace.
    type : int
        ``SOCK_RAW``: frames with their headers; ``SOCK_DGRAM``: without.
    protocol : int
        EtherType in the network's byte order, ``htons(ETH_P_ALL)`` for each; 0: nothing is received before ``bind``.

    Raises
    ------
    OSError
        ``ESOCKTNOSUPPORT``.
    """
    if type not in (SOCK_RAW, SOCK_DGRAM):
        raise OSError(ESOCKTNOSUPPORT, f"packet sockets have no type {type}")
    num = int.from_bytes((protocol & 0xFFFF).to_bytes(2, byteorder), "big")
    sk = PacketSock(net, type, num, packet_rcv)
    net.packet_sklist.append(sk)
    if num:
        register_prot_hook(sk)
    return sk, packet_ops


def register_prot_hook(sk: PacketSock) -> None:
    """Let a socket receive."""
    if not sk.running:
        dev_add_pack(sk.net, sk.prot_hook)
        sk.running = True


def unregister_prot_hook(sk: PacketSock) -> None:
    """Let it receive no longer."""
    if sk.running:
        sk.running = False
        dev_remove_pack(sk.net, sk.prot_hook)


def packet_bind(sk: PacketSock, address: "Sockaddr") -> int:
    """Have a socket receive a protocol (0: that which it has) by one device only, or by all.

    With a device that is down it succeeds, and the next call says so.

    Raises
    ------
    OSError
        ``EINVAL`` for another family, ``ENODEV``.
    """
    family, protocol, device, *_ = address
    if family != AF_PACKET:
        raise OSError(EINVAL, "not an address of a link")
    dev = packet_dev(sk.net, device)
    if dev is None and device:
        raise OSError(ENODEV, f"no device {device}")
    return packet_do_bind(sk, dev, protocol or sk.num)


def packet_do_bind(sk: PacketSock, dev: NetDevice | None, protocol: int) -> int:
    """Bind to a device, None for all, and a protocol."""
    hook = sk.prot_hook
    if hook.type == protocol and hook.dev is dev:
        return 0
    unregister_prot_hook(sk)
    sk.num = hook.type = protocol
    hook.dev = dev
    sk.ifindex = 0 if dev is None else dev.ifindex
    if protocol:
        if dev is None or dev.flags & IFF_UP:
            register_prot_hook(sk)
        else:
            _network_is_down(sk)
    return 0


def _network_is_down(sk: PacketSock) -> None:
    sk.sk_err = ENETDOWN
    sock_def_error_report(sk)


def packet_getname(sk: PacketSock, peer: int) -> SockaddrLl:
    """Return protocol and device of a socket, with the device's address.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` for the peer: there is none.
    """
    if peer:
        raise OSError(EOPNOTSUPP, "packet sockets have no peer")
    dev = sk.net.devices.get(sk.ifindex)
    if dev is None:
        return SockaddrLl(AF_PACKET, sk.num, "")
    return SockaddrLl(AF_PACKET, sk.num, dev.name, dev.type, 0, dev.dev_addr)


def packet_poll(sk: PacketSock) -> int:
    """Return what could be done with a socket now, as ``POLL*`` bits."""
    return datagram_poll(sk)


def packet_release(sk: PacketSock) -> None:
    """Close a socket; what it has not taken is dropped, and what it wanted of devices is given up."""
    sk.net.packet_sklist.remove(sk)
    unregister_prot_hook(sk)
    packet_flush_mclist(sk)
    while sk.sk_receive_queue:
        kfree_skb_reason(sk.sk_receive_queue.popleft(), SkbDropReason.CONSUMED)


def packet_notifier(event: NetdevEvent, dev: NetDevice) -> None:
    """Tell the sockets of a device that it is down, and let them receive again when it is up."""
    for sk in tuple(dev.net.packet_sklist):
        if event == NetdevEvent.UNREGISTER:
            packet_dev_mclist_delete(sk, dev)
        if dev.ifindex != sk.ifindex:
            continue
        if event == NetdevEvent.DOWN or event == NetdevEvent.UNREGISTER:
            if sk.running:
                unregister_prot_hook(sk)
                _network_is_down(sk)
            if event == NetdevEvent.UNREGISTER:
                sk.ifindex = -1
                sk.prot_hook.dev = None
        elif event == NetdevEvent.UP and sk.num:
            register_prot_hook(sk)


def packet_net_init(net: "Net") -> None:
    """Set packet sockets up in a namespace, and follow its devices."""
    register_netdevice_notifier(net, packet_notifier)


packet_ops = ProtoOps(
    sockaddr=sockaddr_ll,
    address=sockaddr_ll_address,
    bind=packet_bind,
    getname=packet_getname,
    poll=packet_poll,
    release=packet_release,
    sendmsg=packet_sendmsg,
    recvmsg=packet_recvmsg,
    setsockopt=packet_setsockopt,
    getsockopt=packet_getsockopt,
)

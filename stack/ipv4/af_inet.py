"""The IPv4 family of sockets (Linux: net/ipv4/af_inet.c)."""

from errno import (
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EINVAL,
    ENOTCONN,
)
from typing import TYPE_CHECKING

from ..core.datagram import datagram_poll
from ..core.dev_register import NetdevEvent, register_netdevice_notifier
from ..core.msghdr import Msghdr, RecvMsghdr, Sockaddr
from ..core.neighbour_table import neigh_carrier_down, neigh_changeaddr, neigh_ifdown
from ..core.netdevice import IFF_LOOPBACK, netif_carrier_ok
from ..core.packet_type import PacketType, dev_add_pack
from ..core.proto_ops import ProtoOps, sock_no_ioctl
from ..core.sock import lock_sock_nested, release_sock, sk_dst_reset, sock_def_wakeup, sock_disable_timestamp
from ..ethernet.eth import ETH_P_ARP, ETH_P_IP
from ..netfilter.core import NetnsNf
from ..uapi import (
    AF_INET,
    AF_UNSPEC,
    INADDR_LOOPBACK,
    IPPROTO_ICMP,
    IPPROTO_IP,
    IPPROTO_MAX,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_RAW,
)
from ..uapi_ioctl import SIOCADDRT, SIOCDARP, SIOCDELRT, SIOCGARP, SIOCSARP
from .ah4 import ah4_init_net
from .arp import ARPOP_REQUEST, arp_init, arp_send_dst
from .arp_ioctl import arp_ioctl
from .arp_rcv import arp_rcv, parp_redo
from .devinet import InIfaddr, inet_insert_ifa, inetdev_destroy, inetdev_init
from .devinet_ioctl import DEVINET_REQUESTS, devinet_ioctl
from .devinet_netlink import inetdev_changename
from .esp4 import esp4_init_net
from .fib_frontend import fib_disable_ip, fib_sync_up, inet_addr_type, rt_cache_flush
from .fib_ioctl import ip_rt_ioctl
from .fib_rules import fib4_rules_init
from .icmp import icmp_sk_init
from .icmp_limit import IcmpGlobal
from .icmp_rcv import icmp_err, icmp_rcv
from .igmp import ip_mc_down, ip_mc_drop_socket, ip_mc_up
from .inet_offload import inet_gro_complete, inet_gro_receive, inet_gso_segment, inet_gso_send_check
from .inet_protosw import (
    INET_PROTOSW_PERMANENT,
    INET_PROTOSW_REUSE,
    InetProtosw,
    inet_find_protosw,
    inet_register_protosw,
)
from .inet_sock import INET_FLAGS_BIND_ADDRESS_NO_PORT, inet_can_nonlocal_bind
from .ip_input import ip_list_rcv, ip_rcv
from .netns import NetnsIpv4
from .protocol import MAX_INET_PROTOS, NetProtocol, inet_add_protocol
from .raw import RawSock
from .route_cache import rt_cache_ifdown
from .rtnetlink import RtScope, RtType
from .sockaddr_in import sockaddr_in, sockaddr_in_address, sockaddr_in_octets
from .tcp_memory import tcp_init_mem
from .udp import UdpSock
from .udp_memory import udp_init
from .udp_offload import udp4_ufo_fragment
from .udp_receive import udp_err, udp_rcv
from .udp_recvmsg import udp_poll, udp_set_peek_off
from .udp_table import UdpTable

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from ..core.netdevice import NetDevice
    from .inet_sock import InetSock

__all__ = [
    "inet_autobind",
    "inet_bind",
    "inet_create",
    "inet_dgram_connect",
    "inet_dgram_ops",
    "inet_getname",
    "inet_init",
    "inet_init_net",
    "inet_ioctl",
    "inet_recvmsg",
    "inet_release",
    "inet_send_prepare",
    "inet_sendmsg",
    "inet_shutdown",
]


def inet_create(net: "Net", type: int, protocol: int) -> tuple["InetSock", ProtoOps]:
    """Return a new IPv4 socket of a type and protocol (0: the type's usual one), and its operations.

    Raises
    ------
    OSError
        ``EINVAL`` for a number that cannot be a protocol, ``ESOCKTNOSUPPORT``, ``EPROTONOSUPPORT``.
    """
    if not 0 <= protocol < IPPROTO_MAX:
        raise OSError(EINVAL, f"protocol {protocol} is not in 0..{IPPROTO_MAX - 1}")
    answer, protocol = inet_find_protosw(net, type, protocol)
    sk = answer.make(net, AF_INET, type, protocol)
    if answer.flags & INET_PROTOSW_REUSE:
        sk.sk_reuse = True
    return sk, answer.ops


def inet_autobind(sk: "InetSock") -> int:
    """Give a socket a free local port, unless it has one; return 0 or ``-EAGAIN``."""
    lock_sock_nested(sk)
    try:
        if not sk.inet_num and sk.sk_prot.get_port(sk, 0):
            return -EAGAIN
    finally:
        release_sock(sk)
    return 0


def inet_bind(sk: "InetSock", address: Sockaddr) -> int:
    """Give a socket a local address and port.

    Raises
    ------
    OSError
        ``EAFNOSUPPORT``, ``EADDRNOTAVAIL``, ``EADDRINUSE``; ``EINVAL`` if it is bound.
    """
    if sk.sk_prot.bind is not None:
        return sk.sk_prot.bind(sk, address)
    family, addr, port = address
    if family != AF_INET and (family != AF_UNSPEC or addr):
        raise OSError(EAFNOSUPPORT, "not an IPv4 address")
    kind = inet_addr_type(sk.net, addr) if addr else RtType.LOCAL
    if kind not in (RtType.LOCAL, RtType.BROADCAST, RtType.MULTICAST) and not inet_can_nonlocal_bind(sk.net, sk):
        raise OSError(EADDRNOTAVAIL, "not an address of this host")
    lock_sock_nested(sk)
    try:
        if sk.inet_num:
            raise OSError(EINVAL, "the socket is bound")
        sk.inet_rcv_saddr = addr
        # Nobody sends from a broadcast or multicast address.
        sk.inet_saddr = addr if kind == RtType.LOCAL or kind == RtType.UNICAST else 0
        # IP_BIND_ADDRESS_NO_PORT: the port can wait until something is sent.
        if (port or not sk.inet_flags & INET_FLAGS_BIND_ADDRESS_NO_PORT) and sk.sk_prot.get_port(sk, port):
            sk.inet_saddr = sk.inet_rcv_saddr = 0
            raise OSError(EADDRINUSE, f"port {port} is in use")
        sk.bind_addr_locked = addr != 0
        sk.bind_port_locked = port != 0
        sk.inet_daddr = sk.inet_dport = 0
        sk_dst_reset(sk)
    finally:
        release_sock(sk)
    return 0


def inet_dgram_connect(sk: "InetSock", address: Sockaddr, flags: int) -> int:  # noqa: ARG001 - an operation's arguments
    """Give a socket a peer, or with ``AF_UNSPEC`` take it away.

    Raises
    ------
    OSError
        ``EAGAIN`` without a free port; what the protocol raises.
    """
    if address[0] == AF_UNSPEC:
        _disconnect(sk)
        return 0
    if not sk.inet_num and inet_autobind(sk):
        raise OSError(EAGAIN, "no free port")
    return sk.sk_prot.connect(sk, address)


def _disconnect(sk: "InetSock") -> None:
    """Take a socket's peer away, and what it was given because of that."""
    lock_sock_nested(sk)
    sk.connected = False
    sk.inet_daddr = sk.inet_dport = sk.sk_bound_dev_if = 0
    if not sk.bind_addr_locked:
        sk.inet_saddr = sk.inet_rcv_saddr = 0
    if not sk.bind_port_locked:
        sk.sk_prot.unhash(sk)
    sk_dst_reset(sk)
    release_sock(sk)


def inet_getname(sk: "InetSock", peer: int) -> Sockaddr:
    """Return family, address and port of the socket, or of its peer; with 2 even if the connection is over.

    Raises
    ------
    OSError
        ``ENOTCONN``.
    """
    if peer:
        if not sk.inet_dport or (not sk.connected and peer == 1):
            raise OSError(ENOTCONN, "not connected")
        return AF_INET, sk.inet_daddr, sk.inet_dport
    return AF_INET, sk.inet_rcv_saddr or sk.inet_saddr, sk.inet_num


def inet_send_prepare(sk: "InetSock") -> int:
    """See that the socket has a port to send from; return 0 or ``-EAGAIN``."""
    return 0 if sk.inet_num or sk.sk_prot.no_autobind else inet_autobind(sk)


def inet_sendmsg(sk: "InetSock", msg: Msghdr, size: int) -> int:
    """Send a message through the socket's protocol.

    Raises
    ------
    OSError
        ``EAGAIN`` without a free port; what the protocol raises.
    """
    if inet_send_prepare(sk):
        raise OSError(EAGAIN, "no free port")
    return sk.sk_prot.sendmsg(sk, msg, size)


def inet_recvmsg(sk: "InetSock", msg: RecvMsghdr, size: int, flags: int) -> int:
    """Receive a message through the socket's protocol; return the number of octets.

    Raises
    ------
    OSError
        What the protocol raises.
    """
    return sk.sk_prot.recvmsg(sk, msg, size, flags)


def inet_shutdown(sk: "InetSock", how: int) -> int:
    """End receiving (0), sending (1) or both (2).

    Raises
    ------
    OSError
        ``EINVAL``; ``ENOTCONN`` if there is no peer: it has its effect all the same.
    """
    if how not in (0, 1, 2):
        raise OSError(EINVAL, f"how must be 0, 1 or 2, not {how}")
    sk.sk_shutdown |= how + 1
    sock_def_wakeup(sk)
    if not sk.connected:
        raise OSError(ENOTCONN, "not connected")
    return 0


def inet_ioctl(sk: "InetSock", request: int, arg: bytearray) -> None:
    """Answer a request about routes, ARP, addresses, or of the socket's protocol.

    Raises
    ------
    OSError
        ``ENOTTY`` for a request that there is not; what the request raises.
    """
    net = sk.net
    if request in (SIOCADDRT, SIOCDELRT):
        ip_rt_ioctl(net, request, arg)
    elif request in (SIOCDARP, SIOCGARP, SIOCSARP):
        arp_ioctl(net, request, arg)
    elif request in DEVINET_REQUESTS:
        devinet_ioctl(net, request, arg)
    elif sk.sk_prot.ioctl is not None:
        sk.sk_prot.ioctl(sk, request, arg)
    else:
        sock_no_ioctl(sk, request, arg)


def inet_release(sk: "InetSock") -> None:
    """Close the socket."""
    sock_disable_timestamp(sk)
    ip_mc_drop_socket(sk)
    sk.sk_prot.close(sk)


inet_dgram_ops = ProtoOps(
    sockaddr=sockaddr_in,
    address=sockaddr_in_address,
    octets=sockaddr_in_octets,
    set_peek_off=udp_set_peek_off,
    bind=inet_bind,
    connect=inet_dgram_connect,
    ioctl=inet_ioctl,
    getname=inet_getname,
    poll=udp_poll,
    release=inet_release,
    sendmsg=inet_sendmsg,
    recvmsg=inet_recvmsg,
    shutdown=inet_shutdown,
)
inet_sockraw_ops = ProtoOps(
    sockaddr=sockaddr_in,
    address=sockaddr_in_address,
    octets=sockaddr_in_octets,
    bind=inet_bind,
    connect=inet_dgram_connect,
    ioctl=inet_ioctl,
    getname=inet_getname,
    poll=datagram_poll,
    release=inet_release,
    sendmsg=inet_sendmsg,
    recvmsg=inet_recvmsg,
    shutdown=inet_shutdown,
)


def inet_init(kernel: "Kernel") -> None:
    """Set up what all namespaces of a host share."""
    udp_init(kernel)
    tcp_init_mem(kernel)


def inet_init_net(net: "Net") -> None:
    """Set IPv4 up in a namespace, and follow its devices."""
    net.ipv4 = NetnsIpv4(net)
    net.nf = NetnsNf()
    fib4_rules_init(net)
    net.ipv4.arp_tbl = arp_init(net)
    net.ipv4.arp_tbl.proxy_redo = parp_redo
    net.ipv4.udp_table = UdpTable()
    net.ipv4.raw_hashinfo = {}
    net.ipv4.inet_protos = [None] * MAX_INET_PROTOS
    net.ipv4.inetsw = {}
    inet_add_protocol(net, NetProtocol(icmp_rcv, icmp_err, no_policy=True), IPPROTO_ICMP)
    inet_add_protocol(net, NetProtocol(udp_rcv, udp_err, gso_segment=udp4_ufo_fragment, no_policy=True), IPPROTO_UDP)
    from .tcp_init import tcp_sk_init  # Streams are built on this module.

    tcp_sk_init(net)
    net.ipv4.icmp_global = IcmpGlobal()
    inet_register_protosw(net, InetProtosw(SOCK_DGRAM, IPPROTO_UDP, UdpSock, inet_dgram_ops, INET_PROTOSW_PERMANENT))
    inet_register_protosw(net, InetProtosw(SOCK_RAW, IPPROTO_IP, RawSock, inet_sockraw_ops, INET_PROTOSW_REUSE))
    esp4_init_net(net)
    ah4_init_net(net)
    icmp_sk_init(net)
    dev_add_pack(net, PacketType(ETH_P_ARP, arp_rcv))
    dev_add_pack(
        net,
        PacketType(
            ETH_P_IP,
            ip_rcv,
            list_func=ip_list_rcv,
            gso_segment=inet_gso_segment,
            gso_send_check=inet_gso_send_check,
            gro_receive=inet_gro_receive,
            gro_complete=inet_gro_complete,
        ),
    )
    register_netdevice_notifier(net, inetdev_event)


def inetdev_event(event: NetdevEvent, dev: "NetDevice") -> None:
    """Do what IPv4 has to when something happens to a device."""
    tbl = dev.net.ipv4.arp_tbl
    if event == NetdevEvent.REGISTER:
        inetdev_init(dev)
    elif event == NetdevEvent.UP:
        if dev.flags & IFF_LOOPBACK and not inetdev_init(dev).ifa_list:
            inet_insert_ifa(dev, InIfaddr(INADDR_LOOPBACK, 8, broadcast=0, scope=RtScope.HOST))
        if dev.ip_ptr is not None:
            ip_mc_up(dev.ip_ptr)
        fib_sync_up(dev)
    elif event == NetdevEvent.DOWN:
        if dev.ip_ptr is not None:
            ip_mc_down(dev.ip_ptr)
        fib_disable_ip(dev)
        rt_cache_ifdown(dev.net, dev, unregister=False)
        neigh_ifdown(tbl, dev)
    elif event == NetdevEvent.UNREGISTER:
        inetdev_destroy(dev)
        rt_cache_ifdown(dev.net, dev, unregister=True)
        neigh_ifdown(tbl, dev)
    elif event == NetdevEvent.CHANGENAME:
        inetdev_changename(dev)
    elif event == NetdevEvent.CHANGEADDR:
        neigh_changeaddr(tbl, dev)
        rt_cache_flush(dev.net)
    elif event == NetdevEvent.CHANGE:
        if not netif_carrier_ok(dev):
            neigh_carrier_down(tbl, dev)
    elif event == NetdevEvent.CHANGEMTU:
        rt_cache_flush(dev.net)
    elif event == NetdevEvent.NOTIFY_PEERS:
        inetdev_send_gratuitous_arp(dev)


def inetdev_send_gratuitous_arp(dev: "NetDevice") -> None:
    """Tell everyone on the link where a device's addresses are now (RFC 5227 §3)."""
    if dev.ip_ptr is not None:
        for ifa in dev.ip_ptr.ifa_list:
            arp_send_dst(ARPOP_REQUEST, ETH_P_ARP, ifa.local, dev, ifa.local, None, dev.dev_addr, None, None)

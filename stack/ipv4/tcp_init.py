"""TCP in a new namespace (Linux: net/ipv4/tcp.c, tcp_ipv4.c)."""

from typing import TYPE_CHECKING

from ..core.sock import Proto
from ..uapi import AF_INET, IP_PMTUDISC_DO, IPPROTO_TCP, SOCK_RAW, SOCK_STREAM
from .af_inet_stream import inet_stream_ops
from .inet_protosw import INET_PROTOSW_PERMANENT, InetProtosw, inet_register_protosw
from .inet_sock import InetSock
from .protocol import NetProtocol, inet_add_protocol
from .tcp import tcp_init_sock, tcp_prot
from .tcp_cong import tcp_register_congestion_control, tcp_reno
from .tcp_cubic import tcp_cubic
from .tcp_ipv4_err import tcp_v4_err
from .tcp_ipv4_rcv import tcp_v4_rcv
from .tcp_offload import tcp4_gro_complete, tcp4_gro_receive, tcp4_gso_segment

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["tcp_sk_init"]

# Nobody calls it as a socket: it has no port and no lock.
_CONTROL_PROT = Proto(
    "TCP control",
    sendmsg=tcp_prot.sendmsg,
    recvmsg=tcp_prot.recvmsg,
    connect=tcp_prot.connect,
    get_port=tcp_prot.get_port,
    unhash=tcp_prot.unhash,
    close=tcp_prot.close,
    setsockopt=tcp_prot.setsockopt,
    getsockopt=tcp_prot.getsockopt,
)


def tcp_sk_init(net: "Net") -> None:
    """Give a namespace its stream sockets, its congestion control, and the socket that TCP answers with by itself."""
    sk = InetSock(net, AF_INET, SOCK_RAW, IPPROTO_TCP, _CONTROL_PROT)
    sk.pmtudisc = IP_PMTUDISC_DO  # RFC 6864: such packets need no identification.
    net.ipv4.tcp_sk = sk
    for ca in (tcp_reno, tcp_cubic):
        tcp_register_congestion_control(net, ca)
    prot = NetProtocol(
        tcp_v4_rcv,
        tcp_v4_err,
        gso_segment=tcp4_gso_segment,
        gro_receive=tcp4_gro_receive,
        gro_complete=tcp4_gro_complete,
        no_policy=True,
    )
    inet_add_protocol(net, prot, IPPROTO_TCP)
    inet_register_protosw(
        net, InetProtosw(SOCK_STREAM, IPPROTO_TCP, tcp_init_sock, inet_stream_ops, INET_PROTOSW_PERMANENT)
    )

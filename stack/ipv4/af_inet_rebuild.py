"""The route of a connection, found once more (Linux: net/ipv4/af_inet.c)."""

from typing import TYPE_CHECKING

from ..core.sock import __sk_dst_check
from ..core.sock_caps import sk_setup_caps
from .flow import Flowi4
from .ip_options import first_hop
from .route import ip_route_output_ports

if TYPE_CHECKING:
    from .inet_sock import InetSock
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = ["inet_sk_rebuild_header", "inet_sk_route"]


def inet_sk_route(sk: "InetSock", fl: Flowi4, tos: int) -> "RTable":
    """Look the route of a connected socket up, and have it keep that.

    Raises
    ------
    OSError
        As ``ip_route_output_ports``.
    """
    daddr = (first_hop(sk.opt) if sk.opt else 0) or sk.inet_daddr
    ports = sk.inet_dport, sk.inet_num
    rt = ip_route_output_ports(
        sk.net, fl, sk, daddr, sk.inet_saddr, *ports, sk.sk_protocol, tos & 0x1E, sk.sk_bound_dev_if
    )
    sk_setup_caps(sk, rt)
    return rt


def inet_sk_rebuild_header(sk: "TcpSock") -> int:
    """See that a connection has a route that is good; return 0, or why it has none as a negative errno."""
    if __sk_dst_check(sk) is not None:
        return 0
    fl = sk.fl or Flowi4()
    try:
        inet_sk_route(sk, fl, sk.tos)
    except OSError as error:
        return -(error.errno or 0)
    sk.fl = fl
    return 0

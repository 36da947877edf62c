"""Tunnels of IPv4 in IPv4 (Linux: net/ipv4/ipip.c; RFC 2003)."""

from collections.abc import Mapping
from errno import ENOENT
from struct import Struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import ARPHRD_TUNNEL, IFF_NOARP, NETDEV_TX_OK, HeaderOps, NetDevice, NetDeviceOps
from ..core.rtnl_link import LinkData, RtnlLinkOps
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..core.skbuff_data import pskb_may_pull
from ..ethernet.eth import ETH_P_IP
from ..uapi import IPPROTO_IPIP
from ..xfrm.xfrm import XFRM_POLICY_IN
from ..xfrm.xfrm_policy import xfrm4_policy_check
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_EXC_TTL, ICMP_FRAG_NEEDED, ICMP_REDIRECT, ICMP_TIME_EXCEEDED
from .ip import IP_DF
from .ip_tunnel import (
    IpTunnel,
    IpTunnelNet,
    IpTunnelParm,
    ip_tunnel_changelink,
    ip_tunnel_dellink,
    ip_tunnel_err_count,
    ip_tunnel_get_iflink,
    ip_tunnel_lookup,
    ip_tunnel_newlink,
    ip_tunnel_rcv,
    ip_tunnel_xmit,
)
from .ip_tunnel_core import iptunnel_handle_offloads, iptunnel_pull_header
from .route_icmp import ipv4_redirect, ipv4_update_pmtu
from .tunnel4 import XfrmTunnel, xfrm4_tunnel_register

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "IFLA_IPTUN_FWMARK",
    "IFLA_IPTUN_LINK",
    "IFLA_IPTUN_LOCAL",
    "IFLA_IPTUN_PMTUDISC",
    "IFLA_IPTUN_PROTO",
    "IFLA_IPTUN_REMOTE",
    "IFLA_IPTUN_TOS",
    "IFLA_IPTUN_TTL",
    "ipip_err",
    "ipip_link_ops",
    "ipip_rcv",
    "ipip_tunnel_xmit",
]

IFLA_IPTUN_LINK = 1
IFLA_IPTUN_LOCAL = 2
IFLA_IPTUN_REMOTE = 3
IFLA_IPTUN_TTL = 4
IFLA_IPTUN_TOS = 5
IFLA_IPTUN_PROTO = 9
IFLA_IPTUN_PMTUDISC = 10
IFLA_IPTUN_FWMARK = 20

_ADDRESSES = Struct("!II")


def ipip_tunnel_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a packet through its tunnel (``ndo_start_xmit``)."""
    assert isinstance(dev, IpTunnel)
    if skb.protocol != ETH_P_IP or dev.parms.protocol not in (0, IPPROTO_IPIP) or not pskb_may_pull(skb, 20):
        dev.stats.tx_errors += 1
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NETDEV_TX_OK
    iptunnel_handle_offloads(skb)
    ip_tunnel_xmit(skb, dev, IPPROTO_IPIP)
    return NETDEV_TX_OK


def ipip_rcv(skb: SkBuff) -> int:
    """Receive a packet in a packet, if there is a tunnel for it; return 0 if there is."""
    return ipip_tunnel_rcv(skb, IPPROTO_IPIP)


def ipip_tunnel_rcv(skb: SkBuff, ipproto: int) -> int:
    """The same, for each protocol of inner packets."""
    dev = skb.dev
    assert dev is not None
    itn = dev.net.ipv4.ipip
    assert itn is not None
    at = skb.network_header
    tos = skb.view[at + 1]
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, at + 12)
    tunnel = ip_tunnel_lookup(itn, dev.ifindex, saddr, daddr)
    if tunnel is None:
        return -1
    if tunnel.parms.protocol not in (0, ipproto) or not xfrm4_policy_check(None, XFRM_POLICY_IN, skb):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return 0
    iptunnel_pull_header(skb, 0, ETH_P_IP, xnet=False)
    return ip_tunnel_rcv(tunnel, skb, tos, daddr)


def ipip_err(skb: SkBuff, info: int) -> int:
    """Learn of an ICMP error about an outer packet; return ``-ENOENT`` if there is no such tunnel."""
    dev = skb.dev
    assert dev is not None
    net = dev.net
    itn = net.ipv4.ipip
    assert itn is not None
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.data + 12)
    tunnel = ip_tunnel_lookup(itn, dev.ifindex, daddr, saddr)
    if tunnel is None:
        return -ENOENT
    kind, code = skb.view[skb.transport_header], skb.view[skb.transport_header + 1]
    if kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED:
        ipv4_update_pmtu(skb, net, info, tunnel.parms.link, IPPROTO_IPIP)
    elif kind == ICMP_REDIRECT:
        ipv4_redirect(skb, net, tunnel.parms.link, IPPROTO_IPIP)
    elif kind == ICMP_DEST_UNREACH or (kind == ICMP_TIME_EXCEEDED and code == ICMP_EXC_TTL):
        if not tunnel.parms.remote:
            return -ENOENT
        # An inherited TTL ends where the inner packet's would have: traceroute through the tunnel.
        if tunnel.parms.ttl or kind != ICMP_TIME_EXCEEDED:
            ip_tunnel_err_count(tunnel)
    return 0


def ipip_init_net(net: "Net") -> IpTunnelNet:
    """Have a namespace receive packets of such tunnels, from the first one on."""
    if net.ipv4.ipip is None:
        net.ipv4.ipip = IpTunnelNet()
        xfrm4_tunnel_register(net, XfrmTunnel(ipip_rcv, ipip_err, priority=1))
    return net.ipv4.ipip


def ipip_netlink_parms(data: LinkData) -> IpTunnelParm:
    """Return how a tunnel shall be set up."""
    ttl = data.get(IFLA_IPTUN_TTL, 0)
    return IpTunnelParm(
        link=data.get(IFLA_IPTUN_LINK, 0),
        local=data.get(IFLA_IPTUN_LOCAL, 0),
        remote=data.get(IFLA_IPTUN_REMOTE, 0),
        protocol=data.get(IFLA_IPTUN_PROTO, IPPROTO_IPIP),
        ttl=ttl,
        tos=data.get(IFLA_IPTUN_TOS, 0),
        # With a TTL of its own a packet could go round for ever in pieces.
        df=IP_DF if ttl or data.get(IFLA_IPTUN_PMTUDISC, 1) else 0,
        fwmark=data.get(IFLA_IPTUN_FWMARK, 0),
    )


def ipip_newlink(net: "Net", name: str, data: LinkData, lower: NetDevice | None) -> IpTunnel:
    """Make a tunnel, down: ``ip link add NAME type ipip local ADDRESS remote ADDRESS``."""
    tunnel = IpTunnel(net, name, _OPS, ipip_init_net(net), ipip_netlink_parms(data))
    tunnel.type = ARPHRD_TUNNEL
    tunnel.flags = IFF_NOARP
    tunnel.header_ops = _HEADER_OPS
    tunnel.rtnl_link_ops = ipip_link_ops
    ip_tunnel_newlink(tunnel)
    return tunnel


def ipip_dellink(dev: NetDevice) -> None:
    """Take a tunnel away."""
    assert isinstance(dev, IpTunnel)
    ip_tunnel_dellink(dev)


def ipip_changelink(dev: NetDevice, data: LinkData) -> None:
    """Set a tunnel up anew: ``ip link set NAME type ipip ...``."""
    assert isinstance(dev, IpTunnel)
    ip_tunnel_changelink(dev, ipip_netlink_parms(data))


def ipip_fill_info(dev: NetDevice) -> Mapping[int, Any]:
    """Return how a tunnel is set up."""
    assert isinstance(dev, IpTunnel)
    parms = dev.parms
    return {
        IFLA_IPTUN_LINK: parms.link,
        IFLA_IPTUN_LOCAL: parms.local,
        IFLA_IPTUN_REMOTE: parms.remote,
        IFLA_IPTUN_TTL: parms.ttl,
        IFLA_IPTUN_TOS: parms.tos,
        IFLA_IPTUN_PROTO: parms.protocol,
        IFLA_IPTUN_PMTUDISC: int(parms.df != 0),
        IFLA_IPTUN_FWMARK: parms.fwmark,
    }


_OPS = NetDeviceOps(ndo_start_xmit=ipip_tunnel_xmit, ndo_get_iflink=ip_tunnel_get_iflink)
_HEADER_OPS = HeaderOps()  # Its packets start with the inner header; taps are told the protocol all the same.
_POLICY = MappingProxyType(
    {
        IFLA_IPTUN_LINK: "u32",
        IFLA_IPTUN_LOCAL: "be32",
        IFLA_IPTUN_REMOTE: "be32",
        IFLA_IPTUN_TTL: "u8",
        IFLA_IPTUN_TOS: "u8",
        IFLA_IPTUN_PROTO: "u8",
        IFLA_IPTUN_PMTUDISC: "u8",
        IFLA_IPTUN_FWMARK: "u32",
    }
)
ipip_link_ops = RtnlLinkOps("ipip", ipip_newlink, ipip_dellink, ipip_changelink, ipip_fill_info, policy=_POLICY)

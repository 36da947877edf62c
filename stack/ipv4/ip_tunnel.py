"""Tunnels over IPv4: devices whose packets travel in others (Linux: net/ipv4/ip_tunnel.c; RFC 2003)."""

from dataclasses import dataclass
from errno import E2BIG, EEXIST, EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_forward import skb_scrub_packet
from ..core.dev_register import call_netdevice_notifiers, register_netdevice, unregister_netdevice
from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_link_failure
from ..core.dst_cache import DstCache, dst_cache_get_ip4, dst_cache_reset, dst_cache_set_ip4
from ..core.flow_dissector import skb_get_hash
from ..core.gro_cells import gro_cells_destroy, gro_cells_init, gro_cells_receive
from ..core.netdev_event import NetdevEvent
from ..core.netdevice import (
    IFF_NO_QUEUE,
    IFF_POINTOPOINT,
    IFF_UP,
    NETIF_F_FRAGLIST,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_LLTX,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
    netif_keep_dst,
)
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..core.skbuff_data import skb_cow_head
from ..core.timer import HZ, jiffies
from .flow import Flowi4
from .icmp import icmp_send
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED
from .inet_ecn import INET_ECN_encapsulate, IP_ECN_decapsulate
from .ip import IP_DF, IP_MAX_MTU, LL_RESERVED_SPACE
from .ip_tunnel_core import iptunnel_xmit
from .route import RTable, ip_route_output_flow, ip_route_output_key, ipv4_mtu, rt_nexthop

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "IpTunnel",
    "IpTunnelNet",
    "IpTunnelParm",
    "ip_tunnel_changelink",
    "ip_tunnel_dellink",
    "ip_tunnel_err_count",
    "ip_tunnel_get_iflink",
    "ip_tunnel_lookup",
    "ip_tunnel_newlink",
    "ip_tunnel_rcv",
    "ip_tunnel_xmit",
    "tnl_update_pmtu",
]

_HEADER = Struct("!BBHHHBBHII")
_IPTUNNEL_ERR_TIMEO = 30 * HZ
_IPV4_MIN_MTU = 68


@dataclass(frozen=True, slots=True)
class IpTunnelParm:
    """How a tunnel is set up (Linux: ``struct ip_tunnel_parm``).

    Members
    -------
    link : int
        ``ifindex`` of the device that its packets leave by and come in from, or 0.
    local, remote : int
        Addresses of its ends; 0 for any: without ``remote`` a packet goes to the next hop that its route names.
    protocol : int
        Of the inner packets, ``IPPROTO_IPIP``; 0 for any.
    ttl : int
        Of the outer packets; 0: that of the inner one.
    tos : int
        Likewise; 1: that of the inner one.
    df : int
        ``IP_DF`` for path MTU discovery, else 0: then only inner packets that say it have it outside, too.
    fwmark : int
        Mark that outer packets are routed by.
    """

    link: int = 0
    local: int = 0
    remote: int = 0
    protocol: int = 0
    ttl: int = 0
    tos: int = 0
    df: int = IP_DF
    fwmark: int = 0


class IpTunnelNet:
    """The tunnels of one kind in a namespace, by their remote address or 0 (Linux: ``struct ip_tunnel_net``)."""

    __slots__ = ("tunnels",)

    def __init__(self) -> None:
        self.tunnels: dict[int, list[IpTunnel]] = {}


class IpTunnel(NetDevice):
    """A tunnel's device (Linux: ``struct ip_tunnel``).

    Members
    -------
    tunnel_net : Net
        The namespace of its outer packets.
    parms : IpTunnelParm
        How it is set up.
    hlen : int
        What comes between outer and inner IPv4 header, in octets.
    err_count, err_time : int
        Errors about outer packets that no sender of an inner one was told of yet, and when the last came, in jiffies.
    dst_cache : DstCache
        The outer packets' route, where all have the same.
    """

    def __init__(self, net: "Net", name: str, ops: NetDeviceOps, itn: IpTunnelNet, parms: IpTunnelParm) -> None:
        super().__init__(net, name, ops, _CAPABILITIES)
        self.tunnel_net = net
        self.itn = itn
        self.parms = parms
        self.hlen = 0
        self.err_count = self.err_time = 0
        self.dst_cache = DstCache()
        self.gro_cells = gro_cells_init(self)
        self.hard_header_len = 0
        self.addr_len = 4
        self.priv_flags |= IFF_NO_QUEUE
        netif_keep_dst(self)


_CAPABILITIES = Capabilities(
    features=NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HIGHDMA | NETIF_F_HW_CSUM | NETIF_F_LLTX,
    min_mtu=_IPV4_MIN_MTU,
    max_mtu=IP_MAX_MTU - 20,
)


def _bucket(parms: IpTunnelParm) -> int:
    """Return what a tunnel is found under."""
    return 0 if parms.remote >> 28 == 0xE else parms.remote


def ip_tunnel_lookup(itn: IpTunnelNet, link: int, remote: int, local: int) -> IpTunnel | None:
    """Return the tunnel for a received packet: the most specific one, and of those the one on the device it came by."""
    here, anywhere = itn.tunnels.get(remote, ()), itn.tunnels.get(0, ())
    group = local >> 28 == 0xE
    fitting = (
        *(tunnel for tunnel in here if tunnel.parms.local == local and tunnel.parms.remote == remote),
        *(tunnel for tunnel in here if not tunnel.parms.local and tunnel.parms.remote == remote),
        *(
            tunnel
            for tunnel in anywhere
            if (tunnel.parms.local == local and not tunnel.parms.remote) or (group and tunnel.parms.remote == local)
        ),
        *(tunnel for tunnel in anywhere if not tunnel.parms.local and not tunnel.parms.remote),
    )
    up = [tunnel for tunnel in fitting if tunnel.flags & IFF_UP]
    return next((tunnel for tunnel in up if tunnel.parms.link == link), up[0] if up else None)


def ip_tunnel_find(itn: IpTunnelNet, parms: IpTunnelParm) -> IpTunnel | None:
    """Return the tunnel between the same ends on the same device."""
    for tunnel in itn.tunnels.get(_bucket(parms), ()):
        if (tunnel.parms.local, tunnel.parms.remote, tunnel.parms.link) == (parms.local, parms.remote, parms.link):
            return tunnel
    return None


def ip_tunnel_add(itn: IpTunnelNet, tunnel: IpTunnel) -> None:
    """Let a tunnel be found; the newest is looked at first."""
    itn.tunnels.setdefault(_bucket(tunnel.parms), []).insert(0, tunnel)


def ip_tunnel_del(itn: IpTunnelNet, tunnel: IpTunnel) -> None:
    """Let it be found no longer."""
    bucket = itn.tunnels[_bucket(tunnel.parms)]
    bucket.remove(tunnel)
    if not bucket:
        del itn.tunnels[_bucket(tunnel.parms)]


def ip_tunnel_bind_dev(tunnel: IpTunnel) -> int:
    """Look where a tunnel's packets leave, and take the headroom from there; return the MTU that it leaves."""
    parms = tunnel.parms
    net = tunnel.tunnel_net
    below: NetDevice | None = None
    if parms.remote:
        try:
            below = ip_route_output_key(net, _flow(tunnel, parms.remote, parms.tos & ~1)).dev
        except OSError:
            below = None  # There is no way yet.
        tunnel.flags |= IFF_POINTOPOINT
        dst_cache_reset(tunnel.dst_cache)
    if below is None and parms.link:
        below = net.devices.get(parms.link)
    mtu, room = 1500, 14 + 20
    if below is not None:
        mtu, room = min(below.mtu, IP_MAX_MTU), below.hard_header_len + below.needed_headroom
    tunnel.needed_headroom = tunnel.hlen + 20 + room
    return max(mtu - tunnel.hlen - 20, _IPV4_MIN_MTU)


def _flow(tunnel: IpTunnel, daddr: int, tos: int, hash: int = 0) -> Flowi4:
    """Return the flow of a tunnel's packets (``ip_tunnel_init_flow``)."""
    parms = tunnel.parms
    flow = Flowi4(daddr, parms.local, parms.protocol, tos=tos & 0x1E, oif=parms.link, mark=parms.fwmark)
    flow.multipath_hash = hash
    return flow


def ip_tunnel_newlink(tunnel: IpTunnel) -> None:
    """Register a new tunnel's device.

    Raises
    ------
    OSError
        ``EEXIST`` if there is one between the same ends, or its name is taken.
    """
    if ip_tunnel_find(tunnel.itn, tunnel.parms) is not None:
        raise OSError(EEXIST, "there is a tunnel between these ends")
    tunnel.dev_addr = tunnel.parms.local.to_bytes(4, "big")
    tunnel.broadcast = tunnel.parms.remote.to_bytes(4, "big")
    tunnel.mtu = ip_tunnel_bind_dev(tunnel)
    register_netdevice(tunnel)
    ip_tunnel_add(tunnel.itn, tunnel)


def ip_tunnel_dellink(tunnel: IpTunnel) -> None:
    """Take a tunnel away."""
    ip_tunnel_del(tunnel.itn, tunnel)
    unregister_netdevice(tunnel)
    gro_cells_destroy(tunnel.gro_cells)
    dst_cache_reset(tunnel.dst_cache)


def ip_tunnel_get_iflink(dev: NetDevice) -> int:
    """Return the number of the device that a tunnel is bound to, 0 if it goes through any."""
    assert isinstance(dev, IpTunnel)
    return dev.parms.link


def ip_tunnel_changelink(tunnel: IpTunnel, parms: IpTunnelParm) -> None:
    """Set a tunnel up otherwise.

    Raises
    ------
    OSError
        ``EEXIST`` if there is another one between the new ends, ``EINVAL`` if it would be no longer, or become,
        point-to-point.
    """
    found = ip_tunnel_find(tunnel.itn, parms)
    if found is not None and found is not tunnel:
        raise OSError(EEXIST, "there is a tunnel between these ends")
    if bool(parms.remote) != bool(tunnel.flags & IFF_POINTOPOINT):
        raise OSError(EINVAL, "a tunnel has a remote end or has none")
    moved = (parms.link, parms.fwmark) != (tunnel.parms.link, tunnel.parms.fwmark)
    ip_tunnel_del(tunnel.itn, tunnel)
    tunnel.parms = parms
    ip_tunnel_add(tunnel.itn, tunnel)
    tunnel.dev_addr = parms.local.to_bytes(4, "big")
    tunnel.broadcast = parms.remote.to_bytes(4, "big")
    if moved:
        tunnel.mtu = ip_tunnel_bind_dev(tunnel)
    dst_cache_reset(tunnel.dst_cache)
    call_netdevice_notifiers(NetdevEvent.CHANGEADDR, tunnel)


def ip_tunnel_xmit(skb: SkBuff, dev: IpTunnel, protocol: int) -> None:
    """Send a packet of a tunnel's device on in an outer one.

    TTL and TOS are the tunnel's or the inner packet's. A packet that does not fit and may not be fragmented is answered
    with the MTU that is left, and so is, while errors come back, one with "host unreachable".
    """
    parms = dev.parms
    at = skb.network_header
    _, inner_tos, _, _, inner_frag, inner_ttl, _, _, _, inner_daddr = _HEADER.unpack_from(skb.view, at)
    daddr = parms.remote
    connected = daddr != 0
    if not daddr:
        if skb.dst is None:
            dev.stats.tx_fifo_errors += 1
            _tx_error(skb, dev)
            return
        daddr = rt_nexthop(skb.dst, inner_daddr)  # type: ignore[arg-type]  # What an IPv4 packet has.
    tos = parms.tos
    if tos & 1:
        tos = inner_tos
        connected = False
    fl4 = _flow(dev, daddr, tos, skb_get_hash(skb))
    kept = dst_cache_get_ip4(dev.dst_cache) if connected else None
    if kept is not None:
        rt, fl4.saddr = kept
    else:
        try:
            rt = ip_route_output_flow(dev.tunnel_net, fl4)
        except OSError:
            dev.stats.tx_carrier_errors += 1
            _tx_error(skb, dev)
            return
        if connected:
            dst_cache_set_ip4(dev.dst_cache, rt, fl4.saddr)
    if rt.dev is dev:
        dev.stats.collisions += 1  # It would go through itself for ever.
        _tx_error(skb, dev)
        return
    df = parms.df | inner_frag & IP_DF
    if tnl_update_pmtu(dev, skb, rt, df, inner_frag):
        _tx_error(skb, dev)
        return
    if dev.err_count:
        if jiffies(dev.kernel) < dev.err_time + _IPTUNNEL_ERR_TIMEO:
            dev.err_count -= 1
            dst_link_failure(skb)
        else:
            dev.err_count = 0
    dev.needed_headroom = max(dev.needed_headroom, LL_RESERVED_SPACE(rt.dev) + 20 + dev.hlen)
    try:
        skb_cow_head(skb, dev.needed_headroom)
    except OSError:
        dev.stats.tx_dropped += 1
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return
    iptunnel_xmit(
        rt,
        skb,
        fl4.saddr,
        daddr,
        protocol,
        INET_ECN_encapsulate(tos, inner_tos),
        parms.ttl or inner_ttl,
        df,
        dev=dev,
        xnet=dev.tunnel_net is not dev.net,
    )


def _tx_error(skb: SkBuff, dev: IpTunnel) -> None:
    dev.stats.tx_errors += 1
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)


def tnl_update_pmtu(dev: IpTunnel, skb: SkBuff, rt: RTable, df: int, inner_frag: int) -> int:
    """Have an inner packet's route learn the MTU that is left, and its sender if the packet is too long.

    Returns
    -------
    int
        0, or ``-E2BIG``: the packet may not be sent.
    """
    inner = skb.dst
    if df:
        mtu = ipv4_mtu(rt) - 20 - dev.hlen
    else:
        mtu = inner.ops.mtu(inner) if inner is not None else dev.mtu
    if inner is not None:
        inner.ops.update_pmtu(inner, None, skb, mtu)
    if inner_frag & IP_DF and mtu < skb.len - dev.hlen:
        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu)
        return -E2BIG
    return 0


def ip_tunnel_err_count(tunnel: IpTunnel) -> None:
    """Note an error about an outer packet: senders of the next inner ones shall know."""
    now = jiffies(tunnel.kernel)
    recent = now < tunnel.err_time + _IPTUNNEL_ERR_TIMEO
    tunnel.err_count = tunnel.err_count + 1 if recent else 1
    tunnel.err_time = now


def ip_tunnel_rcv(tunnel: IpTunnel, skb: SkBuff, outer_tos: int, outer_daddr: int) -> int:
    """Receive an inner packet, whose outer header is off, by a tunnel's device; return 0: it is taken."""
    stats = tunnel.stats
    if outer_daddr >> 28 == 0xE:
        stats.multicast += 1
    skb.network_header = skb.data
    if IP_ECN_decapsulate(outer_tos, skb) > 1:
        stats.rx_frame_errors += 1
        stats.rx_errors += 1
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return 0
    stats.rx_packets += 1
    stats.rx_bytes += skb.len
    skb_scrub_packet(skb, tunnel.tunnel_net is not tunnel.net)
    skb.dev = tunnel
    gro_cells_receive(tunnel.gro_cells, skb)
    return 0

"""Tunnels as devices: making, changing and taking them away; what comes for none; devices that sum less."""

from errno import EEXIST, EINVAL

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from hardwire.stack.core.dev_register import dev_close, dev_get_stats, dev_open
from hardwire.stack.core.netdevice import IFF_POINTOPOINT, NETIF_F_IP_CSUM, NETIF_F_SG
from hardwire.stack.core.skbuff import CHECKSUM_NONE, kfree_skb
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.ipv4.ipip import (
    IFLA_IPTUN_LOCAL,
    IFLA_IPTUN_PMTUDISC,
    IFLA_IPTUN_REMOTE,
    IFLA_IPTUN_TOS,
    IFLA_IPTUN_TTL,
    ipip_link_ops,
)
from hardwire.stack.ipv4.tunnel4 import XfrmTunnel, xfrm4_tunnel_deregister, xfrm4_tunnel_register
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.frames import ip, udp
from hardwire.tb.stack.inet_host import InetHost, raises
from hardwire.tb.stack.ipip_scenarios import ENDS, Scenario, echo, outer
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.test_ipip_linux import host_of

LOCAL, REMOTE = ipv4_from_text("10.0.0.1"), ipv4_from_text("10.0.0.2")
DATA = {IFLA_IPTUN_LOCAL: LOCAL, IFLA_IPTUN_REMOTE: REMOTE}


def tunnel(host: InetHost, name: str = "tun0", address: str = "172.16.0.1/24", **data):
    dev = ipip_link_ops.newlink(host.net, name, DATA | data, None)
    dev_open(dev)
    addr_add(dev, address)
    return dev


@pytest.mark.parametrize("features", [0, NETIF_F_SG, NETIF_F_SG | NETIF_F_IP_CSUM])
@pytest.mark.parametrize("size", [0, 1, 1452, 5000])
def test_scapy_takes_the_packets_apart_and_finds_their_sums_right(features, size):
    host = InetHost(features=features)
    tunnel(host)
    sock = host.socket()
    sock.bind(("172.16.0.1", 5000))
    payload = bytes(range(256)) * 20
    sock.sendto(payload[:size], ("172.16.0.2", 9000))
    found = b""
    for octets in host.dev.frames:
        one = Ether(octets)
        assert (one[IP].src, one[IP].dst, one[IP].proto, one[IP].flags.DF) == ("10.0.0.1", "10.0.0.2", 4, True)
        inner = one[IP].payload
        assert isinstance(inner, IP)
        assert (inner.src, inner.dst, inner.proto) == ("172.16.0.1", "172.16.0.2", 17)
        for header in (one[IP], inner):
            again = IP(bytes(header))
            del again.chksum
            assert IP(bytes(again)).chksum == header.chksum
        found += bytes(inner.payload)
    assert found[8:] == payload[:size]
    whole = IP(src="172.16.0.1", dst="172.16.0.2") / UDP(found)
    sent = whole[UDP].chksum
    del whole[UDP].chksum
    assert IP(bytes(whole))[UDP].chksum == sent
    assert all(summed == CHECKSUM_NONE for summed, _, _ in host.dev.offloads)


def test_a_second_tunnel_between_the_same_ends_is_refused():
    host = InetHost()
    tunnel(host)
    with raises(EEXIST):
        ipip_link_ops.newlink(host.net, "tun1", DATA, None)
    assert "tun1" not in host.net.dev_by_name


def test_a_tunnel_is_changed_but_stays_point_to_point():
    host = InetHost()
    dev = tunnel(host)
    assert dev.flags & IFF_POINTOPOINT
    ipip_link_ops.changelink(dev, DATA | {IFLA_IPTUN_TTL: 9, IFLA_IPTUN_TOS: 4})
    host.socket().sendto(b"x", ("172.16.0.2", 9000))
    (packet,) = host.packets()
    assert (packet.ttl, packet.tos, packet.dst) == (9, 4, REMOTE)
    info = ipip_link_ops.fill_info(dev)
    assert {key: info[key] for key in (IFLA_IPTUN_TTL, IFLA_IPTUN_TOS, IFLA_IPTUN_PMTUDISC, *DATA)} == {
        IFLA_IPTUN_TTL: 9,
        IFLA_IPTUN_TOS: 4,
        IFLA_IPTUN_PMTUDISC: 1,
        **DATA,
    }
    with raises(EINVAL):
        ipip_link_ops.changelink(dev, {IFLA_IPTUN_LOCAL: LOCAL})
    other = ipip_link_ops.newlink(host.net, "tun1", {IFLA_IPTUN_LOCAL: LOCAL}, None)
    with raises(EEXIST):
        ipip_link_ops.changelink(dev, {IFLA_IPTUN_LOCAL: LOCAL})
    assert not other.flags & IFF_POINTOPOINT


def test_a_tunnel_goes_with_its_routes_and_its_traffic():
    host = InetHost()
    dev = tunnel(host)
    host.socket().sendto(b"x", ("172.16.0.2", 9000))
    host.dev.frames.clear()
    ipip_link_ops.dellink(dev)
    with raises(101):
        host.socket().sendto(b"x", ("172.16.0.2", 9000))
    assert not host.dev.frames
    ipip_link_ops.newlink(host.net, "tun0", DATA, None)
    host.check_memory()


def test_tunnels_in_tunnels_end_where_one_leads_into_itself():
    host = InetHost()
    tunnel(host)
    second = {IFLA_IPTUN_LOCAL: ipv4_from_text("172.16.0.1"), IFLA_IPTUN_REMOTE: ipv4_from_text("172.16.0.2")}
    dev = ipip_link_ops.newlink(host.net, "tun1", second, None)
    dev_open(dev)
    addr_add(dev, "172.17.0.1/24")
    host.socket().sendto(b"x", ("172.17.0.2", 9000))
    (packet,) = host.packets()
    assert (packet.protocol, packet.payload[9], packet.payload[29]) == (4, 4, 17)
    assert dev.mtu == 1460
    route_add(host.net, "10.0.0.2", dev=dev)  # The first one's other end lies behind the second, and that behind it.
    host.socket().sendto(b"x", ("172.17.0.2", 9000))
    assert not host.dev.frames
    stats = [dev_get_stats(one) for one in (host.net.dev_by_name["tun0"], dev)]
    assert sum(one.tx_dropped + one.tx_errors for one in stats) > 0
    assert host.kernel.drop_counts()["DEV_READY"] == 1
    host.check_memory()


def test_a_tunnel_that_is_down_receives_nothing():
    host = host_of(Scenario([]))
    dev_close(host.net.dev_by_name["tun0"])
    host.receive(outer(echo()))
    host.platform.advance(1_000_000)
    (answer,) = host.dev.sent
    assert (answer[23], answer[34:36]) == (1, b"\3\3")


def test_ipsec_is_asked_before_tunnels():
    host: PairHost = host_of(Scenario([]))
    seen = []

    def take(skb):
        seen.append(skb.len)
        kfree_skb(skb)
        return 0

    handler = XfrmTunnel(take, lambda skb, info: 0, priority=0)
    xfrm4_tunnel_register(host.net, handler)
    with raises(EEXIST):
        xfrm4_tunnel_register(host.net, handler)
    host.receive(outer(echo()))
    host.platform.advance(1_000_000)
    xfrm4_tunnel_deregister(host.net, handler)
    host.receive(outer(echo()))
    host.platform.advance(1_000_000)
    assert seen == [60]
    assert dev_get_stats(host.net.dev_by_name["tun0"]).rx_packets == 1


def test_what_a_tunnel_may_not_send_is_counted():
    host = host_of(Scenario([], {"tun0": ENDS | {"ttl": "9"}}))
    dev = host.net.dev_by_name["tun0"]
    dev.mtu = 1500
    host.receive(ip(udp(9000, bytes(1472), dst=0xAC100001), dst=0xAC100001, frag=0x4000))
    host.platform.advance(1_000_000)
    (answer,) = host.dev.sent
    assert (answer[34:36], answer[40:42]) == (b"\3\4", (1480).to_bytes(2, "big"))
    assert dev_get_stats(dev).tx_errors == 1

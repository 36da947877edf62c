"""A router that translates addresses between two hosts, four cards of real gateware."""

from hardwire.stack import socket as api
from hardwire.stack.nft import nft
from hardwire.stack.wire.checksum import ip_fast_csum
from hardwire.tb.e2e.test_forward_rtl import SECOND, THERE, Network

RULES = """
table ip nat {
    chain forward {
        type filter hook forward priority filter
        udp dport 9001 counter drop
    }
    chain prerouting {
        type nat hook prerouting priority dstnat
        iifname "eth1" udp dport 80 dnat to 10.0.1.1:8080
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "eth1" masquerade
    }
}
"""
REQUEST = bytes((8, 0, 0, 0, 0x12, 0x34, 0, 1)) + bytes(range(48))
REQUEST = REQUEST[:2] + ip_fast_csum(REQUEST).to_bytes(2, "big") + REQUEST[4:]


def test_a_masquerade_a_port_forward_and_a_dropped_port() -> None:
    network = Network()
    nft(network.r.net, RULES)
    here, there = network.sockets()
    here.settimeout(1)
    server, ping = network.a.net.socket(), network.a.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    server.bind(("10.0.1.1", 8080))
    server.settimeout(1)
    ping.settimeout(1)

    def exchange() -> None:
        for size in (0, 1, 1472):
            here.send(bytes(size))
            data, back = there.recvfrom(2000)
            assert (data, back) == (bytes(size), ("10.0.2.254", here.getsockname()[1]))
            there.sendto(data, back)
            assert here.recv(2000) == bytes(size)
        ping.sendto(REQUEST, ("10.0.2.1", 0))
        reply = ping.recv(200)
        assert (reply[12:20], reply[20:22], reply[24:]) == (bytes((10, 0, 2, 1, 10, 0, 1, 1)), b"\0\0", REQUEST[4:])
        there.sendto(b"from outside", ("10.0.2.254", 80))
        assert server.recvfrom(100) == (b"from outside", THERE)
        server.sendto(b"from inside", THERE)
        assert there.recvfrom(100) == (b"from inside", ("10.0.2.254", 80))
        network.a.net.socket().sendto(b"not this", ("10.0.2.1", 9001))
        network.world.sleep(SECOND // 100)

    network.world.run(exchange)
    assert network.r.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    assert "udp dport 9001 counter packets 1 bytes 36 drop" in nft(network.r.net, "list ruleset")
    assert network.r.net.nf.conntrack.count == 3
    network.world.drain()

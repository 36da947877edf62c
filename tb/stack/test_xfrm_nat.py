"""ESP through a router that translates addresses, and policies for what was translated."""

import pytest

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.nft import nft
from hardwire.tb.stack.ipsec import counters
from hardwire.tb.stack.nat import ROUTER, Nat
from hardwire.tb.stack.test_veth import Namespaces

KEY = "0x" + bytes(range(20)).hex()
A, B = "10.0.1.1", "10.0.2.1"


def gate(host, address: str) -> None:
    """Have a host take ESP in UDP."""
    sock = host.socket()
    sock.bind((address, 4500))
    sock.setsockopt(17, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP


@pytest.mark.parametrize("mode", ["tunnel", "transport"])
def test_esp_in_udp_goes_through_a_masquerade_there_and_back(mode):
    nat = Nat()
    for host in (nat.a, nat.b):
        host.kernel.crypto = CryptographyLibrary()
    inner = ("172.16.1.1", "172.16.2.1") if mode == "tunnel" else (A, B)
    seen = ("172.16.1.1", "172.16.2.1") if mode == "tunnel" else (ROUTER, B)  # By the host outside.
    if mode == "tunnel":
        addr_add(nat.a.net.loopback_dev, "172.16.1.1/32")
        addr_add(nat.b.net.loopback_dev, "172.16.2.1/32")
        route_add(nat.a.net, "172.16.2.0/24", via="10.0.1.254")
        route_add(nat.b.net, "172.16.1.0/24", via="10.0.2.254")
    # The host outside knows the other one by the address of the router.
    for host, peer, own, (near, far) in ((nat.a, B, A, inner), (nat.b, ROUTER, B, seen[::-1])):
        for src, dst, spi in ((own, peer, 1 + (host is nat.b)), (peer, own, 2 - (host is nat.b))):
            words = f"src {src} dst {dst} proto esp spi {spi:#x} reqid 1 mode {mode} replay-window 32"
            ip(host.net, f"xfrm state add {words} aead 'rfc4106(gcm(aes))' {KEY} 128 encap espinudp 4500 4500 0.0.0.0")
        for src, dst, direction, ends in ((near, far, "out", (own, peer)), (far, near, "in", (peer, own))):
            port = "dport" if src in (inner[0], seen[0]) else "sport"
            words = f"src {src} dst {dst} proto udp {port} 9000 dir {direction}"
            ip(host.net, f"xfrm policy add {words} tmpl src {ends[0]} dst {ends[1]} proto esp reqid 1 mode {mode}")
        gate(host, own)
    here, there = nat.a.socket(), nat.b.socket()
    here.bind((inner[0], 5001))
    nat.there.close()
    there.bind((inner[1], 9000))
    for size in (0, 10, 1300):
        here.sendto(bytes(size), (inner[1], 9000))
        nat.run()
        data, source = there.recvfrom(2000)
        assert (len(data), source) == (size, (seen[0], 5001))
        there.sendto(b"back", source)
        nat.run()
        assert here.recvfrom(100) == (b"back", (inner[1], 9000))
    assert counters(nat.a.net) == counters(nat.b.net) == {}
    packets = [frame[14:] for frame in nat.far.sent if frame[12:14] == b"\x08\x00"]
    assert {(packet[9], packet[12:16], packet[20:24].hex()) for packet in packets} == {
        (17, bytes(map(int, ROUTER.split("."))), "11941194")
    }


def test_the_policy_for_the_translated_address_holds_for_a_translated_packet():
    two = Namespaces(3)
    two.kernel.crypto = CryptographyLibrary()
    two.join(0, "10.1.0.1/24", 1, "10.1.0.254/24")
    two.join(1, "10.0.0.1/24", 2, "10.0.0.2/24")
    host, router, peer = two.nets
    route_add(host, "default", via="10.1.0.254")
    inet_forward_change(router, True)
    nft(router, 'table ip nat { chain p { type nat hook postrouting priority srcnat; oifname "veth1" masquerade; } }')
    for net, direction, other in ((router, "out", "in"), (peer, "in", "out")):
        for src, dst, spi, way in (("10.0.0.1", "10.0.0.2", 1, direction), ("10.0.0.2", "10.0.0.1", 2, other)):
            words = f"src {src} dst {dst} proto esp spi {spi} reqid 1"
            ip(net, f"xfrm state add {words} aead 'rfc4106(gcm(aes))' {KEY} 128")
            ip(net, f"xfrm policy add src {src} dst {dst} dir {way} tmpl proto esp reqid 1")
    here, there = host.socket(), peer.socket()
    there.bind(("10.0.0.2", 9000))
    there.settimeout(0.001)
    here.sendto(b"x", ("10.0.0.2", 9000))
    two.run()
    data, source = there.recvfrom(100)
    assert (data, source[0]) == (b"x", "10.0.0.1")
    there.sendto(b"y", source)
    two.run()
    here.settimeout(0.001)
    assert here.recv(100) == b"y"
    assert counters(router) == counters(peer) == {}
    assert "1(packets)" in ip(peer, "-s xfrm state get dst 10.0.0.2 proto esp spi 1")

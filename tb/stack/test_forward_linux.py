"""Frames to our router and to a real Linux router: the same frames sent on, the same messages, the same counters."""

import os

import pytest

from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.ipv4.rtnetlink import RtType
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import BROADCAST, MY_MAC, PEER, arp, assert_same, icmp, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

FAR = 0x0A080001  # 10.8.0.1, behind 10.0.0.77.
NARROW = 0x0A090001  # 10.9.0.1, likewise, by a route with an MTU of 600.
DF = 0x4000
INNER = ip(udp(9000))[14:42]

FRAMES = {
    "a datagram": ip(udp(9000, dst=FAR), dst=FAR),
    "a datagram of odd length": ip(udp(9000, b"odd", dst=FAR), dst=FAR),
    "a long one": ip(udp(9000, bytes(1400), dst=FAR), dst=FAR),
    "with a TOS": ip(udp(9000, dst=FAR), dst=FAR, tos=0x1C),
    "with octets behind": ip(udp(9000, dst=FAR), dst=FAR, pad=b"\xee" * 30),
    "of another protocol": ip(b"payload", 200, dst=FAR),
    "with a wrong UDP sum": ip(udp(9000, dst=FAR, check=5), dst=FAR),
    "an echo": ip(icmp(8), 1, dst=FAR),
    "an ICMP error": ip(icmp(3, 3, bytes(4), INNER), 1, dst=FAR),
    "TTL 2": ip(udp(9000, dst=FAR), dst=FAR, ttl=2),
    "TTL 1": ip(udp(9000, dst=FAR), dst=FAR, ttl=1),
    "TTL 0": ip(udp(9000, dst=FAR), dst=FAR, ttl=0),
    "TTL 1, long": ip(udp(9000, bytes(1400), dst=FAR), dst=FAR, ttl=1),
    "TTL 1, an echo": ip(icmp(8), 1, dst=FAR, ttl=1),
    "TTL 1, an ICMP error": ip(icmp(3, 3, bytes(4), INNER), 1, dst=FAR, ttl=1),
    "TTL 1, a fragment": ip(bytes(64), dst=FAR, ttl=1, frag=8),
    "TTL 1, for us": ip(icmp(8), 1, ttl=1),
    "a first fragment": ip(udp(9000, dst=FAR, ulen=100), dst=FAR, frag=0x2000),
    "a last fragment": ip(bytes(64), dst=FAR, frag=8),
    "too long, DF": ip(udp(9000, bytes(1000), dst=NARROW), dst=NARROW, frag=DF),
    "too long, DF, TTL 1": ip(udp(9000, bytes(1000), dst=NARROW), dst=NARROW, frag=DF, ttl=1),
    "too long": ip(udp(9000, bytes(1000), dst=NARROW), dst=NARROW),
    "too long, with options": ip(
        udp(9000, bytes(1000), dst=NARROW), dst=NARROW, options=b"\x94\4\0\0\7\x0b\4\0\0\0\0\0\0\0\0\0"
    ),
    "too long, a fragment itself": ip(bytes(1000), dst=NARROW, frag=0x2010),
    "just fits, DF": ip(udp(9000, bytes(572), dst=NARROW), dst=NARROW, frag=DF),
    "no route": ip(udp(9000, dst=0x0B000001), dst=0x0B000001),
    "unreachable": ip(udp(9000, dst=0x0C000001), dst=0x0C000001),
    "prohibited": ip(udp(9000, dst=0x0C010001), dst=0x0C010001),
    "into a black hole": ip(udp(9000, dst=0x0C020001), dst=0x0C020001),
    "to 240.0.0.1": ip(udp(9000, dst=0xF0000001), dst=0xF0000001),
    "to 127.0.0.1": ip(udp(9000, dst=0x7F000001), dst=0x7F000001),
    "from 127.0.0.1": ip(udp(9000, src=0x7F000001, dst=FAR), src=0x7F000001, dst=FAR),
    "from 0.0.0.0": ip(udp(9000, src=0, dst=FAR), src=0, dst=FAR),
    "from our address": ip(udp(9000, src=0x0A000002, dst=FAR), src=0x0A000002, dst=FAR),
    "from nowhere": ip(udp(9000, src=0x0D000001, dst=FAR), src=0x0D000001, dst=FAR),
    "from nowhere, TTL 1": ip(udp(9000, src=0x0D000001, dst=FAR), src=0x0D000001, dst=FAR, ttl=1),
    "to all on a link": ip(udp(9000, dst=0x0A0000FF), dst=0x0A0000FF, mac=BROADCAST),
    "in a broadcast frame": ip(udp(9000, dst=FAR), dst=FAR, mac=BROADCAST),
    "for another MAC address": ip(udp(9000, dst=FAR), dst=FAR, mac=bytes.fromhex("0200000000aa")),
    "back to the sender's link": ip(udp(9000, dst=0x0A00004D), dst=0x0A00004D),
    "options: no operation": ip(udp(9000, dst=FAR), dst=FAR, options=b"\1\1\1\0"),
    "options: record route": ip(udp(9000, dst=FAR), dst=FAR, options=b"\7\x0b\4\0\0\0\0\0\0\0\0\0"),
    "options: record route, full": ip(udp(9000, dst=FAR), dst=FAR, options=b"\7\7\x08\x0a\0\0\1\0"),
    "options: record route, TTL 1": ip(udp(9000, dst=FAR), dst=FAR, options=b"\7\7\4\0\0\0\0\0", ttl=1),
    "options: loose source route": ip(udp(9000, dst=FAR), dst=FAR, options=b"\x83\7\4\x0a\0\0\5\0"),
    "options: router alert": ip(udp(9000, dst=FAR), dst=FAR, options=b"\x94\4\0\0"),
    "options: malformed": ip(udp(9000, dst=FAR), dst=FAR, options=b"\x44\0\0\0"),
    "ARP request for what is behind": arp(tip=FAR),
}


# Linux 6.1 counts what it forwards there, too: 07a of the golden traces; later ones do not. Those count as forwarded
# what they found to be too long afterwards.
COUNTED_OTHERWISE = {"Ip:OutRequests", "IpExt:OutOctets"}
TOO_LONG = {"Ip:ForwDatagrams"}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-fwd{os.getpid()}") as peer:
        for address in ("10.0.0.1", "10.0.0.77"):
            mac = f"02:00:00:00:00:{int(address.rsplit('.', 1)[1]):02x}"
            peer.ip("neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", "eth0")
        peer.ip("route", "add", "10.8.0.0/16", "via", "10.0.0.77")
        peer.ip("route", "add", "10.9.0.0/16", "via", "10.0.0.77", "mtu", "600")
        for kind, prefix in (("unreachable", "12.0.0.0/16"), ("prohibit", "12.1.0.0/16"), ("blackhole", "12.2.0.0/16")):
            peer.ip("route", "add", kind, prefix)
        peer.sysctl("net.ipv4.icmp_ratemask", 0)
        peer.sysctl("net.ipv4.ip_forward", 1)
        for where in ("all", "eth0"):
            peer.sysctl(f"net.ipv4.conf.{where}.send_redirects", 0)
        peer.frames()
        yield peer


@pytest.fixture
def ours():
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=NETIF_F_SG | NETIF_F_HW_CSUM)
    net = host.net
    for address in ("10.0.0.1", "10.0.0.77"):
        neigh_add(host.dev, address, f"02:00:00:00:00:{int(address.rsplit('.', 1)[1]):02x}")
    route_add(net, "10.8.0.0/16", via="10.0.0.77")
    route_add(net, "10.9.0.0/16", via="10.0.0.77", mtu=600)
    for kind, prefix in ((RtType.UNREACHABLE, "12.0.0.0/16"), (RtType.PROHIBIT, "12.1.0.0/16")):
        route_add(net, prefix, type=kind)
    route_add(net, "12.2.0.0/16", type=RtType.BLACKHOLE)
    net.ipv4.sysctl_icmp_ratemask = 0
    inet_forward_change(net, True)
    net.ipv4.devconf_all.send_redirects = host.dev.ip_ptr.cnf.send_redirects = 0
    return host


@pytest.mark.parametrize("name", FRAMES)
def test_a_router_does_what_linux_does(linux, ours, name):
    skipped = COUNTED_OTHERWISE | (TOO_LONG if name.startswith("too long, DF") else set())
    assert_same(linux, ours, FRAMES[name], skipped=skipped)


def test_a_host_forwards_nothing(linux, ours):
    inet_forward_change(ours.net, False)
    linux.sysctl("net.ipv4.ip_forward", 0)
    try:
        for name in ("a datagram", "TTL 1", "no route", "unreachable"):
            assert_same(linux, ours, FRAMES[name])
    finally:
        linux.sysctl("net.ipv4.ip_forward", 1)


def test_a_shorter_way_is_told_as_often_as_linux_tells_it(linux, ours):
    for where in ("all", "eth0"):
        linux.sysctl(f"net.ipv4.conf.{where}.send_redirects", 1)
    ours.dev.ip_ptr.cnf.send_redirects = 1
    try:
        for _ in range(2):
            assert_same(linux, ours, ip(udp(9000, src=PEER, dst=FAR), dst=FAR), skipped=COUNTED_OTHERWISE)
    finally:
        for where in ("all", "eth0"):
            linux.sysctl(f"net.ipv4.conf.{where}.send_redirects", 0)

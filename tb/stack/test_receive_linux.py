"""Frames, one by one, to our stack and to a real Linux kernel: the same answers, the same counters."""

import os
from struct import pack

import pytest

from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import neigh_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import BROADCAST, ME, MY_MAC, PEER, PEER_MAC, arp, assert_same, icmp, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

MISCOUNTED = {"Icmp:OutEchoReps", "IcmpMsg:OutType0", "Icmp:OutTimestampReps", "IcmpMsg:OutType14"}


INNER = pack("!BBHHHBBHII", 0x45, 0, 32, 1, 0, 64, 17, 0, ME, PEER) + pack("!HHHH", 9000, 5000, 12, 0)
GROUP, GROUP_MAC = 0xE0000001, bytes.fromhex("01005e000001")
FRAMES = {
    "echo": ip(icmp(8), 1),
    "echo without data": ip(icmp(8, data=b""), 1),
    "echo of odd length": ip(icmp(8, data=b"x" * 33), 1),
    "echo with a TOS": ip(icmp(8), 1, tos=0x1C),
    "echo with ECN": ip(icmp(8), 1, tos=3),
    "echo with a code": ip(icmp(8, 5), 1),
    "echo, long": ip(icmp(8, data=bytes(1400)), 1),
    "echo, wrong sum": ip(icmp(8, check=1), 1),
    "echo to all": ip(icmp(8), 1, dst=0x0A0000FF, mac=BROADCAST),
    "echo to 255.255.255.255": ip(icmp(8), 1, dst=0xFFFFFFFF, mac=BROADCAST),
    "echo to all hosts": ip(icmp(8), 1, dst=GROUP, mac=GROUP_MAC),
    "echo to a link broadcast": ip(icmp(8), 1, mac=BROADCAST),
    "echo to another group": ip(icmp(8), 1, dst=0xE0000009, mac=bytes.fromhex("01005e000009")),
    "echo to another host": ip(icmp(8), 1, mac=bytes.fromhex("0200000000aa")),
    "echo reply that nobody wants": ip(icmp(0), 1),
    "ICMP cut short": ip(icmp(8)[:6], 1),
    "timestamp": ip(icmp(13, data=bytes(12)), 1),
    "timestamp cut short": ip(icmp(13, data=b"abc"), 1),
    "address mask": ip(icmp(17), 1),
    "source quench": ip(icmp(4, rest=bytes(4), data=INNER), 1),
    "redirect": ip(icmp(5, 1, rest=b"\x0a\0\0\x09", data=INNER), 1),
    "unknown ICMP": ip(icmp(200), 1),
    "unreachable, unknown socket": ip(icmp(3, 3, bytes(4), INNER), 1),
    "unreachable, cut short": ip(icmp(3, 3, bytes(4), INNER[:24]), 1),
    "unreachable, very short": ip(icmp(3, 3, bytes(4), INNER[:10]), 1),
    "unreachable, wrong IHL": ip(icmp(3, 3, bytes(4), b"\x41" + INNER[1:]), 1),
    "unreachable, unknown code": ip(icmp(3, 77, bytes(4), INNER), 1),
    "time exceeded": ip(icmp(11, 0, bytes(4), INNER), 1),
    "closed port": ip(udp(7)),
    "closed port, odd": ip(udp(7, b"odd")),
    "closed port, long": ip(udp(7, bytes(1400))),
    "closed port, TOS": ip(udp(7), tos=0x10),
    "closed port, no sum": ip(udp(7, check=0)),
    "closed port, wrong sum": ip(udp(7, check=5)),
    "closed port, wrong sum, long": ip(udp(7, bytes(100), check=5)),
    "closed port, broadcast": ip(udp(7, dst=0x0A0000FF), dst=0x0A0000FF, mac=BROADCAST),
    "closed port, multicast": ip(udp(7, dst=GROUP), dst=GROUP, mac=GROUP_MAC),
    "closed port, link broadcast": ip(udp(7), mac=BROADCAST),
    "UDP cut short": ip(udp(7)[:6]),
    "UDP length too long": ip(udp(7, ulen=13)),
    "UDP length too short": ip(udp(7, ulen=7)),
    "UDP with octets behind": ip(udp(7) + b"behind"),
    "unknown protocol": ip(b"payload", 200),
    "unknown protocol, broadcast": ip(b"payload", 200, dst=0x0A0000FF, mac=BROADCAST),
    "padding behind the packet": ip(udp(7), pad=b"\xee" * 30),
    "version 5": ip(udp(7), first=0x55),
    "IHL 4": ip(udp(7), first=0x44),
    "IHL beyond the packet": ip(b"", first=0x4F, pad=b""),
    "total length 19": ip(udp(7), total=19),
    "total length beyond the frame": ip(udp(7), total=200),
    "wrong header sum": ip(udp(7), check=1),
    "no octets": MY_MAC + PEER_MAC + b"\x08\x00",
    "10 octets": MY_MAC + PEER_MAC + b"\x08\x00" + bytes(10),
    "source is ours": ip(udp(7, src=ME), src=ME),
    "source is a group": ip(udp(7, src=GROUP), src=GROUP),
    "source is 255.255.255.255": ip(udp(7, src=0xFFFFFFFF), src=0xFFFFFFFF),
    "source is 0": ip(udp(7, src=0), src=0),
    "source is 0.0.0.5": ip(udp(7, src=5), src=5),
    "source is 127.0.0.1": ip(udp(7, src=0x7F000001), src=0x7F000001),
    "destination is 127.0.0.1": ip(udp(7, dst=0x7F000001), dst=0x7F000001),
    "destination is 0.0.0.5": ip(udp(7, dst=5), dst=5),
    "destination is another host": ip(udp(7, dst=0x0A000009), dst=0x0A000009),
    "destination far away": ip(udp(7, dst=0x08080808), dst=0x08080808),
    "source 0 to all": ip(udp(7, src=0, dst=0xFFFFFFFF), src=0, dst=0xFFFFFFFF, mac=BROADCAST),
    "source is the broadcast address": ip(udp(7, src=0x0A0000FF), src=0x0A0000FF),
    "options: no operation": ip(icmp(8), 1, options=b"\1\1\1\0"),
    "options: record route": ip(icmp(8), 1, options=b"\7\7\4\0\0\0\0\0"),
    "options: record route, full": ip(icmp(8), 1, options=b"\7\7\x08\x0a\0\0\1\0"),
    "options: record route, pointer 3": ip(icmp(8), 1, options=b"\7\7\3\0\0\0\0\0"),
    "options: record route, pointer 6": ip(icmp(8), 1, options=b"\7\7\6\0\0\0\0\0"),
    "options: record route, twice": ip(icmp(8), 1, options=b"\7\7\4\0\0\0\0\7\7\4\0\0\0\0\0\0"),
    "options: length 0": ip(icmp(8), 1, options=b"\x44\0\0\0"),
    "options: length beyond the header": ip(icmp(8), 1, options=b"\7\x08\4\0"),
    "options: one octet left": ip(icmp(8), 1, options=b"\1\1\1\7"),
    "options: timestamps, full": ip(icmp(8), 1, options=b"\x44\x08\x09\0\0\0\0\0"),
    "options: timestamps, overflow": ip(icmp(8), 1, options=b"\x44\x08\x09\xf0\0\0\0\0"),
    "options: timestamp, length 3": ip(icmp(8), 1, options=b"\x44\3\5\0"),
    "options: router alert, short": ip(icmp(8), 1, options=b"\x94\3\0\0"),
    "options: router alert": ip(icmp(8), 1, options=b"\x94\4\0\0"),
    "options: loose source route": ip(icmp(8), 1, options=b"\x83\7\4\x0a\0\0\5\0"),
    "options: loose source route, at its end": ip(icmp(8), 1, options=b"\x83\7\x08\x0a\0\0\5\0"),
    "options: malformed, in an ICMP error": ip(icmp(3, 3, bytes(4), INNER), 1, options=b"\x44\0\0\0"),
    "options: malformed, in an unknown ICMP message": ip(icmp(77), 1, options=b"\x44\0\0\0"),
    "options: closed port, long": ip(udp(7, bytes(1400)), options=b"\7\7\4\0\0\0\0\0"),
    "options: closed port": ip(udp(7), options=b"\7\7\4\0\0\0\0\0"),
    "ARP request": arp(),
    "ARP request to us alone": arp(mac=MY_MAC),
    "ARP request for another host": arp(tip=0x0A000009),
    "ARP request for the broadcast address": arp(tip=0x0A0000FF),
    "ARP probe for our address": arp(sip=0),
    "ARP probe for another": arp(sip=0, tip=0x0A000009),
    "ARP request for 127.0.0.1": arp(tip=0x7F000001),
    "ARP request for a group": arp(tip=GROUP),
    "ARP request from our address": arp(sip=ME),
    "ARP request from far away": arp(sip=0x08080808),
    "ARP operation 3": arp(3),
    "ARP of another protocol": arp(fixed=b"\0\1\x86\xdd\6\4"),
    "ARP of another hardware": arp(fixed=b"\0\7\x08\0\6\4"),
    "ARP for IEEE 802": arp(fixed=b"\0\6\x08\0\6\4"),
    "ARP with long addresses": arp(fixed=b"\0\1\x08\0\x08\4"),
    "ARP cut short": arp()[:30],
    "ARP to another host": arp(mac=bytes.fromhex("0200000000aa")),
    "another EtherType": MY_MAC + PEER_MAC + b"\x88\xb5" + bytes(46),
    "802.3 length": MY_MAC + PEER_MAC + b"\x00\x05" + bytes(46),
}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire{os.getpid()}") as peer:
        peer.ip("neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
        peer.ip("route", "add", "default", "via", "10.0.0.1")
        peer.sysctl("net.ipv4.icmp_ratemask", 0)
        peer.frames()
        yield peer


@pytest.fixture
def ours():
    from hardwire.stack.iproute import route_add

    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=NETIF_F_SG | NETIF_F_HW_CSUM)
    neigh_add(host.dev, "10.0.0.1", "02:00:00:00:00:01")
    route_add(host.net, "default", via="10.0.0.1")
    host.net.ipv4.sysctl_icmp_ratemask = 0
    return host


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_has_the_answers_and_counters_that_it_has_in_linux(linux, ours, name):
    # Linux from 6.5 on counts timestamp replies as echo replies.
    assert_same(linux, ours, FRAMES[name], skipped=MISCOUNTED if name == "timestamp" else set())


@pytest.mark.parametrize("name", [name for name in FRAMES if not name.startswith(("ARP", "echo to another host"))])
def test_a_frame_that_is_not_answered_is_dropped_with_a_reason(ours, name):
    ours.receive(FRAMES[name])
    drops = ours.kernel.drop_counts()
    delivered = sum(ours.mib[key] for key in ("Icmp:OutMsgs", "Udp:IgnoredMulti"))
    assert sum(drops.values()) + delivered >= 1 or "Icmp:InMsgs" in ours.mib

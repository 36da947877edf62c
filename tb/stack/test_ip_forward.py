"""A router between two hosts: what it sends on, what it says, and what the hosts learn from that."""

from errno import EHOSTUNREACH, EMSGSIZE, ENETUNREACH

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from hardwire.stack import socket as api
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.stack.ipv4 import fib_exception
from hardwire.stack.ipv4.fib_exception import find_exception
from hardwire.stack.ipv4.fib_trie import fib_lookup
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.netfilter.core import NF_DROP, NF_INET_FORWARD, NfHookOps, nf_register_net_hook
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.inet_host import error_of, raises
from hardwire.tb.stack.routed import Routed

SECOND = 1_000_000_000
THERE = ("10.0.2.1", 9000)


@pytest.fixture
def routed() -> Routed:
    return Routed()


def receiver(routed: Routed):
    sock = routed.b.socket()
    sock.bind(THERE)
    return sock


def messages(host) -> list[tuple[int, int]]:
    """Return type and code of the ICMP messages that a device has sent."""
    packets = [Ether(frame) for frame in host.sent]
    return [(packet[ICMP].type, packet[ICMP].code) for packet in packets if ICMP in packet]


def test_datagrams_go_both_ways_with_one_off_their_time_to_live(routed):
    there, here = receiver(routed), routed.a.socket()
    here.sendto(b"ping", THERE)
    routed.run()
    data, back = there.recvfrom(100)
    assert (data, back[0]) == (b"ping", "10.0.1.1")
    there.sendto(b"pong", back)
    routed.run()
    assert here.recvfrom(100) == (b"pong", THERE)
    packet = Ether(routed.far.sent[-1])[IP]
    assert (packet.ttl, packet.src, packet.dst) == (63, "10.0.1.1", "10.0.2.1")
    sum_as_sent = packet.chksum
    del packet.chksum
    assert IP(bytes(packet)).chksum == sum_as_sent
    # As 07a of the golden traces counts one of 60 octets.
    assert [routed.r.mib[f"Ip:{name}"] for name in ("ForwDatagrams", "OutRequests", "InDelivers")] == [2, 2, 0]
    assert routed.r.mib["IpExt:OutOctets"] == 2 * 2 * 32


def test_the_way_is_traced_by_times_to_live(routed):
    sock = routed.a.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    hops = []
    for ttl in (1, 2):
        sock.setsockopt(api.IPPROTO_IP, api.IP_TTL, ttl)
        sock.sendto(bytes(32), ("10.0.2.1", 33434))
        routed.run()
        hops.append(error_of(sock)[1:4:2])
    assert hops == [((11, 0), "10.0.1.254"), ((3, 3), "10.0.2.1")]
    assert routed.r.mib["Ip:InHdrErrors"] == routed.r.mib["Icmp:OutTimeExcds"] == 1


def narrow():
    """Return a router whose way to ``b`` is narrow, a socket of ``b``, and one of ``a`` that it hears."""
    routed = Routed(far_mtu=1280)
    there = receiver(routed)
    here = routed.a.socket()
    here.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    here.connect(THERE)
    return routed, there, here


def test_a_path_mtu_is_learned_from_the_router():
    routed, there, here = narrow()
    here.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO)
    assert here.getsockopt(api.IPPROTO_IP, api.IP_MTU) == 1500
    here.send(bytes(1372))
    routed.run()
    assert error_of(here) == (EMSGSIZE, (3, 4), 1280, "10.0.1.254")
    assert here.getsockopt(api.IPPROTO_IP, api.IP_MTU) == 1280
    assert messages(routed.r.dev) == [(3, 4)]
    assert routed.r.mib["Ip:FragFails"] == 1
    with raises(EMSGSIZE):
        here.send(bytes(1253))
    here.send(bytes(1252))
    routed.run()
    assert len(there.recv(2000)) == 1252
    # Other destinations behind the same router have it from nobody.
    other = routed.a.socket()
    other.connect(("10.0.2.7", 9000))
    assert other.getsockopt(api.IPPROTO_IP, api.IP_MTU) == 1500
    # RFC 1191 §6.3: ten minutes later it may have grown.
    routed.run(601 * SECOND)
    here.connect(THERE)
    assert here.getsockopt(api.IPPROTO_IP, api.IP_MTU) == 1500


def test_what_is_longer_than_the_learned_path_mtu_is_fragmented_by_its_sender():
    routed, there, here = narrow()
    here.send(bytes(1372))  # By default with DF, as it fits the device.
    routed.run()
    assert error_of(here)[0] == EMSGSIZE
    here.send(bytes(1372))
    routed.run()
    assert len(there.recv(2000)) == 1372
    assert routed.a.mib["Ip:FragCreates"] == 2
    assert routed.r.mib["Ip:FragCreates"] == 0


def test_a_router_fragments_what_may_be_fragmented():
    routed, there, here = narrow()
    here.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DONT)
    here.send(bytes(range(250)) * 5)
    here.send(bytes(1400))
    routed.run()
    assert (there.recv(2000), len(there.recv(2000))) == (bytes(range(250)) * 5, 1400)
    assert routed.r.mib["Ip:FragOKs"] == 1
    assert routed.r.mib["Ip:FragCreates"] == 2


def test_a_message_that_names_an_absurd_mtu_stops_at_552():
    routed, _, here = narrow()
    routed.far.mtu = 100
    here.send(bytes(1000))
    routed.run()
    assert error_of(here)[2] == 100
    assert here.getsockopt(api.IPPROTO_IP, api.IP_MTU) == 552
    # Whatever the way is like: it may be fragmented.
    here.send(b"short")
    assert "DF" not in Ether(routed.a.dev.sent[-1])[IP].flags


@pytest.mark.parametrize(
    ("address", "errno", "message"),
    [("10.9.9.9", ENETUNREACH, (3, 0)), ("10.0.2.99", EHOSTUNREACH, (3, 1))],
    ids=["no route", "nobody answers"],
)
def test_the_sender_is_told_that_there_is_no_way(routed, address, errno, message):
    sock = routed.a.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    sock.sendto(b"x", (address, 9000))
    routed.run(5 * SECOND)
    assert error_of(sock) == (errno, message, 0, "10.0.1.254")


def test_a_sender_without_a_way_is_not_told_more_than_five_times_in_a_row(routed):
    routed.r.net.ipv4.sysctl_icmp_ratemask = 0
    sock = routed.a.socket()
    for _ in range(9):
        sock.sendto(b"x", ("10.9.9.9", 9000))
        routed.run()
    assert messages(routed.r.dev) == [(3, 0)] * 5
    assert routed.r.mib["IpExt:InNoRoutes"] == 9
    routed.run(2 * SECOND)
    sock.sendto(b"x", ("10.9.9.9", 9000))
    routed.run()
    assert len(messages(routed.r.dev)) == 6


def test_a_redirect_is_sent_and_followed(routed):
    route_add(routed.r.net, "10.9.0.0/16", via="10.0.1.77")
    neigh_add(routed.r.dev, "10.0.1.77", "02:00:00:00:00:77")
    sock = routed.a.socket()
    sock.sendto(b"1", ("10.9.0.1", 9000))
    routed.run()
    assert messages(routed.r.dev) == [(5, 1)]
    assert Ether(routed.r.dev.sent[-2])[ICMP].gw == "10.0.1.77"
    # The new gateway has not shown that it is there: it is asked, and the old one used.
    sock.sendto(b"2", ("10.9.0.1", 9000))
    assert Ether(routed.a.dev.sent[-1]).dst == "02:00:00:00:01:02"
    neigh_add(routed.a.dev, "10.0.1.77", "02:00:00:00:00:77")
    routed.run(SECOND)
    sock.sendto(b"3", ("10.9.0.1", 9000))
    routed.run()
    assert messages(routed.r.dev).count((5, 1)) > 1
    sock.sendto(b"4", ("10.9.0.1", 9000))
    assert Ether(routed.a.dev.sent[-1]).dst == "02:00:00:00:00:77"
    # Others have not changed their way.
    sock.sendto(b"5", ("10.9.0.2", 9000))
    assert Ether(routed.a.dev.sent[-1]).dst == "02:00:00:00:01:02"


def test_a_redirect_from_somebody_else_is_not_followed(routed):
    route_add(routed.r.net, "10.9.0.0/16", via="10.0.1.77")
    neigh_add(routed.r.dev, "10.0.1.77", "02:00:00:00:00:77")
    neigh_add(routed.a.dev, "10.0.1.77", "02:00:00:00:00:77")
    sock = routed.a.socket()
    sock.sendto(b"1", ("10.9.0.1", 9000))
    routed.run()
    (redirect,) = [frame for frame in routed.r.dev.sent if messages_in(frame) == (5, 1)]
    for change in ({"src": "10.0.1.9"}, {}):
        packet = Ether(redirect)
        for name, value in change.items():
            setattr(packet[IP], name, value)
        if not change:
            packet[ICMP].gw = "10.7.7.7"  # Not on the link, and our way there leads by the router.
        del packet[IP].chksum, packet[ICMP].chksum
        packet[ICMP].payload.dst = "10.9.0.3"
        routed.a.receive(bytes(packet))
    sock.sendto(b"2", ("10.9.0.3", 9000))
    assert Ether(routed.a.dev.sent[-1]).dst == "02:00:00:00:01:02"


def messages_in(frame: bytes) -> tuple[int, int] | None:
    packet = Ether(frame)
    return (packet[ICMP].type, packet[ICMP].code) if ICMP in packet else None


def test_the_forward_hook_sees_both_devices_and_may_drop(routed):
    seen = []

    def hook(_priv, skb, state):
        seen.append((state.in_dev.name, state.out_dev.name))
        return NF_DROP

    nf_register_net_hook(routed.r.net, NfHookOps(hook, NF_INET_FORWARD))
    there = receiver(routed)
    routed.a.socket().sendto(b"x", THERE)
    routed.run()
    assert seen == [("eth0", "eth1")]
    assert routed.r.kernel.drop_counts()["NETFILTER_DROP"] == 1
    there.setblocking(False)
    with pytest.raises(BlockingIOError):
        there.recv(10)


def test_what_is_learned_is_bounded(routed, monkeypatch):
    monkeypatch.setattr(fib_exception, "_EXCEPTIONS_MAX", 3)
    net = routed.a.net
    for host in range(5):
        found = fib_lookup(net, Flowi4(ipv4_from_text(f"10.0.2.{host + 1}")))
        fib_exception.update_or_create_fnhe(found.nh, ipv4_from_text(f"10.0.2.{host + 1}"), 0, 1000, False, 10_000)
    assert len(found.nh.exceptions) == 3
    kept = [find_exception(net.kernel, found.nh, ipv4_from_text(f"10.0.2.{host + 1}")) for host in range(5)]
    assert [one is not None for one in kept] == [False, False, True, True, True]

"""Errors, rates and filters of receiving: ICMP about our sockets, rate limits, rp_filter, full buffers, lock times."""

import os
import socket as real
from struct import pack, pack_into

import pytest

from hardwire.sim.trace import Tracer
from hardwire.stack import socket as api
from hardwire.stack.core.link_watch import netif_carrier_off, netif_carrier_on
from hardwire.stack.core.neighbour import NUD_STALE
from hardwire.stack.iproute import addr_add, neigh_add, neigh_show, route_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import (
    ME,
    MY_MAC,
    PEER,
    SENTINEL,
    arp,
    icmp,
    ip,
    is_sentinel,
    udp,
)
from hardwire.tb.stack.inet_host import MS, SECOND
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import Pair, PairHost

needs_linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")
LOCAL, REMOTE = ("10.0.0.2", 5000), ("10.0.0.1", 9000)


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-limit{os.getpid()}") as peer:
        peer.ip("neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
        peer.ip("route", "add", "192.0.2.0/24", "via", "10.0.0.1")
        peer.ip("tuntap", "add", "other", "mode", "tap")
        peer.ip("link", "set", "other", "up")
        peer.ip("address", "add", "10.7.0.1/24", "dev", "other")
        yield peer


@pytest.fixture
def ours():
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    neigh_add(host.dev, "10.0.0.1", "02:00:00:00:00:01")
    route_add(host.net, "192.0.2.0/24", via="10.0.0.1")
    host.platform.advance(100 * SECOND)
    return host


def about(kind: int, code: int, rest: bytes = bytes(4), proto: int = 17) -> bytes:
    """Return an ICMP error about a datagram of our socket."""
    inner = pack("!BBHHHBBHII", 0x45, 0, 40, 1, 0, 64, proto, 0, ME, PEER) + pack("!HHHH", 5000, 9000, 20, 0) + b"cause"
    return ip(icmp(kind, code, rest, inner), 1)


ERRORS = [
    *((3, code, bytes(4)) for code in range(16)),
    (3, 4, b"\0\0\x04\x00"),
    (3, 16, bytes(4)),
    (4, 0, bytes(4)),
    (5, 1, b"\x0a\0\0\x09"),
    (11, 0, bytes(4)),
    (11, 1, bytes(4)),
    (12, 0, b"\x14\0\0\0"),
]


def told(receive, sock, errors):
    """Return what a socket hears of ICMP errors: SO_ERROR after each, and the queue, with the pending error."""
    heard = []
    for kind, code, rest in errors:
        receive(about(kind, code, rest))
    heard.append(sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR))
    for _ in range(len(errors) + 1):
        try:
            heard.append(sock.recvmsg(100, 200, api.MSG_ERRQUEUE | api.MSG_DONTWAIT))
        except OSError as error:
            heard.append(error.errno)
        heard.append(sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR))
    try:
        heard.append(sock.recv(1, api.MSG_DONTWAIT))
    except OSError as error:
        heard.append(error.errno)
    return heard


@needs_linux
@pytest.mark.parametrize("errors", [*([error] for error in ERRORS), [ERRORS[1], ERRORS[3], ERRORS[13]]], ids=str)
@pytest.mark.parametrize("connected", [False, True], ids=["unconnected", "connected"])
@pytest.mark.parametrize("recverr", [0, 1], ids=["", "IP_RECVERR"])
@pytest.mark.parametrize("kind", [api.SOCK_DGRAM, api.SOCK_RAW], ids=["udp", "raw"])
def test_a_socket_hears_of_an_icmp_error_what_it_does_in_linux(linux, ours, errors, connected, recverr, kind):
    proto = api.IPPROTO_ICMP if kind == api.SOCK_RAW else 0

    def receive_by_linux(frame: bytes) -> None:
        linux.receive(frame)
        linux.receive(SENTINEL)
        linux.until(is_sentinel)

    def heard(sock, receive):
        sock.setsockopt(api.SOL_IP, api.IP_RECVERR, recverr)
        if kind == api.SOCK_RAW:  # Only requests, of which there are none here.
            sock.setsockopt(api.SOL_RAW, api.ICMP_FILTER, pack("=I", 0xFFFFFFFF))
        sock.bind(LOCAL)
        if connected:
            sock.connect(REMOTE)
        return told(receive, sock, errors)

    def by_proto(frame: bytes) -> bytes:
        return frame if kind == api.SOCK_DGRAM else _with_inner_protocol(frame, api.IPPROTO_ICMP)

    with linux.inside(lambda: real.socket(real.AF_INET, kind, proto)) as sock:
        theirs = heard(sock, lambda frame: receive_by_linux(by_proto(frame)))
    with ours.net.socket(api.AF_INET, kind, proto) as sock:
        assert heard(sock, lambda frame: ours.receive(by_proto(frame))) == theirs


def _with_inner_protocol(frame: bytes, proto: int) -> bytes:
    """Return a frame with an ICMP error whose cause is of another protocol."""
    octets = bytearray(frame)
    octets[14 + 20 + 8 + 9] = proto
    octets[36:38] = bytes(2)
    total = int.from_bytes(octets[16:18], "big")
    from hardwire.stack.wire.checksum import ip_fast_csum

    pack_into("!H", octets, 36, ip_fast_csum(bytes(octets[34 : 14 + total])))
    return bytes(octets)


@needs_linux
def test_port_unreachables_to_one_peer_are_limited_as_in_linux(linux, ours):
    for frame in [ip(udp(7))] * 20 + [SENTINEL]:
        linux.receive(frame)
        ours.receive(frame)
    ours.platform.advance(MS)
    assert len(linux.until(is_sentinel)) == 6
    assert len(ours.dev.sent) == 6 + 1
    ours.platform.advance(2 * SECOND)
    for _ in range(5):
        ours.receive(ip(udp(7)))
    assert len(ours.dev.sent) == 6 + 1 + 2
    ours.net.ipv4.sysctl_icmp_ratelimit = 0
    for _ in range(5):
        ours.receive(ip(udp(7)))
    assert len(ours.dev.sent) == 6 + 1 + 2 + 5


def test_all_port_unreachables_together_are_limited(ours):
    for host in range(200):
        source = 0xC0000200 + host
        ours.receive(ip(udp(7, src=source), src=source))
    assert len(ours.dev.sent) == 50
    ours.platform.advance(20 * MS)
    for host in range(100):
        source = 0xC0000200 + 100 + host
        ours.receive(ip(udp(7, src=source), src=source))
    assert len(ours.dev.sent) == 50 + 20
    ours.receive(ip(icmp(8), 1))  # Answers to pings are not limited.
    assert len(ours.dev.sent) == 50 + 20 + 1


SOURCES = (0x0A000001, 0x0A000009, 0xC0000201, 0x0A070005, 0x08080808, 0x0A070001, ME)


@needs_linux
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@pytest.mark.parametrize("accept_local", [0, 1])
@pytest.mark.parametrize("source", SOURCES, ids=hex)
def test_sources_are_filtered_as_in_linux(linux, rp_filter, accept_local, source):
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    neigh_add(host.dev, "10.0.0.1", "02:00:00:00:00:01")
    route_add(host.net, "192.0.2.0/24", via="10.0.0.1")
    other = PairHost(FakePlatform(), MY_MAC, "10.8.0.1/24")  # Only for its class of device.
    second = type(other.dev)(host.net, bytes.fromhex("0200000000dd"))
    from hardwire.stack.core.dev_register import dev_open, register_netdevice

    register_netdevice(second)
    dev_open(second)
    addr_add(second, "10.7.0.1/24")
    linux.sysctl("net.ipv4.conf.eth0.rp_filter", rp_filter)
    linux.sysctl("net.ipv4.conf.eth0.accept_local", accept_local)
    host.dev.ip_ptr.cnf.rp_filter, host.dev.ip_ptr.cnf.accept_local = rp_filter, accept_local
    before, mine_before = linux.mib(), dict(host.mib)
    for frame in (ip(udp(7, src=source), src=source), SENTINEL):
        linux.receive(frame)
        host.receive(frame)
    linux.until(is_sentinel)
    after = linux.mib()
    host.platform.advance(MS)
    for key in ("Udp:NoPorts", "Ip:InDelivers", "Ip:InReceives"):
        assert host.mib[key] - mine_before.get(key, 0) == after[key] - before[key], key
    linux.sysctl("net.ipv4.conf.eth0.rp_filter", 0)
    linux.sysctl("net.ipv4.conf.eth0.accept_local", 0)


def test_memory_of_what_was_taken_counts_no_longer(ours):
    sock = ours.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 3000)
    sock.bind(("", 9000))
    for number in range(100):
        ours.receive(ip(udp(9000, b"%d" % number)))
        assert sock.recv(10) == b"%d" % number
    assert sock.sk.sk_rmem_alloc == 0


def test_a_raw_socket_takes_no_more_than_its_buffer(ours):
    sock = ours.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 20000)
    for _ in range(100):
        ours.receive(ip(icmp(0), 1))
    drops = ours.kernel.drop_counts()["SOCKET_RCVBUFF"]
    assert drops == sock.sk.sk_drops == 100 - len(sock.sk.sk_receive_queue)
    assert 5 < drops < 95
    sock.close()
    assert sock.sk.sk_rmem_alloc == 0


def test_a_full_udp_buffer_is_counted(ours):
    sock = ours.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 3000)
    sock.bind(("", 9000))
    for _ in range(100):
        ours.receive(ip(udp(9000)))
    lost = 100 - len(sock.sk.sk_receive_queue)
    assert ours.mib["Udp:RcvbufErrors"] == ours.mib["Udp:InErrors"] == lost
    assert ours.kernel.drop_counts() == {"SOCKET_RCVBUFF": lost}


def test_the_first_of_several_arp_answers_holds_for_the_locktime(ours):
    other = bytes.fromhex("0200000000aa"), bytes.fromhex("0200000000bb")
    ours.receive(arp(sip=0x0A000009, sha=other[0]))
    ours.platform.advance(500 * MS)
    reply = arp(2, 0x0A000009, ME, sha=other[1], mac=MY_MAC)
    ours.receive(reply)
    assert any("02:00:00:00:00:aa STALE" in line for line in neigh_show(ours.net))
    ours.platform.advance(600 * MS)
    ours.receive(reply)
    assert any("02:00:00:00:00:bb REACHABLE" in line for line in neigh_show(ours.net))


def test_a_neighbour_that_asks_us_is_stale_until_it_is_confirmed(ours):
    ours.receive(arp(sip=0x0A000009, sha=bytes.fromhex("0200000000aa")))
    (neigh,) = [n for n in ours.net.ipv4.arp_tbl.nht.values() if n.primary_key == 0x0A000009]
    assert neigh.nud_state == NUD_STALE


def test_a_connected_socket_saves_the_next_datagram_a_look_into_the_routes():
    pair = Pair()
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    a.bind(("10.0.0.1", 5000))
    b.connect(("10.0.0.1", 5000))
    looked = []
    for _ in range(3):
        with Tracer(lambda: 0) as tracer:
            a.sendto(b"x", ("10.0.0.2", 9000))
            b.recv(10)
        names = [call.name for root in tracer.roots for _, call in root.walk()]
        looked.append(("udp_v4_early_demux" in names, names.count("ip_route_input_slow")))
    assert looked[1:] == [(True, 0)] * 2
    addr_add(pair.b.dev, "10.9.0.1/24")  # Routes change: the kept one is stale.
    with Tracer(lambda: 0) as tracer:
        a.sendto(b"x", ("10.0.0.2", 9000))
        b.recv(10)
    assert "ip_route_input_slow" in [call.name for root in tracer.roots for _, call in root.walk()]


def test_a_link_that_comes_back_within_the_second_is_followed_at_once(ours):
    netif_carrier_off(ours.dev)
    ours.platform.advance(0)
    assert ours.dev.tx[0].qdisc.ops.id == "noop"
    netif_carrier_on(ours.dev)
    ours.platform.advance(0)
    assert ours.dev.tx[0].qdisc.ops.id == "pfifo_fast"
    netif_carrier_off(ours.dev)
    ours.platform.advance(900 * MS)
    assert ours.dev.tx[0].qdisc.ops.id == "pfifo_fast"  # Bad news can wait.
    ours.platform.advance(200 * MS)
    assert ours.dev.tx[0].qdisc.ops.id == "noop"


def test_a_neighbour_that_does_not_answer_costs_nobody_else_an_echo(ours):
    ours.receive(ip(icmp(8, data=b"lost"), 1, src=0x0A00004D))  # Whom nobody knows.
    ours.platform.advance(10 * SECOND)
    before = len(ours.dev.sent)
    ours.receive(ip(icmp(8, data=b"here"), 1))
    assert [frame[34:35] + frame[42:46] for frame in ours.dev.sent[before:]] == [b"\0here"]

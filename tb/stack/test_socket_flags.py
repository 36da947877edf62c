"""What options do that a single program cannot show: shared ports, lost packets, errors in poll, cookies, routers."""

from errno import EADDRINUSE, ENOBUFS
from struct import pack, unpack

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.frames import ip
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import Pair
from hardwire.tb.stack.routed import Routed

SOL = api.SOL_SOCKET
NOW = api.MSG_DONTWAIT


@pytest.fixture
def pair():
    return Pair()


def drain(sock) -> list[bytes]:
    found = []
    while sock.poll(api.POLLIN, 0):
        found.append(sock.recv(100))
    return found


def test_sockets_that_share_a_port_share_its_flows(pair):
    sockets = [pair.b.socket() for _ in range(3)]
    for sock in sockets:
        sock.setsockopt(SOL, api.SO_REUSEPORT, 1)
        sock.bind(("10.0.0.2", 9000))
    senders = [pair.a.socket() for _ in range(60)]
    for number in range(2):
        for at, sender in enumerate(senders):
            sender.sendto(bytes((at, number)), ("10.0.0.2", 9000))
    pair.run()
    got = [drain(sock) for sock in sockets]
    assert all(len(datagrams) > 15 for datagrams in got)
    for datagrams in got:  # A flow stays with its socket.
        flows = [octets[0] for octets in datagrams]
        assert sorted(flows) == sorted(2 * list(set(flows)))
    assert sum(map(len, got)) == 120


def test_a_port_is_shared_by_those_only_that_all_want_to(pair):
    first, second = pair.b.socket(), pair.b.socket()
    first.setsockopt(SOL, api.SO_REUSEPORT, 1)
    first.bind(("10.0.0.2", 9000))
    with raises(EADDRINUSE):
        second.bind(("10.0.0.2", 9000))
    second.setsockopt(SOL, api.SO_REUSEPORT, 1)
    second.bind(("10.0.0.2", 9000))


def test_a_connected_socket_gets_its_peer_s_datagrams_before_those_that_share_its_port(pair):
    shared, connected = pair.b.socket(), pair.b.socket()
    for sock in (connected, shared):
        sock.setsockopt(SOL, api.SO_REUSEPORT, 1)
        sock.bind(("10.0.0.2", 9000))
    sender = pair.a.socket()
    sender.bind(("10.0.0.1", 7))
    connected.connect(("10.0.0.1", 7))
    for _ in range(10):
        sender.sendto(b"x", ("10.0.0.2", 9000))
    pair.run()
    assert (len(drain(connected)), len(drain(shared))) == (10, 0)


@pytest.mark.parametrize("raw", [False, True])
def test_a_socket_learns_how_many_packets_it_has_lost(pair, raw):
    sock = pair.b.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_UDP) if raw else pair.b.socket()
    sock.bind(("10.0.0.2", 9000))
    sock.setsockopt(SOL, api.SO_RXQ_OVFL, 1)
    sock.setsockopt(SOL, api.SO_RCVBUF, 1)
    sender = pair.a.socket()
    for _ in range(10):
        sender.sendto(bytes(500), ("10.0.0.2", 9000))
    pair.run()
    drops = sock.sk.sk_drops
    assert 0 < drops < 10
    while sock.poll(api.POLLIN, 0):
        assert sock.recvmsg(1000, 100)[1] == []  # When these were queued, none was lost yet.
    sender.sendto(bytes(500), ("10.0.0.2", 9000))
    pair.run()
    assert sock.recvmsg(1000, 100)[1] == [(SOL, api.SO_RXQ_OVFL, pack("=I", drops))]
    assert unpack("=9I", sock.getsockopt(SOL, api.SO_MEMINFO, 36))[8] == drops


def test_meminfo_tells_of_what_waits(pair):
    sock = pair.b.socket()
    sock.bind(("10.0.0.2", 9000))
    pair.a.socket().sendto(b"data", ("10.0.0.2", 9000))
    pair.run()
    used, room, *_ = unpack("=9I", sock.getsockopt(SOL, api.SO_MEMINFO, 36))
    assert (used, room) == (sock.sk.sk_rmem_alloc, sock.sk.sk_rcvbuf)
    assert used > 0


def test_an_error_in_the_queue_is_urgent_if_asked_for(pair):
    sock = pair.a.socket()
    sock.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)
    sock.connect(("10.0.0.2", 9))
    sock.send(b"x")
    pair.run()
    assert sock.poll(api.POLLPRI, 0) == api.POLLERR
    sock.setsockopt(SOL, api.SO_SELECT_ERR_QUEUE, 1)
    assert sock.poll(api.POLLPRI, 0) == api.POLLERR | api.POLLPRI


def test_a_time_of_arrival_is_noted_only_while_somebody_wants_it(pair):
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    b.setsockopt(SOL, api.SO_TIMESTAMPNS, 1)
    assert pair.b.kernel.netstamp_needed == 1
    a.sendto(b"x", ("10.0.0.2", 9000))
    pair.run()
    arrived = pair.platform.now_ns()
    pair.run(3_000_000_000)
    ((_, _, octets),) = b.recvmsg(10, 100)[1]
    seconds, ns = unpack("=qq", octets)
    assert 0 < seconds * 1_000_000_000 + ns <= arrived
    b.close()
    assert pair.b.kernel.netstamp_needed == 0


def test_a_device_that_vouches_for_a_sum_still_gives_the_program_one():
    pair = Pair(complete=True)
    b = pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    b.setsockopt(api.SOL_IP, api.IP_CHECKSUM, 1)
    pair.a.socket().sendto(b"abcd" * 100, ("10.0.0.2", 9000))
    pair.run()
    ((level, kind, data),) = b.recvmsg(500, 100)[1]
    assert (level, kind) == (api.SOL_IP, api.IP_CHECKSUM)
    words = int.from_bytes(b"ab", "little") + int.from_bytes(b"cd", "little")
    assert int.from_bytes(data, "little") % 0xFFFF == words * 100 % 0xFFFF


ALERT = b"\x94\4\0\0"


def alerted(payload: bytes = b"alert", **fields) -> bytes:
    return ip(payload, 46, 0x0A000101, 0x0A000201, options=ALERT, mac=bytes.fromhex("020000000102"), **fields)


def test_a_router_s_raw_sockets_get_the_packets_that_alert_routers():
    net = Routed()
    sockets = [net.r.socket(api.AF_INET, api.SOCK_RAW, protocol) for protocol in (46, 46, 47)]
    for sock in sockets:
        sock.setsockopt(api.SOL_IP, api.IP_ROUTER_ALERT, 1)
    forwarded = net.r.mib["Ip:ForwDatagrams"]
    net.r.receive(alerted())
    net.run()
    assert [len(drain(sock)) for sock in sockets] == [1, 1, 0]
    assert net.r.mib["Ip:ForwDatagrams"] == forwarded
    for sock in sockets:
        sock.setsockopt(api.SOL_IP, api.IP_ROUTER_ALERT, 0)
        with raises(ENOBUFS):
            sock.setsockopt(api.SOL_IP, api.IP_ROUTER_ALERT, 0)
    net.r.receive(alerted())
    net.run()
    assert net.r.mib["Ip:ForwDatagrams"] == forwarded + 2  # The packet, and the answer that nobody speaks protocol 46.


def test_a_fragmented_packet_that_alerts_routers_is_put_together_for_them():
    net = Routed()
    sock = net.r.socket(api.AF_INET, api.SOCK_RAW, 46)
    sock.setsockopt(api.SOL_IP, api.IP_ROUTER_ALERT, 1)
    net.r.receive(alerted(b"12345678", frag=0x2000))
    net.run()
    assert drain(sock) == []
    net.r.receive(alerted(b"rest", frag=1))
    net.run()
    (packet,) = drain(sock)
    assert packet[24:] == b"12345678rest"
    sock.close()
    assert net.r.net.ipv4.ra_chain == []


def test_the_name_of_a_socket_s_device_needs_room_for_the_longest(pair):
    sock = pair.a.socket()
    sock.setsockopt(SOL, api.SO_BINDTODEVICE, b"eth0")
    assert sock.getsockopt(SOL, api.SO_BINDTODEVICE, 16) == b"eth0\0"
    with raises(22):
        sock.getsockopt(SOL, api.SO_BINDTODEVICE, 15)


def test_of_a_datagram_s_peeks_with_a_place_the_next_datagram_follows(pair):
    b = pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    b.setsockopt(SOL, api.SO_PEEK_OFF, 0)
    a = pair.a.socket()
    for data in (b"one", b"", b"three"):
        a.sendto(data, ("10.0.0.2", 9000))
    pair.run()
    assert [b.recv(10, api.MSG_PEEK | NOW) for _ in range(3)] == [b"one", b"", b"three"]

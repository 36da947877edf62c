"""Two stacks that talk to each other: ARP, UDP both ways, ping, and an answer from a closed port."""

from errno import ECONNREFUSED

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import neigh_add, neigh_show
from hardwire.stack.wire.checksum import ip_fast_csum
from hardwire.tb.stack.inet_host import SECOND, raises
from hardwire.tb.stack.pair import Pair


def echo(sequence: int, data: bytes) -> bytes:
    """Return an ICMP echo request."""
    message = b"\x08\0\0\0\x12\x34" + sequence.to_bytes(2, "big") + data
    return message[:2] + ip_fast_csum(message).to_bytes(2, "big") + message[4:]


@pytest.fixture(params=[False, True], ids=["software", "complete"])
def pair(request):
    return Pair(complete=request.param)


def test_datagrams_go_both_ways_after_arp_has_found_the_peer(pair):
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    a.sendto(b"ask", ("10.0.0.2", 9000))
    data, sender = b.recvfrom(100)
    assert data == b"ask"
    assert sender == ("10.0.0.1", a.getsockname()[1])
    for size in (0, 1, 17, 1472):
        payload = bytes(n & 255 for n in range(size))
        b.sendto(payload, sender)
        assert a.recvfrom(2000) == (payload, ("10.0.0.2", 9000))
    assert neigh_show(pair.a.net) == ["10.0.0.2 dev eth0 lladdr 02:00:00:00:00:02 REACHABLE"]
    assert neigh_show(pair.b.net) == ["10.0.0.1 dev eth0 lladdr 02:00:00:00:00:01 DELAY"]
    assert pair.a.kernel.drop_counts() == pair.b.kernel.drop_counts() == {}
    pair.check_memory()


def test_a_ping_of_172_octets_is_answered_with_the_same_data(pair):
    sock = pair.a.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    before = dict(pair.b.mib)
    request = echo(7, bytes(range(164)))
    sock.sendto(request, ("10.0.0.2", 0))
    packet, sender = sock.recvfrom(2000)
    assert sender == ("10.0.0.2", 0)
    assert packet[20:] == b"\0\0" + ip_fast_csum(b"\0\0\0\0" + request[4:]).to_bytes(2, "big") + request[4:]
    assert ip_fast_csum(packet[:20]) == 0
    assert pair.b.changed(before) == {
        "Ip:InReceives": 1,
        "Ip:InDelivers": 1,
        "Ip:OutRequests": 1,
        "Icmp:InMsgs": 1,
        "Icmp:InEchos": 1,
        "Icmp:OutMsgs": 1,
        "Icmp:OutEchoReps": 1,
        "IcmpMsg:InType8": 1,
        "IcmpMsg:OutType0": 1,
        "IpExt:InOctets": 192,
        "IpExt:OutOctets": 192,
        "IpExt:InNoECTPkts": 1,
    }
    pair.check_memory()


def test_a_closed_port_makes_the_connected_sender_see_econnrefused(pair):
    sock = pair.a.socket()
    sock.connect(("10.0.0.2", 7))
    sock.send(b"x")
    with raises(ECONNREFUSED):
        sock.recv(10)
    pair.run()
    sock.send(b"x")
    pair.run(SECOND)
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == ECONNREFUSED
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == 0
    assert pair.b.mib["Udp:NoPorts"] == 2
    assert pair.b.kernel.drop_counts() == {"NO_SOCKET": 2}
    pair.check_memory()


def test_frames_in_several_buffers_are_received_as_one():
    pair = Pair(features=NETIF_F_SG | NETIF_F_HW_CSUM)
    for host in (pair.a, pair.b):
        host.dev.buffer_octets = 100
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    payload = bytes(n * 7 & 255 for n in range(1400))
    a.sendto(payload, ("10.0.0.2", 9000))
    assert b.recv(2000) == payload
    pair.check_memory()


@pytest.mark.parametrize("length", [1, 5, 18, 80, 1400])
def test_a_datagram_with_a_wrong_checksum_is_dropped_and_counted(pair, length):
    b = pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    pair.b.dev.peer = pair.a.dev.peer = None
    a = pair.a.socket()
    neigh_add(pair.a.dev, "10.0.0.2", "02:00:00:00:00:02")
    a.sendto(bytes(length), ("10.0.0.2", 9000))
    frame = bytearray(pair.a.dev.sent[-1])
    frame[-1] ^= 1
    pair.b.receive(bytes(frame).ljust(60, b"\0"))
    with raises(11):
        b.recv(2000, api.MSG_DONTWAIT)
    assert pair.b.mib["Udp:InCsumErrors"] == pair.b.mib["Udp:InErrors"] == 1
    assert pair.b.kernel.drop_counts() == {"UDP_CSUM": 1}
    pair.b.receive(pair.a.dev.sent[-1].ljust(60, b"\0"))
    assert b.recv(2000) == bytes(length)
    pair.check_memory()

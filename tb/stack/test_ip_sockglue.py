"""Options of sockets and control messages: what they set, and what is refused."""

from errno import (
    EINVAL,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
)
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.iproute import addr_add
from hardwire.stack.wire.udp import UdpDatagram
from hardwire.tb.stack.inet_host import PEER, SECOND, InetHost, raises


def test_control_messages_set_ttl_tos_source_and_device(host):
    addr_add(host.dev, "10.0.0.7/24")
    pktinfo = pack("=i4s4s", host.dev.ifindex, bytes([10, 0, 0, 7]), bytes(4))
    control = [
        (api.SOL_IP, api.IP_TTL, pack("=i", 9)),
        (api.SOL_IP, api.IP_TOS, b"\x10"),
        (api.SOL_IP, api.IP_PKTINFO, pktinfo),
    ]
    host.socket().sendmsg([b"x"], control, 0, PEER)
    (packet,) = host.packets()
    assert (packet.ttl, packet.tos, packet.src) == (9, 0x10, 0x0A000007)


@pytest.mark.parametrize(
    "control",
    [
        (api.SOL_IP, api.IP_TTL, pack("=i", 0)),
        (api.SOL_IP, api.IP_TTL, pack("=i", 256)),
        (api.SOL_IP, api.IP_TOS, pack("=i", 256)),
        (api.SOL_IP, api.IP_TTL, b"123"),
        (api.SOL_IP, api.IP_TTL, b"1"),
        (api.SOL_IP, api.IP_TOS, b"12"),
        (api.SOL_SOCKET, api.SO_MARK, b"1"),
        (api.SOL_IP, api.IP_PKTINFO, b"123"),
        (api.SOL_IP, 99, b"1234"),
        (api.SOL_SOCKET, 99, b"1234"),
    ],
)
def test_a_wrong_control_message_is_einval(host, control):
    with raises(EINVAL):
        host.socket().sendmsg([b"x"], [control], 0, PEER)


def test_socket_options_set_ttl_tos_and_source_options(host):
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_TTL, 7)
    sock.setsockopt(api.IPPROTO_IP, api.IP_TOS, 0x20)
    record_route = b"\x07\x0b\x04" + bytes(8)
    sock.setsockopt(api.IPPROTO_IP, api.IP_OPTIONS, record_route)
    sock.sendto(b"data", PEER)
    assert sock.getsockopt(api.IPPROTO_IP, api.IP_TTL) == 7
    assert sock.getsockopt(api.IPPROTO_IP, api.IP_OPTIONS, 40) == record_route + b"\0"
    (packet,) = host.packets()
    assert (packet.ttl, packet.tos) == (7, 0x20)
    assert packet.options == b"\x07\x0b\x08\x0a\x00\x00\x01" + bytes(5)  # Our address in the first slot.
    assert packet.payload[8:] == b"data"


OURS, OTHER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 9])
TIME = (0x80000000 + 5000).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("option", "sent"),
    [
        (b"\x44\x0c\x05\x00" + bytes(8), b"\x44\x0c\x09\x00" + TIME + bytes(4)),
        (b"\x44\x0c\x09\x00" + OTHER + bytes(4), b"\x44\x0c\x0d\x00" + OTHER + TIME),
        (b"\x44\x14\x05\x01" + bytes(16), b"\x44\x14\x0d\x01" + OURS + TIME + bytes(8)),
        (b"\x44\x0c\x05\x03" + OURS + bytes(4), b"\x44\x0c\x0d\x03" + OURS + TIME),
        (b"\x44\x0c\x05\x03" + OTHER + bytes(4), b"\x44\x0c\x05\x03" + OTHER + bytes(4)),
        (b"\x44\x08\x09\x10" + OTHER, b"\x44\x08\x09\x10" + OTHER),
        (b"\x07\x07\x08" + OTHER + b"\0", b"\x07\x07\x08" + OTHER + b"\0"),
    ],
    ids=["time", "next", "address", "asked", "other-host", "full", "route-full"],
)
def test_a_sender_puts_its_time_and_address_into_the_options_that_want_them(host, option, sent):
    host.platform.advance(5 * SECOND)
    sock = host.socket()
    sock.setsockopt(api.SOL_IP, api.IP_OPTIONS, option)
    for _ in range(2):  # The socket's own stay as they were set.
        sock.sendto(b"data", PEER)
    assert sock.getsockopt(api.SOL_IP, api.IP_OPTIONS, 40) == option
    assert [packet.options for packet in host.packets()] == [sent] * 2


def test_a_source_route_goes_to_its_first_hop_first():
    host = InetHost(features=0)
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_OPTIONS, b"\x83\x07\x04\x0a\x00\x00\x02")
    sock.sendto(b"data", ("192.0.2.9", 9))
    (packet,) = host.packets()
    assert packet.dst == 0x0A000002
    assert packet.options == b"\x83\x07\x04\xc0\x00\x02\x09\x00"
    # The receiver, the last hop, sums its own address.
    assert UdpDatagram.parse(packet.payload, bytes([10, 0, 0, 1]), bytes([192, 0, 2, 9])).payload == b"data"


@pytest.mark.parametrize(
    "options",
    [
        bytes(41),
        b"\x07\x02",
        b"\x07",
        b"\x07\x0b\x03" + bytes(8),
        b"\x83\x06\x04" + bytes(3),
        b"\x94\x03\x00",
        b"\x07\x07\x06" + bytes(4),
        b"\x44\x04\x04\x00",
        b"\x44\x06\x05\x00" + bytes(2),
        b"\x44\x08\x05\x01" + bytes(4),
        b"\x44\x08\x09\xf0" + bytes(4),
    ],
)
def test_malformed_ip_options_are_einval(host, options):
    with raises(EINVAL):
        host.socket().setsockopt(api.IPPROTO_IP, api.IP_OPTIONS, options)


def test_options_of_a_socket(host):
    sock = host.socket()
    for level, name, value in [
        (api.SOL_SOCKET, api.SO_PRIORITY, 3),
        (api.SOL_SOCKET, api.SO_MARK, 5),
        (api.SOL_SOCKET, api.SO_BROADCAST, 1),
        (api.IPPROTO_IP, api.IP_TOS, 8),
        (api.IPPROTO_IP, api.IP_MULTICAST_TTL, 9),
        (api.IPPROTO_IP, api.IP_RECVERR, 1),
        (api.IPPROTO_IP, api.IP_PKTINFO, 1),
    ]:
        sock.setsockopt(level, name, value)
        assert sock.getsockopt(level, name) == value
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_TYPE) == api.SOCK_DGRAM
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_PROTOCOL, 4) == b"\x11\0\0\0"
    with raises(ENOTCONN):
        sock.getsockopt(api.IPPROTO_IP, api.IP_MTU)
    sock.connect(PEER)
    assert sock.getsockopt(api.IPPROTO_IP, api.IP_MTU) == 1500
    for level in (api.SOL_SOCKET, api.IPPROTO_IP, api.IPPROTO_UDP, 12345):
        with raises(ENOPROTOOPT):
            sock.setsockopt(level, 9999, 1)
        with raises(EOPNOTSUPP if level == 12345 else ENOPROTOOPT):
            sock.getsockopt(level, 9999)

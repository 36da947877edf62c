"""Sending to groups: the options that choose device, source, TTL and the copy for this host."""

from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.wire.ipv4 import Ipv4Packet
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.inet_host import SECOND

GROUP = ("239.129.2.3", 9)


def test_multicast_goes_to_the_group_address_with_ttl_1(host):
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_MULTICAST_IF, bytes([10, 0, 0, 1]))
    sock.sendto(b"x", ("239.129.2.3", 9))
    (frame,) = host.frames()
    assert frame.dst == bytes.fromhex("01005e010203")
    assert frame.payload[8] == 1


@pytest.mark.parametrize(
    "choice",
    [
        lambda dev: bytes([10, 1, 0, 1]),
        lambda dev: pack("=4s4s", bytes(4), bytes([10, 1, 0, 1])),
        lambda dev: pack("=4s4si", bytes(4), bytes(4), dev.ifindex),
    ],
    ids=["in_addr", "ip_mreq", "ip_mreqn"],
)
def test_ip_multicast_if_chooses_the_device_and_with_it_the_source(host, choice):
    other = FakeNetDevice(host.net)
    register_netdevice(other)
    dev_open(other)
    addr_add(other, "10.1.0.1/24")
    route_add(host.net, "224.0.0.0/4", dev=host.dev)
    sock = host.socket()
    sock.sendto(b"x", GROUP)
    sock.setsockopt(api.SOL_IP, api.IP_MULTICAST_IF, choice(other))
    sock.sendto(b"x", GROUP)
    packets = [Ipv4Packet.parse(octets[14:]) for dev in (host.dev, other) for octets in dev.frames]
    assert [packet.src for packet in packets] == [0x0A000001, 0x0A010001]


@pytest.mark.parametrize("ttl", [1, 7, 255])
def test_ip_multicast_ttl_is_the_ttl_to_groups_only(host, ttl):
    route_add(host.net, "default", via="10.0.0.2")
    sock = host.socket()
    sock.setsockopt(api.SOL_IP, api.IP_MULTICAST_TTL, ttl)
    sock.sendto(b"x", GROUP)
    sock.sendto(b"x", ("192.0.2.1", 9))
    assert [packet.ttl for packet in host.packets()] == [ttl, 64]


@pytest.mark.parametrize("loop", [0, 1])
@pytest.mark.parametrize("ttl", [0, 1])
def test_ip_multicast_loop_decides_whether_this_host_gets_what_it_sends_to_all_hosts(host, loop, ttl):
    sock = host.socket()
    sock.setsockopt(api.SOL_IP, api.IP_MULTICAST_IF, bytes([10, 0, 0, 1]))
    sock.setsockopt(api.SOL_IP, api.IP_MULTICAST_LOOP, loop)
    sock.setsockopt(api.SOL_IP, api.IP_MULTICAST_TTL, ttl)
    sock.sendto(b"x", ("224.0.0.1", 9))
    sock.sendto(b"x", GROUP)  # Nobody here is in that one.
    host.platform.advance(SECOND)
    assert host.mib["Udp:IgnoredMulti"] == loop
    assert host.kernel.drop_counts() == {}
    assert len(host.dev.frames) == 2 * ttl  # With 0 they stay here.
    host.check_memory()

"""UDP sockets: a program has the same results, and sends the same frames, on our stack and on a real Linux kernel."""

import os
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import assert_same_program, make_ours, set_up

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

PEER, FAR, ALL, GROUP = ("10.0.0.1", 9000), ("192.0.2.1", 9000), ("10.0.0.255", 9000), ("239.1.2.3", 9000)
BOUND = ("bind", ("10.0.0.2", 5000))
IP, SOL = api.SOL_IP, api.SOL_SOCKET
CONNECTED = ("connect", PEER)
ERRORS = ("recvmsg", 100, 200, api.MSG_ERRQUEUE | api.MSG_DONTWAIT)
DO = ("setsockopt", IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO)


def pktinfo(index: int, source: str) -> list[tuple[int, int, bytes]]:
    octets = bytes(map(int, source.split(".")))
    return [(IP, api.IP_PKTINFO, pack("=i4s4s", index, octets, bytes(4)))]


PROGRAMS = {
    "plain": [BOUND, ("sendto", b"data", PEER), ("getsockname",)],
    "of no octets": [BOUND, ("sendto", b"", PEER)],
    "of one octet": [BOUND, ("sendto", b"x", PEER)],
    "connected": [BOUND, CONNECTED, ("send", b"data"), ("getpeername",), ("sendto", b"else", FAR)],
    "connected to all": [BOUND, ("connect", ALL), ("setsockopt", SOL, api.SO_BROADCAST, 1), ("connect", ALL)],
    "through the gateway": [BOUND, ("sendto", b"data", FAR)],
    "as long as fits": [BOUND, ("sendto", bytes(1472), PEER)],
    "in fragments": [BOUND, ("sendto", bytes(range(256)) * 8, PEER), ("sendto", bytes(1473), PEER)],
    "in many fragments": [BOUND, ("sendto", bytes(20_000), PEER)],
    "as long as can be": [BOUND, ("sendto", bytes(65_507), PEER), ("sendto", bytes(65_508), PEER)],
    "too long for DF": [
        BOUND,
        ("setsockopt", IP, api.IP_RECVERR, 1),
        DO,
        ("sendto", bytes(1473), PEER),
        ERRORS,
        ERRORS,
    ],
    "corked": [
        BOUND,
        CONNECTED,
        ("setsockopt", api.IPPROTO_UDP, api.UDP_CORK, 1),
        ("send", b"one"),
        ("send", bytes(700)),
        ("send", bytes(800)),
        ("setsockopt", api.IPPROTO_UDP, api.UDP_CORK, 0),
    ],
    "with more to come": [BOUND, ("sendto", b"one", api.MSG_MORE, PEER), ("sendto", b"two", PEER)],
    "in parts": [BOUND, ("sendmsg", [b"one", b"", b"two"], [], 0, PEER)],
    "to all": [BOUND, ("sendto", b"data", ALL), ("setsockopt", SOL, api.SO_BROADCAST, 1), ("sendto", b"data", ALL)],
    "to 255.255.255.255": [
        BOUND,
        ("setsockopt", SOL, api.SO_BROADCAST, 1),
        ("sendto", b"data", ("255.255.255.255", 9000)),
    ],
    "to a group": [
        BOUND,
        ("setsockopt", IP, api.IP_MULTICAST_LOOP, 0),
        ("setsockopt", IP, api.IP_MULTICAST_IF, bytes((10, 0, 0, 2))),
        ("sendto", b"data", GROUP),
        ("setsockopt", IP, api.IP_MULTICAST_TTL, 9),
        ("sendto", b"data", GROUP),
    ],
    "to a group without a route": [("sendto", b"data", GROUP)],
    "with a TOS": [BOUND, ("setsockopt", IP, api.IP_TOS, 0x10), ("sendto", b"data", PEER)],
    "with a TTL": [BOUND, ("setsockopt", IP, api.IP_TTL, 3), ("sendto", b"data", PEER)],
    "with a TTL and a TOS of its own": [
        BOUND,
        ("sendmsg", [b"data"], [(IP, api.IP_TTL, pack("=i", 7)), (IP, api.IP_TOS, pack("=i", 0x28))], 0, PEER),
        ("sendto", b"data", PEER),
    ],
    "with a source of its own": [BOUND, ("sendmsg", [b"data"], pktinfo(0, "10.0.0.2"), 0, PEER)],
    "from an address that is not ours": [("sendmsg", [b"data"], pktinfo(0, "10.0.0.9"), 0, PEER)],
    "by a device that is not there": [("sendmsg", [b"data"], pktinfo(99, "0.0.0.0"), 0, PEER)],
    "with wrong control messages": [
        ("sendmsg", [b"data"], [(IP, api.IP_TTL, pack("=i", 0))], 0, PEER),
        ("sendmsg", [b"data"], [(IP, api.IP_TTL, b"x")], 0, PEER),
        ("sendmsg", [b"data"], [(IP, 999, pack("=i", 1))], 0, PEER),
    ],
    "with options": [BOUND, ("setsockopt", IP, api.IP_OPTIONS, b"\x94\4\0\0"), ("sendto", b"data", PEER)],
    "never to be fragmented": [BOUND, DO, ("sendto", bytes(1472), PEER), ("sendto", bytes(1473), PEER)],
    "always to be": [
        BOUND,
        ("setsockopt", IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DONT),
        ("sendto", b"data", PEER),
    ],
    "without a sum": [BOUND, ("setsockopt", SOL, api.SO_NO_CHECK, 1), ("sendto", b"data", PEER)],
    "to port 0": [BOUND, ("sendto", b"data", ("10.0.0.1", 0))],
    "to nobody": [BOUND, ("send", b"data")],
    "to nowhere": [BOUND, ("sendto", b"data", ("203.0.113.1", 9000))],
    "out of band": [BOUND, ("sendto", b"data", api.MSG_OOB, PEER)],
    "shut down": [BOUND, CONNECTED, ("shutdown", api.SHUT_WR), ("send", b"data")],
    "with options that there are not": [
        ("setsockopt", IP, 300, 1),
        ("setsockopt", api.IPPROTO_UDP, 99, 1),
        ("setsockopt", SOL, 999, 1),
        ("setsockopt", 99, 1, 1),
        ("getsockopt", IP, 300),
        ("getsockopt", SOL, 999),
        ("setsockopt", IP, api.IP_TTL, 256),
        ("setsockopt", IP, api.IP_TTL, 0),
        ("setsockopt", IP, api.IP_MTU_DISCOVER, 9),
        ("setsockopt", IP, api.IP_TOS, b""),
    ],
    "bound to what is not ours": [("bind", ("10.0.0.9", 5000)), ("bind", ("192.0.2.1", 0)), BOUND, BOUND],
    "asked for its MTU": [("getsockopt", IP, api.IP_MTU), CONNECTED, ("getsockopt", IP, api.IP_MTU)],
}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-udp{os.getpid()}") as peer:
        set_up(peer)
        yield peer


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_sends_what_it_sends_on_linux(linux, name):
    assert_same_program(linux, make_ours(), api.SOCK_DGRAM, 0, PROGRAMS[name])

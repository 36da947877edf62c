"""Raw sockets and what is too long: the same program on our stack and on a real Linux kernel sends the same frames."""

import os
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.frames import icmp, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import assert_same_program, make_ours, set_up

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

PEER, GATEWAY = ("10.0.0.1", 0), ("10.0.0.77", 0)
WRITTEN = ip(udp(9000, src=0x0A000002, dst=0x0A000001), src=0x0A000002, dst=0x0A000001, pad=b"")[14:]


def header(**fields) -> bytes:
    """Return a packet from us, with some fields of its header changed."""
    fields = {"src": 0x0A000002, "dst": 0x0A000001, **fields}
    return ip(udp(9000, src=0x0A000002, dst=0x0A000001), pad=b"", **fields)[14:]


# Name: protocol, options to set (level, name, value), sends (octets, flags, destination or None).
PROGRAMS = {
    "an echo request": (1, [], [(icmp(8), 0, PEER)]),
    "a long echo request": (1, [], [(icmp(8, data=bytes(3000)), 0, PEER)]),
    "a short ICMP message": (1, [], [(b"\x08", 0, PEER), (b"", 0, PEER)]),
    "a datagram, by hand": (17, [], [(udp(9000, src=0x0A000002, dst=0x0A000001), 0, PEER)]),
    "of an unknown protocol": (200, [], [(b"payload", 0, PEER), (bytes(2000), 0, PEER)]),
    "with a TTL and a TOS": (200, [(0, api.IP_TTL, 5), (0, api.IP_TOS, 0x10)], [(b"payload", 0, PEER)]),
    "with options": (200, [(0, api.IP_OPTIONS, b"\x94\4\0\0")], [(b"payload", 0, PEER)]),
    "with a record of its route": (200, [(0, api.IP_OPTIONS, b"\7\7\4\0\0\0\0\0")], [(b"payload", 0, PEER)]),
    "too long": (200, [], [(bytes(65516), 0, PEER), (bytes(65515), 0, PEER)]),
    "too long, not to be fragmented": (
        200,
        [(0, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO), (0, api.IP_RECVERR, 1)],
        [(bytes(1481), 0, PEER), (bytes(1480), 0, PEER)],
    ),
    "to nobody": (200, [], [(b"payload", 0, None)]),
    "to all": (200, [], [(b"payload", 0, ("10.0.0.255", 0))]),
    "to all, allowed": (200, [(1, api.SO_BROADCAST, 1)], [(b"payload", 0, ("10.0.0.255", 0))]),
    "beyond the gateway": (200, [], [(b"payload", 0, ("192.0.2.1", 0))]),
    "nowhere": (200, [], [(b"payload", 0, ("203.0.113.1", 0))]),
    "of band": (200, [], [(b"payload", api.MSG_OOB, PEER)]),
    "a written header": (255, [], [(WRITTEN, 0, PEER)]),
    "a written header, by option": (17, [(0, api.IP_HDRINCL, 1)], [(WRITTEN, 0, PEER)]),
    "IPPROTO_RAW without a header": (255, [(0, api.IP_HDRINCL, 0)], [(b"payload", 0, PEER)]),
    "without a source": (255, [], [(header(src=0), 0, PEER)]),
    "with a wrong sum": (255, [], [(header(check=1), 0, PEER)]),
    "with a wrong length": (255, [], [(header(total=9999), 0, PEER)]),
    "with another's source": (255, [], [(header(src=0x01020304), 0, PEER)]),
    "with another destination": (255, [], [(header(dst=0x0A00004D), 0, PEER), (header(dst=0x08080808), 0, GATEWAY)]),
    "with options in it": (255, [], [(header(options=b"\x94\4\0\0"), 0, PEER)]),
    "with a TTL of 0": (255, [], [(header(ttl=0), 0, PEER)]),
    "of version 6": (255, [], [(header(first=0x65), 0, PEER)]),
    "with an IHL of 4": (255, [], [(header(first=0x44), 0, PEER)]),
    "with an IHL beyond its end": (255, [], [(header(first=0x4F)[:30], 0, PEER)]),
    "shorter than a header": (255, [], [(WRITTEN[:19], 0, PEER), (b"", 0, PEER)]),
    "a written header, too long": (
        255,
        [(0, api.IP_RECVERR, 1)],
        [(header() + bytes(1500 - len(header())), 0, PEER), (header() + bytes(1501 - len(header())), 0, PEER)],
    ),
    "a written fragment": (255, [], [(header(frag=0x2010), 0, PEER)]),
    "a written header, and options": (255, [(0, api.IP_OPTIONS, b"\x94\4\0\0")], [(WRITTEN, 0, PEER)]),
    "a written echo request": (255, [], [(ip(icmp(8), 1, src=0x0A000002, dst=0x0A000001, pad=b"")[14:], 0, PEER)]),
    "an ICMP filter of another protocol": (200, [(255, 1, pack("=I", 1))], []),
    "protocol 0": (0, [], []),
    "protocol 263": (263, [], []),
}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-raw{os.getpid()}") as peer:
        set_up(peer)
        yield peer


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_sends_what_it_sends_on_linux(linux, name):
    protocol, options, sends = PROGRAMS[name]
    calls = [*(("setsockopt", *option) for option in options), ("getsockopt", 0, api.IP_HDRINCL)]
    for octets, flags, to in sends:
        calls.append(("send", octets, flags) if to is None else ("sendto", octets, flags, to))
    calls += [("recvmsg", 100, 200, api.MSG_ERRQUEUE | api.MSG_DONTWAIT)] * 2
    assert_same_program(linux, make_ours(), api.SOCK_RAW, protocol, calls)

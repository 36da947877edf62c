"""Socket options as numbers and as octets of every length: the same answers as from a real Linux socket."""

import socket as real
from errno import EADDRNOTAVAIL, EMSGSIZE, EPERM
from pathlib import Path
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.inet_host import PEER, raises

SOCKET = [
    (api.SO_SNDBUF, (-1, 1, 1 << 30, b"", b"\1", b"\1\0\0", pack("=q", 5000))),
    (api.SO_SNDBUFFORCE, (-1, 1, (1 << 31) - 1, b"\1\0\0")),
    (api.SO_RCVBUF, (-1, 1, (1 << 31) - 1, b"\1")),
    (api.SO_MARK, (-1, 5, pack("=I", 0xFFFFFFFF), b"\1")),
    (api.SO_PRIORITY, (0, 6, pack("=q", 3), b"")),
    (api.SO_BROADCAST, (0, -1, 256, b"\1\0\0", pack("=q", 1 << 32))),
]
IP = [
    (api.IP_TTL, (0, 1, 255, 256, -1, -2, b"", b"\7", b"\7\0\0", pack("=q", 9))),
    (api.IP_TOS, (0, 0x10, 255, 256, 300, -1, b"", b"\x10", b"\x10\1", pack("=q", 0x10))),
    (api.IP_MTU_DISCOVER, (-1, 0, 5, 6, b"", b"\2")),
    (api.IP_MULTICAST_TTL, (-1, 0, 255, 256, b"", b"\5")),
    (api.IP_MULTICAST_LOOP, (0, 2, b"", b"\0", b"\1")),
    (api.IP_MULTICAST_IF, (0, -1, b"", b"\x7f\0\0", bytes(5), bytes(12), bytes(20))),
    (api.IP_RECVERR, (0, 2, b"", b"\1")),
    (api.IP_OPTIONS, (0, 1, b"", b"\1", b"\x44\4", bytes(40), bytes(41))),
]
UDP = [(api.UDP_CORK, (0, 1, -1, b"", b"\1", pack("=i", 1), pack("=q", 1 << 32)))]
CASES = [
    (level, option, value)
    for level, options in ((api.SOL_SOCKET, SOCKET), (api.SOL_IP, IP), (api.SOL_UDP, UDP))
    for option, values in options
    for value in values
]


def outcome(sock, level, option, value):
    try:
        sock.setsockopt(level, option, value)
    except OSError as error:
        return error.errno
    readable = api.SO_SNDBUF if (level, option) == (api.SOL_SOCKET, api.SO_SNDBUFFORCE) else option
    return sock.getsockopt(level, readable, 44)


@pytest.mark.parametrize(("level", "option", "value"), CASES)
def test_option_does_what_linux_does(host, level, option, value):
    for name in ("wmem_max", "rmem_max"):
        setattr(host.net.ipv4, f"sysctl_{name}", int(Path(f"/proc/sys/net/core/{name}").read_text()))
    with real.socket(real.AF_INET, real.SOCK_DGRAM) as sock:
        want = outcome(sock, level, option, value)
    if want == EPERM:
        pytest.skip("only root may set it")
    assert outcome(host.socket(), level, option, value) == want


def test_each_tos_gives_the_priority_that_it_gives_in_linux(host):
    with real.socket(real.AF_INET, real.SOCK_DGRAM) as linux:
        for tos in range(256):
            priorities = set()
            for sock in (linux, host.socket()):
                sock.setsockopt(api.SOL_IP, api.IP_TOS, tos)
                priorities.add(sock.getsockopt(api.SOL_SOCKET, api.SO_PRIORITY))
            assert len(priorities) == 1, f"TOS {tos:#x}: {priorities}"


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, 1 << 40, 1.5, None, "1"])
@pytest.mark.parametrize("option", [api.SO_MARK, api.SO_SNDBUFFORCE, api.SO_SNDBUF])
def test_value_that_is_no_c_int_and_no_octets_is_a_type_error(host, option, value):
    with real.socket(real.AF_INET, real.SOCK_DGRAM) as linux:
        for sock in (host.socket(), linux):
            with pytest.raises(TypeError):
                sock.setsockopt(api.SOL_SOCKET, option, value)


def test_multicast_interface_that_is_no_address_of_ours(host):
    with raises(EADDRNOTAVAIL):
        host.socket().setsockopt(api.SOL_IP, api.IP_MULTICAST_IF, bytes([10, 0, 0, 77]))


def test_a_message_has_at_most_1024_buffers(host):
    sock = host.socket()
    sock.sendmsg([b"x"] * 1024, [], 0, PEER)
    with raises(EMSGSIZE):
        sock.sendmsg([b"x"] * 1025, [], 0, PEER)
    (packet,) = host.packets()
    assert packet.payload[8:] == b"x" * 1024

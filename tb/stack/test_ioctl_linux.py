"""Requests by ``ioctl``: a program gets the same octets and errors, and changes the same, as on a real Linux kernel."""

import os
import socket as real
from array import array
from errno import EBADF, EFAULT, EINVAL
from fcntl import ioctl
from struct import pack, unpack

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.frames import ip, udp
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import IFINDEX, assert_same_program, make_ours, set_up

PEER = ("10.0.0.1", 9000)


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def sockaddr(text: str, family: int = 2) -> bytes:
    return pack("=H2x4s8x", family, address(text))


def ifreq(value: bytes | str = b"", name: str = "eth0") -> bytes:
    """Return a ``struct ifreq``; a text is an IPv4 address."""
    octets = sockaddr(value) if isinstance(value, str) else value
    return name.encode().ljust(16, b"\0") + octets.ljust(24, b"\0")


def get(request: int, *args: object) -> tuple[str, int, bytes]:
    return "ioctl", request, ifreq(*args)


def arpreq(
    ip_text: str, mac: str = "", flags: int = 0, dev: str = "eth0", family: int = 2, ha_family: int = 1
) -> bytes:
    ha = pack("=H14s", ha_family, bytes.fromhex(mac.replace(":", "")))
    return sockaddr(ip_text, family) + ha + pack("=i", flags) + bytes(16) + dev.encode().ljust(16, b"\0")


def rtentry(dst: str, mask: str, gateway: str = "", flags: int = 1, metric: int = 0) -> bytes:
    gw = sockaddr(gateway) if gateway else bytes(16)
    return bytes(8) + sockaddr(dst) + gw + sockaddr(mask) + pack("=H22xh", flags, metric) + bytes(38)


GETTERS = (
    api.SIOCGIFADDR,
    api.SIOCGIFBRDADDR,
    api.SIOCGIFDSTADDR,
    api.SIOCGIFNETMASK,
    api.SIOCGIFFLAGS,
    api.SIOCGIFMTU,
    api.SIOCGIFHWADDR,
    api.SIOCGIFTXQLEN,
    api.SIOCGIFMETRIC,
    api.SIOCGIFSLAVE,
    api.SIOCGIFMAP,
)
NAMES = ("eth0", "lo", "none", "eth0:1", "")
ADDRESSES = [get(request) for request in GETTERS[:4]]
UP, PROMISC = 0x1043, 0x1143
BOUND = ("bind", ("", 5000))
FAR = ("sendto", b"data", ("198.51.100.1", 9000))
ROUTE = ("198.51.100.0", "255.255.255.0", "10.0.0.77", 3)
PROGRAMS = {
    "what there is to know": [
        get(request, b"", name) for request in GETTERS for name in ("eth0", "lo", "none", "eth0:1", "")
    ],
    "more of it": [
        ("ioctl", api.SIOCGIFNAME, bytes(16) + IFINDEX + bytes(20)),
        ("ioctl", api.SIOCGIFNAME, bytes(16) + pack("=i", 99) + bytes(20)),
        get(0x89FF),
        get(0x1234),
        get(api.SIOCGIFINDEX),
        get(api.SIOCGIFADDR, "10.0.0.2"),
        get(api.SIOCGIFADDR, "10.9.9.9"),
    ],
    "another address": [
        BOUND,
        get(api.SIOCSIFADDR, "10.0.0.3"),
        *ADDRESSES,
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.1")),  # With the last address all neighbours went.
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.1", "02:00:00:00:00:01", 6)),
        ("sendto", b"data", PEER),
        get(api.SIOCSIFNETMASK, "255.255.255.0"),
        *ADDRESSES,
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.1", "02:00:00:00:00:01", 6)),
        ("sendto", b"data", PEER),
    ],
    "addresses by class": [
        call
        for text in ("172.16.0.1", "192.168.7.1", "10.1.1.1", "224.0.0.1", "240.1.1.1", "255.255.255.255")
        for call in (get(api.SIOCSIFADDR, text), *ADDRESSES)
    ],
    "no address": [get(api.SIOCSIFADDR, "0.0.0.0"), *ADDRESSES, get(api.SIOCSIFNETMASK, "255.0.0.0")],
    "masks": [
        call
        for text in ("255.255.0.0", "255.0.255.0", "255.255.255.255", "0.0.0.0", "255.255.255.128")
        for call in (get(api.SIOCSIFNETMASK, text), *ADDRESSES)
    ],
    "broadcast and far end": [
        get(api.SIOCSIFBRDADDR, "10.0.0.127"),
        get(api.SIOCSIFDSTADDR, "10.0.0.9"),
        get(api.SIOCSIFDSTADDR, "224.0.0.9"),
        *ADDRESSES,
    ],
    "not of IPv4": [get(request, pack("=H", 10)) for request in (api.SIOCSIFADDR, api.SIOCSIFNETMASK, api.SIOCGIFADDR)],
    "down and up": [
        get(api.SIOCSIFFLAGS, pack("=H", UP & ~1)),
        get(api.SIOCGIFFLAGS),
        BOUND,
        ("sendto", b"data", PEER),
        get(api.SIOCSIFFLAGS, pack("=H", UP)),
        get(api.SIOCGIFFLAGS),
    ],
    "promiscuous": [
        get(api.SIOCSIFFLAGS, pack("=H", PROMISC)),
        get(api.SIOCGIFFLAGS),
        get(api.SIOCSIFFLAGS, pack("=H", UP | 0x200)),
        get(api.SIOCGIFFLAGS),
        get(api.SIOCSIFFLAGS, pack("=H", UP | 0x80)),
        get(api.SIOCGIFFLAGS),
        get(api.SIOCSIFFLAGS, pack("=H", UP)),
        get(api.SIOCGIFFLAGS),
    ],
    "an MTU": [
        get(api.SIOCSIFMTU, pack("=i", 1000)),
        get(api.SIOCGIFMTU),
        ("bind", ("10.0.0.2", 5000)),
        ("sendto", bytes(1000), PEER),
        get(api.SIOCSIFMTU, pack("=i", 10)),
        get(api.SIOCSIFMTU, pack("=i", -1)),
    ],
    "a link address": [
        get(api.SIOCSIFHWADDR, pack("=H", 1) + bytes.fromhex("020000000009")),
        get(api.SIOCGIFHWADDR),
        get(api.SIOCSIFHWADDR, pack("=H", 1) + bytes.fromhex("010000000009")),
        get(api.SIOCSIFHWADDR, pack("=H", 2) + bytes.fromhex("020000000009")),
    ],
    "the rest": [
        get(api.SIOCSIFTXQLEN, pack("=i", 50)),
        get(api.SIOCGIFTXQLEN),
        get(api.SIOCSIFTXQLEN, pack("=i", -1)),
        get(api.SIOCSIFMETRIC, pack("=i", 1)),
        get(api.SIOCADDMULTI, bytes(2) + bytes.fromhex("01005e010203")),
        *[get(api.SIOCDELMULTI, bytes(2) + bytes.fromhex("01005e010203"))] * 2,
        get(api.SIOCADDMULTI, pack("=H", 1) + bytes.fromhex("01005e010203")),
    ],
    "ARP": [
        BOUND,
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.1")),
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.50")),
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.1", dev="")),
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.1", dev="none")),
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.1", family=10)),
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.50", "02:00:00:00:00:50", 6)),
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.50")),
        ("sendto", b"data", ("10.0.0.50", 9000)),
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.51", "02:00:00:00:00:51", 2, dev="")),
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.51")),
        ("ioctl", api.SIOCSARP, arpreq("127.0.0.9", "02:00:00:00:00:51", 2, dev="")),
        ("ioctl", api.SIOCSARP, arpreq("203.0.113.1", "02:00:00:00:00:51", 2, dev="")),
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.52", "02:00:00:00:00:51", 2, ha_family=6)),
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.52", "02:00:00:00:00:51", 0x22)),
        *[("ioctl", api.SIOCDARP, arpreq("10.0.0.50"))] * 2,
        ("ioctl", api.SIOCGARP, arpreq("10.0.0.50")),
        ("ioctl", api.SIOCDARP, arpreq("10.0.0.51", dev="")),
    ],
    "answering for others": [
        ("ioctl", api.SIOCSARP, arpreq("10.0.0.60", "02:00:00:00:00:02", 8)),
        *[("ioctl", api.SIOCDARP, arpreq("10.0.0.60", flags=8))] * 2,
    ],
    "routes": [
        BOUND,
        FAR,
        ("ioctl", api.SIOCADDRT, rtentry(*ROUTE)),
        ("ioctl", api.SIOCADDRT, rtentry(*ROUTE)),
        FAR,
        ("ioctl", api.SIOCDELRT, rtentry(*ROUTE)),
        ("ioctl", api.SIOCDELRT, rtentry(*ROUTE)),
        FAR,
    ],
    "a route to a host": [
        BOUND,
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.1", "0.0.0.0", "10.0.0.77", 7)),
        FAR,
        ("ioctl", api.SIOCDELRT, rtentry("198.51.100.1", "0.0.0.0", "", 5)),
        FAR,
    ],
    "a default route": [BOUND, ("ioctl", api.SIOCADDRT, rtentry("0.0.0.0", "0.0.0.0", "10.0.0.77", 3)), FAR],
    "a route to nowhere": [
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.0", "255.255.255.0", flags=0x201)),
        FAR,
        ("ioctl", api.SIOCDELRT, rtentry("198.51.100.0", "255.255.255.0", flags=0x201)),
        FAR,
    ],
    "wrong routes": [
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.1", "255.255.255.0", "10.0.0.77", 3)),
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.0", "255.0.255.0", "10.0.0.77", 3)),
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.0", "255.255.255.0", "", 3)),
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.0", "255.255.255.0", "203.0.113.1", 3)),
        ("ioctl", api.SIOCADDRT, rtentry("198.51.100.0", "255.255.255.0")),
        ("ioctl", api.SIOCADDRT, bytes(120)),
    ],
    "what waits": [
        ("bind", ("", 9000)),
        ("ioctl", api.SIOCINQ, bytes(4)),
        ("arrive", ip(udp(9000, b"12345"))),
        ("arrive", ip(udp(9000, b"12"))),
        ("ioctl", api.SIOCINQ, bytes(4)),
        ("recv", 10),
        ("ioctl", api.FIONREAD, bytes(4)),
        ("ioctl", api.SIOCOUTQ, bytes(4)),
        ("ioctl", api.SIOCOUTQ, bytes(8)),
    ],
    "not to wait": [
        ("ioctl", api.FIONBIO, pack("=i", 1)),
        ("recv", 10),
    ],
    "no time of arrival": [("ioctl", api.SIOCGSTAMP, bytes(16)), ("ioctl", api.SIOCGSTAMPNS, bytes(16))],
}


@pytest.fixture
def linux():
    if not can_make_namespaces():
        pytest.skip("needs root, /dev/net/tun and ip(8)")
    with LinuxPeer(f"hardwire-io{os.getpid()}") as peer:
        set_up(peer)
        yield peer


def ours_like_theirs():
    ours = make_ours()
    ours.dev.tx_queue_len = 1000
    return ours


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_has_the_same_results_as_on_linux(linux, name):
    assert_same_program(linux, ours_like_theirs(), api.SOCK_DGRAM, 0, PROGRAMS[name])


def test_what_waits_for_a_raw_socket_is_what_waits_on_linux(linux):
    calls = [("ioctl", api.SIOCINQ, bytes(4)), ("arrive", ip(b"12345", 200)), ("ioctl", api.SIOCINQ, bytes(4))]
    assert_same_program(linux, make_ours(), api.SOCK_RAW, 200, [*calls, ("ioctl", api.SIOCOUTQ, bytes(4))])


def test_all_addresses_are_listed_as_linux_lists_them(linux):
    def theirs(room: int) -> bytes:
        with real.socket(real.AF_INET, real.SOCK_DGRAM) as sock:
            octets = array("B", bytes(room))
            length, _ = unpack("=i4xQ", ioctl(sock, api.SIOCGIFCONF, pack("=i4xQ", room, octets.buffer_info()[0])))
            return octets.tobytes()[:length]

    sock = make_ours().socket()
    for room in (0, 39, 40, 79, 80, 400):
        assert sock.ioctl(api.SIOCGIFCONF, bytes(room)) + b"" == linux.inside(lambda room=room: theirs(room))


def test_the_time_of_arrival_is_that_of_the_last_packet():
    ours = make_ours()
    sock = ours.socket()
    sock.bind(("", 9000))
    ours.receive(ip(udp(9000)))
    sock.recv(10)
    ours.platform.advance(5_000_000_000)
    assert unpack("=qq", sock.ioctl(api.SIOCGSTAMP, bytes(16))) == (
        5,
        0,
    )  # Nobody noted it: the time of the first question.
    ours.platform.advance(1_234_567_000)
    ours.receive(ip(udp(9000)))
    ours.platform.advance(9_000_000_000)
    sock.recv(10)
    assert unpack("=qq", sock.ioctl(api.SIOCGSTAMP, bytes(16))) == (6, 234567)
    assert unpack("=qq", sock.ioctl(api.SIOCGSTAMPNS, bytes(16))) == (6, 234567000)


def test_a_request_changes_the_buffer_or_returns_octets_as_fcntl_does():
    sock = make_ours().socket()
    buffer = bytearray(ifreq())
    assert sock.ioctl(api.SIOCGIFMTU, buffer) == 0
    assert unpack("=i", buffer[16:20]) == (1500,)
    kept = bytearray(ifreq())
    assert sock.ioctl(api.SIOCGIFMTU, kept, False) == bytes(buffer)
    assert kept == ifreq()
    assert sock.ioctl(api.SIOCGIFMTU, memoryview(ifreq())) == bytes(buffer)
    with raises(EFAULT):
        sock.ioctl(api.SIOCGIFMTU)
    sock.close()
    with raises(EBADF):
        sock.ioctl(api.SIOCGIFMTU, ifreq())


def test_a_route_is_bound_to_a_device_by_the_name_behind_it():
    ours = make_ours()
    sock = ours.socket()
    entry = bytearray(rtentry("198.51.100.0", "255.255.255.0"))
    entry[88:96] = pack("=Q", 1)
    sock.ioctl(api.SIOCADDRT, bytes(entry) + b"eth0\0")
    assert any(alias.prefix == 0xC6336400 and alias.info.nhs[0].dev is ours.dev for alias in ours.net.ipv4.fib_main)
    for name, error in ((b"none\0", 19), (b"", EFAULT)):
        with raises(error):
            sock.ioctl(api.SIOCADDRT, bytes(entry) + name)
    with raises(EINVAL):
        sock.ioctl(api.SIOCADDRT, rtentry("198.51.100.0", "255.255.255.0", "", 3))

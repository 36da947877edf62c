"""Packet sockets: the same program on our stack and on a real Linux kernel has the same results and sends the same."""

import os
import socket as real
from collections.abc import Callable
from ctypes import CDLL, get_errno
from struct import pack
from typing import Any

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.core.filter_check import SockFilter, sock_filters_octets
from hardwire.stack.iproute import neigh_add
from hardwire.tb.stack.bpf import attach
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import BROADCAST, MY_MAC, PEER_MAC, arp, icmp, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

ALL, IP, LLC, LOCAL = 3, 0x800, 4, 0x88B5
OTHER_MAC, GROUP_MAC = bytes.fromhex("02000000ee00"), bytes.fromhex("01005e7f0001")


class Host:
    """What a program uses: a host's sockets and its device. ``said`` is what came of it."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Note what a call returns, or how it fails."""
        try:
            value = function(*args)
        except OSError as error:
            value = error.errno
        except (TypeError, ValueError, OverflowError) as error:
            value = type(error).__name__
        self.said.append(value)

    def heard(self, sock, size: int = 2000) -> None:
        """Note all that a socket has received."""
        while True:
            self.call(sock.recvfrom, size, real.MSG_DONTWAIT)
            if not isinstance(self.said[-1], tuple):
                return
            octets, address = self.said[-1]
            self.said[-1] = without_host(octets, address), address

    def packet(self, kind: int = api.SOCK_RAW, protocol: int = ALL, device: str | None = "eth0"):
        """Return a packet socket."""
        sock = self.socket(api.AF_PACKET, kind, real.htons(protocol) if device is None else 0)
        if device is not None:
            sock.bind((device, protocol))
        return sock


class Theirs(Host):
    """The real kernel's."""

    def __init__(self, peer: LinuxPeer) -> None:
        super().__init__()
        self.peer = peer
        self.receive = peer.receive
        self.ifindex = peer.inside(lambda: real.if_nametoindex("eth0"))

    def socket(self, *kind: int) -> real.socket:
        return self.peer.inside(lambda: real.socket(*kind))

    def link(self, state: str) -> None:
        self.peer.ip("link", "set", "eth0", state)

    def bind_octets(self, sock, octets: bytes) -> None:
        self._libc("bind", sock.fileno(), octets, len(octets))

    def send_octets(self, sock, data: bytes, octets: bytes) -> int:
        return self._libc("sendto", sock.fileno(), data, len(data), 0, octets, len(octets))

    def _libc(self, name: str, *args) -> int:
        result = getattr(CDLL(None, use_errno=True), name)(*args)
        if result < 0:
            raise OSError(get_errno(), name)
        return result

    def attach(self, sock, program: list[SockFilter]) -> None:
        attach(sock, program)

    def sent(self) -> list[bytes]:
        return self.peer.frames()


class Ours(Host):
    """Our own."""

    def __init__(self) -> None:
        super().__init__()
        self.host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
        neigh_add(self.host.dev, "10.0.0.1", PEER_MAC.hex(":"))
        self.receive = self.host.receive
        self.socket = self.host.net.socket
        self.ifindex = self.host.dev.ifindex

    def link(self, state: str) -> None:
        (dev_open if state == "up" else dev_close)(self.host.dev)

    def bind_octets(self, sock, octets: bytes) -> None:
        sock.bind(octets)

    def send_octets(self, sock, data: bytes, octets: bytes) -> int:
        return sock.sendto(data, octets)

    def attach(self, sock, program: list[SockFilter]) -> None:
        sock.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, sock_filters_octets(program))

    def sent(self) -> list[bytes]:
        self.host.platform.advance(1_000_000)
        return self.host.dev.sent


def without_host(octets: bytes, address) -> bytes:
    """Return a packet without what is up to the host that sent it: IPv4 identification, and the sum over it."""
    if address[1:3] != (IP, 4):
        return octets
    at = 14 if octets[12:14] == b"\x08\0" else 0
    return octets[: at + 4] + bytes(2) + octets[at + 6 : at + 10] + bytes(2) + octets[at + 12 :]


@pytest.fixture
def theirs():
    with LinuxPeer(f"hw-packet-{os.getpid()}") as peer:
        peer.ip("neigh", "replace", "10.0.0.1", "lladdr", PEER_MAC.hex(":"), "nud", "permanent", "dev", "eth0")
        peer.frames()
        yield Theirs(peer)


@pytest.fixture
def ours():
    return Ours()


def same(theirs: Theirs, ours: Ours, program: Callable[[Host], None]) -> None:
    """Check that a program does the same on both."""
    program(theirs)
    program(ours)
    assert ours.said == theirs.said
    assert comparable(ours.sent()) == comparable(theirs.sent())
    ours.host.platform.advance(10_000_000_000)
    assert len(ours.host.platform.buffers) == 0


def comparable(frames: list[bytes]) -> list[bytes]:
    """Return frames without what is up to the host, and without IGMP, which comes by timers of its own."""
    found = [without_host(frame, ("eth0", int.from_bytes(frame[12:14], "big"), 4)) for frame in frames]
    return [frame for frame in found if frame[12:14] != b"\x08\0" or frame[23:24] != b"\2"]


def frame(to: bytes, kind: int, payload: bytes, tag: int | None = None) -> bytes:
    """Return a frame from the peer."""
    tagged = b"" if tag is None else pack("!HH", 0x8100, tag)
    return to + PEER_MAC + tagged + pack("!H", kind) + payload


FRAMES = [
    frame(MY_MAC, LOCAL, b"unicast".ljust(46, b"\0")),
    frame(BROADCAST, LOCAL, b"broadcast".ljust(46, b"\0")),
    frame(GROUP_MAC, LOCAL, b"group".ljust(46, b"\0")),
    frame(OTHER_MAC, LOCAL, b"somebody else's".ljust(46, b"\0")),
    frame(MY_MAC, 46, b"\x42\x42\x03".ljust(46, b"\0")),
    frame(MY_MAC, LOCAL, b"tagged".ljust(46, b"\0"), 0x2005),
    frame(MY_MAC, LOCAL, b"priority".ljust(46, b"\0"), 0xE000),
    frame(MY_MAC, LOCAL, b"short"),
    ip(icmp(8), 1),
    ip(udp(9)),
    arp(mac=BROADCAST),
    frame(MY_MAC, LOCAL, bytes(range(256)) * 5),
]


@pytest.mark.parametrize("kind", [api.SOCK_RAW, api.SOCK_DGRAM], ids=["raw", "cooked"])
@pytest.mark.parametrize("protocol", [ALL, IP, LLC, LOCAL, 0x8100, 0])
@pytest.mark.parametrize("device", ["eth0", None], ids=["bound", "everywhere"])
def test_each_kind_of_frame_is_seen_the_same(theirs, ours, kind, protocol, device):
    def program(host: Host) -> None:
        sock = host.packet(kind, protocol, device)
        for octets in FRAMES:
            host.receive(octets)
            host.heard(sock)
        sock.close()

    same(theirs, ours, program)


def test_auxiliary_data_is_the_same(theirs, ours):
    def program(host: Host) -> None:
        for kind in (api.SOCK_RAW, api.SOCK_DGRAM):
            sock = host.packet(kind)
            sock.setsockopt(api.SOL_PACKET, api.PACKET_AUXDATA, 1)
            sock.setsockopt(api.SOL_PACKET, api.PACKET_IGNORE_OUTGOING, 1)
            for octets in FRAMES:
                host.receive(octets)
                host.call(sock.recvmsg, 40, 100)
            host.receive(FRAMES[0])
            host.call(sock.recvmsg, 40, 30)  # No room for all of it.
            sock.close()

    same(theirs, ours, program)


def test_a_packet_that_is_too_long_for_the_program_is_cut(theirs, ours):
    def program(host: Host) -> None:
        sock = host.packet(protocol=LOCAL)
        for size, flags in ((0, 0), (10, 0), (10, real.MSG_TRUNC), (60, 0), (2000, real.MSG_TRUNC)):
            for peek in (real.MSG_PEEK, 0):
                if peek:
                    host.receive(FRAMES[0])
                host.call(sock.recvmsg, size, 0, flags | peek)
                host.call(sock.recvfrom_into, bytearray(b"\xaa" * size), size, flags | peek | real.MSG_DONTWAIT)
        host.heard(sock)
        for flags in (real.MSG_OOB, real.MSG_ERRQUEUE, real.MSG_ERRQUEUE | real.MSG_OOB, real.MSG_DONTROUTE, 0x100000):
            host.receive(FRAMES[0])
            host.call(sock.recv, 100, flags | real.MSG_DONTWAIT)
        sock.close()

    same(theirs, ours, program)


@pytest.mark.parametrize("kind", [api.SOCK_RAW, api.SOCK_DGRAM], ids=["raw", "cooked"])
@pytest.mark.parametrize("bypass", [0, 1], ids=["queue", "past the queue"])
def test_each_length_is_sent_or_refused_the_same(theirs, ours, kind, bypass):
    def program(host: Host) -> None:
        sock = host.packet(kind, LOCAL)
        tap = host.packet()  # A cooked one would, since 6.10, tell of what is behind a VLAN tag.
        sock.setsockopt(api.SOL_PACKET, api.PACKET_QDISC_BYPASS, bypass)
        for size in (0, 1, 12, 13, 14, 15, 60, 1500, 1501, 1504, 1505, 1514, 1515, 1518, 1519, 9000):
            for tag in (LOCAL, 0x8100):
                octets = (OTHER_MAC + MY_MAC + pack("!H", tag) + bytes(range(256)) * 40)[:size]
                for name in (("eth0", LOCAL, 0, 0, PEER_MAC), ("eth0", 0x8100, 3, 7, PEER_MAC)):
                    host.call(sock.sendto, octets, name)
                host.call(sock.send, octets)
                host.heard(tap, 20000)
        host.heard(sock)  # It does not see its own.
        sock.close()
        tap.close()

    same(theirs, ours, program)


@pytest.mark.parametrize("kind", [api.SOCK_RAW, api.SOCK_DGRAM], ids=["raw", "cooked"])
def test_destinations_and_protocols_are_taken_the_same(theirs, ours, kind):
    octets = OTHER_MAC + MY_MAC + pack("!H", LOCAL) + b"payload"
    names = [("eth0", protocol, 0, 0, PEER_MAC) for protocol in (0, 1, ALL, LLC, IP, 0x5FF, 0x600, 0xFFFF)]
    names += [("eth0", LOCAL, 4, 7, PEER_MAC + b"ab"), ("eth0", LOCAL, 0, 1, bytes(8))]
    names += [("nope", LOCAL), ("", LOCAL), ("lo", LOCAL, 0, 0, PEER_MAC), ("eth0", -1), ("eth0", 1 << 16)]
    names += [("eth0", LOCAL, 0, 0, bytes(9)), ("eth0",), (), "eth0", ("eth0", LOCAL, 0, 0, PEER_MAC, 1), (1, 2)]

    def program(host: Host) -> None:
        tap = host.packet(kind, device=None)
        sock = host.packet(kind, 0, None)
        host.call(sock.send, octets)
        for name in names:
            host.call(sock.sendto, octets, name)
            host.heard(tap)
        for flags in (real.MSG_OOB, real.MSG_DONTROUTE, real.MSG_MORE, real.MSG_CONFIRM, 0x100000):
            host.call(sock.sendto, octets, flags, ("eth0", LOCAL, 0, 0, PEER_MAC))
        for control in (
            [(1, api.SO_MARK, pack("=I", 7))],
            [(1, api.SO_MARK, b"\1")],
            [(1, 99, bytes(4))],
            [(0, 8, b"")],
        ):
            host.call(sock.sendmsg, [octets[:3], b"", octets[3:]], control, 0, ("eth0", LOCAL, 0, 0, PEER_MAC))
        host.heard(tap)
        tap.close()
        sock.close()

    same(theirs, ours, program)


def test_addresses_given_as_octets_are_taken_the_same(theirs, ours):
    def address(ifindex: int, family: int = api.AF_PACKET, protocol: int = LOCAL, length: int = 20) -> bytes:
        octets = pack("=H", family) + pack("!H", protocol) + pack("=iHBB8s", ifindex, 0, 0, 6, PEER_MAC)
        return octets[:length]

    def program(host: Host) -> None:
        sock = host.packet(api.SOCK_DGRAM, LOCAL, None)
        for octets in (
            address(host.ifindex),
            address(0),
            address(9999),
            address(-1),
            address(host.ifindex, family=2),
            address(host.ifindex, protocol=0),
            address(host.ifindex, length=19),
            address(host.ifindex) + b"\0",
        ):
            host.call(host.bind_octets, sock, octets)
            host.call(sock.getsockname)
            host.call(host.send_octets, sock, b"payload", octets)
        sock.close()

    same(theirs, ours, program)


def test_binding_and_binding_again_are_the_same(theirs, ours):
    names = [("eth0", 0), ("eth0", LOCAL), ("eth0", IP), ("lo", 0), ("eth0", ALL), ("eth0", LOCAL, 1, 2, b"abc")]
    names += [("nope", 0), ("", 0), ("eth0", 70000), ("eth0",), "eth0", ("eth0", 0)]

    def program(host: Host) -> None:
        for protocol in (0, LOCAL):
            sock = host.packet(protocol=protocol, device=None)
            host.call(sock.getsockname)
            for name in names:
                host.call(sock.bind, name)
                host.call(sock.getsockname)
                for octets in (FRAMES[0], FRAMES[9]):
                    host.receive(octets)
                    host.heard(sock)
            host.call(sock.getpeername)
            host.call(sock.connect, ("eth0", 0))
            host.call(sock.shutdown, 2)
            sock.close()
        for kind in ((real.SOCK_STREAM, 0), (5, 0), (11, 0), (api.SOCK_RAW, 0x1B588)):
            try:
                with host.socket(api.AF_PACKET, *kind) as sock:
                    host.call(sock.getsockname)
            except OSError as error:
                host.said.append(error.errno)

    same(theirs, ours, program)


def test_a_device_that_goes_down_and_up_is_followed_the_same(theirs, ours):
    def program(host: Host) -> None:
        bound, anywhere = host.packet(), host.packet(device=None)
        unbound = host.packet(protocol=0, device=None)
        host.link("down")
        for sock in (bound, anywhere, unbound):
            host.call(sock.getsockopt, 1, api.SO_ERROR)
        host.link("up")
        host.link("down")
        for sock in (bound, anywhere):
            host.call(sock.recv, 100, real.MSG_DONTWAIT)
            host.call(sock.recv, 100, real.MSG_DONTWAIT)
        host.call(bound.send, FRAMES[0])
        host.call(unbound.sendto, FRAMES[0], ("eth0", LOCAL))
        host.call(unbound.bind, ("eth0", LOCAL))
        host.call(unbound.getsockname)
        host.call(unbound.recv, 100, real.MSG_DONTWAIT)
        host.call(unbound.recv, 100, real.MSG_DONTWAIT)
        host.link("up")
        host.sent()
        for sock in (bound, anywhere):
            while True:  # What the host says of itself when it comes up.
                try:
                    sock.recv(2000, real.MSG_DONTWAIT)
                except BlockingIOError:
                    break
        host.receive(FRAMES[0])
        for sock in (bound, anywhere, unbound):
            host.heard(sock)
            sock.close()

    same(theirs, ours, program)


def mreq(ifindex: int, kind: int, addr: bytes = b"", length: int | None = None) -> bytes:
    """Return a ``struct packet_mreq``."""
    return pack("=iHH8s", ifindex, kind, len(addr) if length is None else length, addr)


def test_options_are_the_same(theirs, ours):
    add, drop = api.PACKET_ADD_MEMBERSHIP, api.PACKET_DROP_MEMBERSHIP

    def program(host: Host) -> None:
        sock = host.packet()
        for option in (api.PACKET_AUXDATA, api.PACKET_ORIGDEV, api.PACKET_QDISC_BYPASS, api.PACKET_IGNORE_OUTGOING):
            for value in (1, 0, 2, -1, b"", b"\1", b"\1\0\0", b"\0\1\0\0", b"\1\0\0\0\0"):
                host.call(sock.setsockopt, api.SOL_PACKET, option, value)
                host.call(sock.getsockopt, api.SOL_PACKET, option)
        for level, option in ((api.SOL_PACKET, 0), (api.SOL_PACKET, 4), (api.SOL_PACKET, 99), (0, 1), (17, 1)):
            host.call(sock.setsockopt, level, option, 1)
            host.call(sock.getsockopt, level, option)
        for what in (
            mreq(host.ifindex, api.PACKET_MR_PROMISC),
            mreq(host.ifindex, api.PACKET_MR_PROMISC),
            mreq(host.ifindex, api.PACKET_MR_ALLMULTI),
            mreq(host.ifindex, api.PACKET_MR_MULTICAST, GROUP_MAC),
            mreq(host.ifindex, api.PACKET_MR_MULTICAST, GROUP_MAC[:5]),
            mreq(host.ifindex, api.PACKET_MR_UNICAST, OTHER_MAC),
            mreq(host.ifindex, api.PACKET_MR_UNICAST, OTHER_MAC, 7),
            mreq(host.ifindex, api.PACKET_MR_UNICAST, OTHER_MAC, 9),
            mreq(host.ifindex, 9),
            mreq(9999, api.PACKET_MR_PROMISC),
            mreq(host.ifindex, api.PACKET_MR_PROMISC)[:15],
            mreq(host.ifindex, api.PACKET_MR_PROMISC) + bytes(30),
        ):
            for option in (add, drop, drop, add):
                host.call(sock.setsockopt, api.SOL_PACKET, option, what)
        for octets in FRAMES[:4]:
            host.receive(octets)
        for _ in range(2):
            host.call(sock.getsockopt, api.SOL_PACKET, api.PACKET_STATISTICS, 8)
        for option in (api.SO_TYPE, api.SO_DOMAIN, api.SO_PROTOCOL, api.SO_ERROR):
            host.call(sock.getsockopt, api.SOL_SOCKET, option)
        sock.close()

    same(theirs, ours, program)


def test_filters_are_attached_locked_and_detached_the_same(theirs, ours):
    first = [
        SockFilter(0x28, 0, 0, 12),
        SockFilter(0x15, 0, 1, LOCAL),
        SockFilter(0x06, 0, 0, 20),
        SockFilter(6, 0, 0, 0),
    ]
    second = [SockFilter(0x06, 0, 0, 30)]

    def program(host: Host) -> None:
        sock = host.packet()
        for option, value in (
            (api.SO_DETACH_FILTER, 0),
            (api.SO_ATTACH_FILTER, first),
            (api.SO_ATTACH_FILTER, second[:0]),
            (api.SO_ATTACH_FILTER, second * 4097),
            (api.SO_ATTACH_FILTER, second),
            (api.SO_LOCK_FILTER, 0),
            (api.SO_DETACH_FILTER, b"\0"),
            (api.SO_DETACH_FILTER, 0),
            (api.SO_ATTACH_FILTER, first),
            (api.SO_LOCK_FILTER, 2),
            (api.SO_DETACH_FILTER, 0),
            (api.SO_ATTACH_FILTER, second),
            (api.SO_LOCK_FILTER, 1),
            (api.SO_LOCK_FILTER, 0),
        ):
            if option == api.SO_ATTACH_FILTER:
                host.call(host.attach, sock, value)
            else:
                host.call(sock.setsockopt, api.SOL_SOCKET, option, value)
            host.call(sock.getsockopt, api.SOL_SOCKET, api.SO_LOCK_FILTER)
            for octets in FRAMES[-2:]:
                host.receive(octets)
            host.heard(sock)
        sock.close()

    same(theirs, ours, program)

"""Receiving on sockets: the same results, flags and errors as on real Linux sockets."""

import os
import socket as real
from errno import EAGAIN, ECONNREFUSED
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.iproute import addr_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.inet_host import MS, SECOND, raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import Pair, PairHost

needs_linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")
HERE = ("127.0.0.1", 9000)


class Ours:
    """Sockets of our stack, on loopback; what was sent has arrived at the next call."""

    def __init__(self) -> None:
        self.host = PairHost(FakePlatform(), bytes.fromhex("020000000002"), "10.0.0.2/24")

    def socket(self, kind: int = api.SOCK_DGRAM, proto: int = 0):
        """Return a socket."""
        return self.host.net.socket(api.AF_INET, kind, proto)


class Theirs:
    """Sockets of a real kernel's namespace."""

    def __init__(self, peer: LinuxPeer) -> None:
        self.peer = peer
        self.sockets = []

    def socket(self, kind: int = api.SOCK_DGRAM, proto: int = 0):
        """Return a socket."""
        self.sockets.append(self.peer.inside(lambda: real.socket(real.AF_INET, kind, proto)))
        return self.sockets[-1]

    def close(self) -> None:
        """Close all sockets."""
        while self.sockets:
            self.sockets.pop().close()


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-sock{os.getpid()}") as peer:
        yield Theirs(peer)


def result(function, *args):
    """Return what a call returns, or the errno that it raises."""
    try:
        return function(*args)
    except OSError as error:
        return error.errno or type(error).__name__


def bound(world, address=HERE, **options):
    """Return a bound socket that does not wait, with options set first."""
    sock = world.socket()
    for name, value in options.items():
        level = api.SOL_IP if name.startswith("IP_") else api.SOL_SOCKET
        sock.setsockopt(level, getattr(api, name), value)
    sock.bind(address)
    sock.setblocking(False)
    return sock


def sender(world, port=5000, address="127.0.0.1"):
    """Return a socket to send from."""
    sock = world.socket()
    sock.bind((address, port))
    return sock


def flags_and_lengths(world):
    """Truncation, peeking, and lengths that are too small, exact and zero."""
    sock, other = bound(world), sender(world)
    told = [result(sock.recvfrom, 10), result(sock.recvfrom, 10, api.MSG_PEEK)]
    for payload in (b"first datagram", b"", b"third"):
        other.sendto(payload, HERE)
    told.append(sock.recvfrom(5, api.MSG_PEEK))
    told.append(sock.recvmsg(5, 0, api.MSG_PEEK))
    buffer = bytearray(5)
    told.append(sock.recv_into(buffer, 5, api.MSG_TRUNC | api.MSG_PEEK))
    told.append(bytes(buffer))
    told.append(sock.recvmsg(5, 0, api.MSG_TRUNC)[1:])
    told.append(sock.recvfrom(0))
    told.append(sock.recv(0, api.MSG_PEEK))
    told.append(sock.recvfrom_into(bytearray(100)))
    told.append(result(sock.recv, 1))
    return told


def control_messages(world):
    """IP_PKTINFO, IP_TTL and IP_TOS, with room for all, some and none of them."""
    sock = bound(world, IP_PKTINFO=1, IP_RECVTTL=1, IP_RECVTOS=1)
    other = sender(world)
    other.setsockopt(api.SOL_IP, api.IP_TTL, 33)
    other.setsockopt(api.SOL_IP, api.IP_TOS, 0x10)
    told = []
    for room in (200, 28 + 4 + 20, 28, 27, 20, 16, 15, 0):
        other.sendto(b"x", HERE)
        told.append(sock.recvmsg(10, room))
    return told


def scatter(world):
    """One datagram into several buffers, of which some are too short."""
    sock, other = bound(world), sender(world)
    told = []
    for sizes in ((3, 0, 4, 10), (2, 3), (100,)):
        other.sendto(b"0123456789", HERE)
        buffers = [bytearray(size) for size in sizes]
        told.append((sock.recvmsg_into(buffers), buffers))
    return told


def closed_port(world):
    """A connected sender hears of a closed port once, at whichever call comes next; another does not."""
    sock = world.socket()
    sock.setblocking(False)
    sock.connect(("127.0.0.1", 7))
    told = [result(sock.send, b"x"), result(sock.recv, 10), result(sock.recv, 10)]
    told += [result(sock.send, b"x"), result(sock.send, b"x"), result(sock.getsockopt, api.SOL_SOCKET, api.SO_ERROR)]
    told += [result(sock.send, b"x"), result(sock.getsockopt, api.SOL_SOCKET, api.SO_ERROR)]
    free = sender(world)
    free.setblocking(False)
    told += [free.sendto(b"x", ("127.0.0.1", 7)), result(free.recv, 10)]
    return told


def error_queue(world):
    """With IP_RECVERR each error waits with its cause, and pends until it is taken."""
    sock = bound(world, ("127.0.0.1", 5001), IP_RECVERR=1)
    told = []
    for payload in (b"one", b"second"):
        told.append(result(sock.sendto, payload, ("127.0.0.1", 7)))
    told.append(result(sock.recv, 10))
    for size in (2, 100, 100):
        told.append(result(sock.recvmsg, size, 200, api.MSG_ERRQUEUE))
    told.append(result(sock.recv, 10))
    return told


def most_specific(world):
    """Of several sockets on a port the one that fits best receives."""
    world_sockets = {
        "any": bound(world, ("", 9001), SO_REUSEADDR=1),
        "local": bound(world, ("127.0.0.1", 9001), SO_REUSEADDR=1),
        "connected": bound(world, ("127.0.0.1", 9001), SO_REUSEADDR=1),
        "again": bound(world, ("127.0.0.1", 9001), SO_REUSEADDR=1),
    }
    world_sockets["connected"].connect(("127.0.0.1", 5000))
    told = []
    for port, target in ((5000, "127.0.0.1"), (5001, "127.0.0.1"), (5002, "127.0.0.2"), (5003, "10.0.0.2")):
        sender(world, port, "" if target != "127.0.0.1" else "127.0.0.1").sendto(b"%d" % port, (target, 9001))
    for name, sock in world_sockets.items():
        while not isinstance(data := result(sock.recv, 10), int):
            told.append((name, data))
    return told


def full_buffer(world):
    """A receive buffer takes what fits, and a datagram more."""
    sock, other = bound(world, SO_RCVBUF=3000), sender(world)
    for _ in range(40):
        other.sendto(bytes(100), HERE)
    count = 0
    while not isinstance(result(sock.recv, 200), int):
        count += 1
    return sock.getsockopt(api.SOL_SOCKET, api.SO_RCVBUF), 2 <= count <= 12


def shut_down(world):
    """After a shutdown a receive returns what is there, then nothing; a poll says so."""
    sock, other = bound(world), sender(world)
    sock.connect(("127.0.0.1", 5000))
    other.sendto(b"last", HERE)
    told = [result(sock.shutdown, api.SHUT_RD)]
    told += [result(sock.recv, 10), result(sock.recv, 10)]
    sock.setblocking(True)
    told.append(sock.recv(10))
    other.sendto(b"later", HERE)
    told.append(result(sock.recv, 10))
    return told


def oob(world):
    """Out-of-band data, which neither has."""
    sock = bound(world)
    ping = world.socket(api.SOCK_RAW, api.IPPROTO_ICMP)
    ping.setblocking(False)
    return [result(sock.recv, 1, api.MSG_OOB), result(ping.recv, 1, api.MSG_OOB)]


def raw_icmp(world):
    """Raw sockets see requests to this host, and its answers, unless their filter keeps them away."""
    ping, filtered = (world.socket(api.SOCK_RAW, api.IPPROTO_ICMP) for _ in range(2))
    filtered.setsockopt(api.SOL_RAW, api.ICMP_FILTER, pack("=I", ~(1 << 0) & 0xFFFFFFFF))
    elsewhere = world.socket(api.SOCK_RAW, api.IPPROTO_ICMP)
    elsewhere.bind(("10.0.0.2", 0))
    told = []
    ping.sendto(b"\x08\0\xe5\xca\x12\x34\0\1", ("127.0.0.1", 0))
    for sock in (ping, filtered, elsewhere):
        sock.setblocking(False)
        while not isinstance(answer := result(sock.recvfrom, 100), int):
            told.append((answer[0][8:10], answer[0][12:], answer[1]))
        told.append(answer)
    told.append(filtered.getsockopt(api.SOL_RAW, api.ICMP_FILTER, 4))
    told += [result(ping.recvmsg, 4), result(ping.bind, ("10.0.0.77", 0)), result(ping.getsockname)]
    ping.sendto(b"\x08\0\xe5\xca\x12\x34\0\1", ("127.0.0.1", 0))
    told.append(ping.recvmsg(21)[2:])
    told.append(result(ping.sendto, bytes(70000), ("127.0.0.1", 0)))
    told.append(result(ping.send, b"x"))
    return told


def timeouts(world):
    """Timeouts of the two options read back as they were set."""
    sock = world.socket()
    told = []
    for option in (api.SO_RCVTIMEO, real.SO_SNDTIMEO):
        for value in (
            pack("=qq", 1, 500_000),
            pack("=qq", 0, 0),
            pack("=qq", -1, 0),
            pack("=qq", 0, 1_000_000),
            b"1234",
        ):
            told.append(result(sock.setsockopt, api.SOL_SOCKET, option, value))
            told.append(sock.getsockopt(api.SOL_SOCKET, option, 16))
    return told


def groups(world):
    """Joining, leaving, and joining what is not there."""
    sock = world.socket()
    told = []
    member = bytes([239, 1, 2, 3, 10, 0, 0, 2])
    for option, value in (
        (api.IP_ADD_MEMBERSHIP, member),
        (api.IP_ADD_MEMBERSHIP, member),
        (api.IP_DROP_MEMBERSHIP, member),
        (api.IP_DROP_MEMBERSHIP, member),
        (api.IP_ADD_MEMBERSHIP, bytes([10, 0, 0, 1, 10, 0, 0, 2])),
        (api.IP_ADD_MEMBERSHIP, bytes([239, 1, 2, 3, 10, 0, 0, 77])),
        (api.IP_ADD_MEMBERSHIP, member[:7]),
        (api.IP_MULTICAST_ALL, pack("=i", 2)),
        (api.IP_MULTICAST_ALL, pack("=i", 0)),
    ):
        told.append(result(sock.setsockopt, api.SOL_IP, option, value))
    told.append(sock.getsockopt(api.SOL_IP, api.IP_MULTICAST_ALL))
    return told


SCENES = [
    flags_and_lengths,
    control_messages,
    scatter,
    closed_port,
    error_queue,
    most_specific,
    full_buffer,
    shut_down,
    oob,
    raw_icmp,
    timeouts,
    groups,
]


@needs_linux
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scene_goes_as_in_linux(linux, scene):
    try:
        theirs = scene(linux)
    finally:
        linux.close()
    assert scene(Ours()) == theirs


@pytest.fixture
def pair():
    return Pair()


def test_a_receive_waits_no_longer_than_its_timeout(pair):
    sock = pair.a.socket()
    for seconds, error in ((0.5, TimeoutError), (2, TimeoutError)):
        sock.settimeout(seconds)
        start = pair.platform.now_ns()
        with pytest.raises(error):
            sock.recv(10)
        assert pair.platform.now_ns() - start == seconds * SECOND
    sock.settimeout(None)
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVTIMEO, pack("=qq", 0, 250_000))
    start = pair.platform.now_ns()
    with raises(EAGAIN):
        sock.recv(10)
    assert pair.platform.now_ns() - start == 252 * MS  # In whole jiffies.


def test_a_shutdown_ends_a_receive_that_waits(pair):
    sock = pair.a.socket()
    sock.connect(("10.0.0.2", 9))
    pair.platform.timer(5 * MS, lambda: sock.shutdown(api.SHUT_RD))
    assert sock.recv(10) == b""
    assert pair.platform.now_ns() == 5 * MS


def test_an_error_ends_a_receive_that_waits(pair):
    sock = pair.a.socket()
    sock.connect(("10.0.0.2", 9))
    sock.send(b"x")
    with raises(ECONNREFUSED):
        sock.recv(10)


def test_poll_waits_for_a_datagram_and_tells_of_room_and_errors(pair):
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    assert b.poll(api.POLLIN, 0) == 0
    assert b.poll(api.POLLIN | api.POLLOUT, 0) == api.POLLOUT
    start = pair.platform.now_ns()
    assert b.poll(api.POLLIN, 0.25) == 0
    assert pair.platform.now_ns() - start == 250 * MS
    pair.platform.timer(pair.platform.now_ns() + MS, lambda: a.sendto(b"x", ("10.0.0.2", 9000)) and None)
    assert b.poll(api.POLLIN) == api.POLLIN
    assert b.recv(9) == b"x"
    a.connect(("10.0.0.2", 7))
    a.send(b"x")
    assert a.poll(api.POLLIN) & api.POLLERR
    b.connect(("10.0.0.1", 5))
    b.shutdown(api.SHUT_RDWR)
    assert b.poll(api.POLLIN | api.POLLRDHUP, 0) == api.POLLIN | api.POLLRDHUP | api.POLLHUP


def test_poll_does_not_promise_a_datagram_whose_checksum_is_wrong(pair):
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    a.sendto(bytes(200), ("10.0.0.2", 9000))
    b.recv(300)
    frame = bytearray(pair.a.dev.sent[-1])
    frame[-1] ^= 1
    pair.b.receive(bytes(frame))
    assert b.poll(api.POLLIN, 0) == 0
    assert pair.b.mib["Udp:InCsumErrors"] == 1
    pair.check_memory()


def test_a_closed_socket_gives_its_memory_back(pair):
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    for _ in range(5):
        a.sendto(bytes(100), ("10.0.0.2", 9000))
    ping = pair.b.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    ping.sendto(b"\x08\0\xe5\xca\x12\x34\0\1", ("10.0.0.1", 0))
    pair.run()
    assert len(pair.platform.buffers) > pair.buffers_at_rest
    b.close()
    ping.close()
    pair.check_memory()
    assert not pair.b.net.ipv4.raw_hashinfo


def test_each_member_of_a_group_gets_a_copy(pair):
    group = ("239.1.2.3", 9000)
    members = [pair.b.socket() for _ in range(3)]
    for sock in members:
        sock.setsockopt(api.SOL_SOCKET, api.SO_REUSEADDR, 1)
        sock.bind(("", 9000))
        sock.setsockopt(api.SOL_IP, api.IP_MULTICAST_ALL, pack("=i", 0))
        sock.setblocking(False)
    for sock in members[:2]:
        sock.setsockopt(api.SOL_IP, api.IP_ADD_MEMBERSHIP, bytes([239, 1, 2, 3, 10, 0, 0, 2]))
    assert bytes.fromhex("01005e010203") in pair.b.dev.mc
    a = pair.a.socket()
    a.setsockopt(api.SOL_IP, api.IP_MULTICAST_IF, bytes([10, 0, 0, 1]))
    a.sendto(b"to the group", group)
    pair.run()
    assert [result(sock.recv, 20) for sock in members] == [b"to the group"] * 2 + [EAGAIN]
    members[0].setsockopt(api.SOL_IP, api.IP_DROP_MEMBERSHIP, bytes([239, 1, 2, 3, 10, 0, 0, 2]))
    members[1].close()
    assert tuple(pair.b.dev.mc) == (bytes.fromhex("01005e000001"),)
    a.sendto(b"again", group)
    pair.run()
    assert pair.b.kernel.drop_counts() == {"IP_INVALID_DEST": 1}


def test_a_device_that_a_socket_is_bound_to_is_the_only_one_it_receives_from():
    ours = Ours()
    addr_add(ours.host.net.loopback_dev, "10.9.9.9/32")
    sock = ours.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_BINDTODEVICE, b"eth0")
    sock.bind(("", 9000))
    sock.setblocking(False)
    sender(ours).sendto(b"x", HERE)
    assert result(sock.recv, 10) == EAGAIN
    assert ours.host.mib["Udp:NoPorts"] == 1

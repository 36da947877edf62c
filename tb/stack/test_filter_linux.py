"""Classic BPF: the same programs on the same packets, here and in a real Linux kernel."""

import os
import random
import socket as real
import struct
from errno import EINVAL

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.filter_check import SKF_AD_OFF, Ancillary, SockFilter, sock_filters_octets
from hardwire.tb.stack.bpf import attach, random_frame, random_program
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.test_filter import FRAME, INVALID, RESULTS, VALID

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))


@pytest.fixture(scope="module")
def theirs():
    with LinuxPeer(f"hw-bpf-{os.getpid()}") as peer:
        yield peer


def make(theirs: LinuxPeer, ours: PairHost, *kind: int):
    """Return a socket of each."""
    sockets = theirs.inside(lambda: real.socket(*kind)), ours.net.socket(*kind)
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def heard(sock) -> int | None:
    """Return how many octets of a packet a filter let pass; None: it did not come."""
    try:
        return len(sock.recv(65536))
    except BlockingIOError:
        return None


def error_of(function, *args) -> int | None:
    """Return the errno of a call that fails."""
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return None


def assert_same_filters(theirs: LinuxPeer, ours: PairHost, sockets, count: int, make_frame, wrong: float) -> None:
    """Check that both take the same programs, and that these let the same pass."""
    rng = random.Random(SEED)
    print(f"HARDWIRE_SEED={SEED}")
    there, here = sockets
    seen = {"refused": 0, "passed": 0, "stopped": 0}
    with there, here:
        for _ in range(count):
            program = random_program(rng, wrong)
            error = error_of(attach, there, program)
            octets = sock_filters_octets(program)
            assert error_of(here.setsockopt, api.SOL_SOCKET, api.SO_ATTACH_FILTER, octets) == error, program
            if error:
                seen["refused"] += 1
                continue
            for _ in range(3):
                frame = make_frame(rng)
                theirs.receive(frame)
                ours.receive(frame)
                length = heard(there)
                assert heard(here) == length, (program, frame)
                seen["stopped" if length is None else "passed"] += 1
        theirs.frames(0)
    ours.platform.advance(10_000_000_000)
    assert len(ours.platform.buffers) == 0
    print(seen)
    assert min(seen.values()) > count // 50


@pytest.mark.parametrize("name", [*INVALID, *VALID])
def test_valid_and_invalid_programs_are_told_apart_as_there(theirs, name):
    sock = theirs.inside(lambda: real.socket(api.AF_PACKET, api.SOCK_RAW, 0))
    program = [SockFilter(*one) for one in (INVALID | VALID)[name]]
    assert error_of(attach, sock, program) == (EINVAL if name in INVALID else None)
    sock.close()


@pytest.mark.parametrize("name", RESULTS)
def test_each_instruction_computes_what_it_does_there(theirs, name):
    """The results that ``test_filter`` has, asked of the kernel: as far as they show in a packet's length."""
    program, expected = RESULTS[name]
    if name in ("number of the device", "processor"):
        pytest.skip("it is another one there")
    # Return 20 if the result is right, else nothing.
    tail = [(0x15, 0, 1, expected), (0x06, 0, 0, 20), (0x06, 0, 0, 0)] if expected is not None else [(0x06, 0, 0, 20)]
    with theirs.inside(lambda: real.socket(api.AF_PACKET, api.SOCK_RAW, real.htons(3))) as sock:
        sock.setblocking(False)
        attach(sock, [SockFilter(*one) for one in [*program, *tail]])
        theirs.receive(FRAME)
        assert heard(sock) == (20 if expected is not None else None)


@pytest.mark.parametrize("fragment", [0, 16])
@pytest.mark.parametrize("protocol", [6, 17, 200])
def test_the_payload_starts_where_it_does_there_if_the_header_is_cut_short(theirs, protocol, fragment):
    """The IP header says that it has 60 octets, of which 36 are there."""
    ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    header = struct.pack("!BBHHHBBH4s4s", 0x4F, 0, 60, 1, fragment, 64, protocol, 0, bytes(4), bytes(4))
    frame = b"\xff" * 6 + PEER_MAC + b"\x08\0" + header + bytes(16)
    program = [
        SockFilter(0x20, 0, 0, SKF_AD_OFF + Ancillary.PAY_OFFSET),
        SockFilter(0x14, 0, 0, 20),
        SockFilter(0x16, 0, 0, 0),
    ]
    there, here = make(theirs, ours, api.AF_PACKET, api.SOCK_RAW, real.htons(3))
    with there, here:
        attach(there, program)
        here.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, sock_filters_octets(program))
        theirs.receive(frame)
        ours.receive(frame)
        assert heard(here) == heard(there) == (38 if protocol == 17 and not fragment else 30)


@pytest.mark.parametrize("kind", [api.SOCK_RAW, api.SOCK_DGRAM])
def test_packet_sockets_receive_the_same(theirs, kind):
    ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    sockets = make(theirs, ours, api.AF_PACKET, kind, real.htons(3))
    for sock in sockets:
        sock.setsockopt(api.SOL_PACKET, api.PACKET_IGNORE_OUTGOING, 1)
        sock.bind(("eth0", 0))
    assert_same_filters(theirs, ours, sockets, 3000, lambda rng: random_frame(rng, MY_MAC), 0.02)


def test_udp_sockets_receive_the_same(theirs):
    """Their filters see the datagram with its header, and leave at least that."""
    ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    sockets = make(theirs, ours, api.AF_INET, api.SOCK_DGRAM)
    for sock in sockets:
        sock.bind(("10.0.0.2", 9000))
    assert_same_filters(
        theirs, ours, sockets, 1000, lambda rng: ip(udp(9000, rng.randbytes(rng.randrange(60)))), wrong=0.01
    )


def test_raw_sockets_receive_the_same(theirs):
    """Their filters see the packet with its header."""
    ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    sockets = make(theirs, ours, api.AF_INET, api.SOCK_RAW, 200)
    assert_same_filters(theirs, ours, sockets, 1000, lambda rng: ip(rng.randbytes(rng.randrange(60)), 200), wrong=0.01)

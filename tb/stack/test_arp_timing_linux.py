"""When questions of ARP come, and when they end: the times of a real Linux kernel, within 5 %."""

import os
import select
import socket as real
import time
from errno import EHOSTUNREACH

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.inet_host import error_of
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import make_ours

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

NOBODY = ("10.0.0.40", 9000)
TOLERANCE = 0.05


def is_arp(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x06"


def theirs() -> tuple[list[tuple[float, bytes]], float, list]:
    """Send to nobody; return the questions, each with its time in s, the time of the error, and the error."""
    with LinuxPeer(f"hardwire-at{os.getpid()}") as peer:
        peer.frames()
        sock = peer.inside(lambda: real.socket(real.AF_INET, real.SOCK_DGRAM))
        with sock:
            sock.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)
            start = time.monotonic()
            for number in range(3):
                sock.sendto(bytes((number,)), NOBODY)
            questions = []
            while True:
                ready, _, _ = select.select([peer.fd, sock.fileno()], [], [], 6)
                now = time.monotonic() - start
                if peer.fd in ready:
                    frame = os.read(peer.fd, 65536)
                    if is_arp(frame):
                        questions.append((now, frame))
                elif sock.fileno() in ready:
                    return questions, now, [error_of(sock) for _ in range(3)]
                else:
                    raise TimeoutError("no error came")


def ours() -> tuple[list[tuple[float, bytes]], float, list]:
    host = make_ours()
    sock = host.socket()
    sock.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)
    for number in range(3):
        sock.sendto(bytes((number,)), NOBODY)
    questions = []
    while True:
        questions += [(host.platform.now_ns() / 1e9, frame) for frame in host.dev.sent if is_arp(frame)]
        host.dev.sent.clear()
        if sock.poll(api.POLLERR, 0.001):
            return questions, host.platform.now_ns() / 1e9, [error_of(sock) for _ in range(3)]


def test_questions_come_each_second_and_end_with_an_error_after_three():
    want, want_end, want_error = theirs()
    got, got_end, got_error = ours()
    assert [frame for _, frame in got] == [frame for _, frame in want]
    assert len(got) == 3
    for (mine, _), (real_time, _) in zip(got, want, strict=True):
        assert mine == pytest.approx(real_time, rel=TOLERANCE, abs=TOLERANCE)
    assert got_end == pytest.approx(want_end, rel=TOLERANCE)
    assert got_error == want_error
    assert {errno for errno, *_ in got_error} == {EHOSTUNREACH}

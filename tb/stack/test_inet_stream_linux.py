"""Stream sockets: programs of calls have the answers of TCP's sockets on a real Linux kernel."""

import os
import select as real_select
import socket as real
import time
from ctypes import CDLL, get_errno
from struct import pack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.stack import socket as api
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.mem_stream import MemStream
from hardwire.tb.stack.programs import make_ours, set_up

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

# Where somebody listens, nobody does, nobody answers, and where there is no route.
SERVER, CLOSED, SILENT, NOWHERE = ("127.0.0.1", 9000), ("127.0.0.1", 9001), ("10.0.0.1", 9000), ("198.51.100.1", 1)
EVENTS = api.POLLIN | api.POLLOUT | api.POLLRDHUP
SOL = api.SOL_SOCKET
Step = tuple[Any, ...]


class Ours:
    """Programs on our stack; what was sent has arrived before the next step."""

    def __init__(self) -> None:
        self.host = make_ours()
        MemStream(self.host.net)

    def socket(self, kind: int):
        return self.host.net.socket(api.AF_INET, kind)

    def disconnect(self, sock) -> None:
        sock.connect(bytes(16))

    def poll(self, sock) -> int:
        return sock.poll(EVENTS, 0)

    def pass_time(self) -> None:
        self.host.platform.advance(10 * MS)


class Theirs:
    """Programs on the real kernel, with a pause between steps for softirqs that are late."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s

    def socket(self, kind: int):
        return real.socket(real.AF_INET, kind)

    def disconnect(self, sock) -> None:
        libc = CDLL(None, use_errno=True)
        if libc.connect(sock.fileno(), bytes(16), 16):
            raise OSError(get_errno(), "connect")

    def poll(self, sock) -> int:
        poll = real_select.poll()
        poll.register(sock, EVENTS)
        return dict(poll.poll(0)).get(sock.fileno(), 0)

    def pass_time(self) -> None:
        time.sleep(self.pause_s)


def run(world: Ours | Theirs, steps: list[Step]) -> list[object]:
    """Make each step, a socket's name with a method and arguments; return what each returned, or its errno."""
    socks: dict[str, Any] = {}
    said: list[object] = []
    try:
        for name, method, *args in steps:
            try:
                said.append(make_step(world, socks, name, method, args))
            except OSError as error:
                said.append(error.errno)
            world.pass_time()
    finally:
        for sock in socks.values():
            sock.close()
    return said


def make_step(world: Ours | Theirs, socks: dict[str, Any], name: str, method: str, args: list[Any]) -> object:
    """Make a step, and return what it returned."""
    if method in ("socket", "datagram"):
        socks[name] = world.socket(api.SOCK_STREAM if method == "socket" else api.SOCK_DGRAM)
        socks[name].setblocking(not args)
        return None
    sock = socks.get(name)
    if sock is None:
        return "no socket"
    if method == "accept":
        child, (address, _) = sock.accept()
        child.setblocking(False)
        if args[0] in socks:
            socks[args[0]].close()
        socks[args[0]] = child
        return address
    if method == "close":
        return socks.pop(name).close()
    if method in ("disconnect", "poll"):
        return getattr(world, method)(sock)
    result = getattr(sock, method)(*args)
    if method in ("getsockname", "getpeername"):
        address, port = result
        return address, port if port in (9000, 9001) else None  # The old one stays to be seen on Linux.
    return result


@pytest.fixture(scope="module")
def peer():
    with LinuxPeer(f"hwstream{os.getpid()}") as peer:
        set_up(peer)
        yield peer


def assert_same(peer: LinuxPeer, steps: list[Step]) -> None:
    ours = run(Ours(), steps)
    for pause_s in (0.0005, 0.05):
        theirs = peer.inside(lambda pause_s=pause_s: run(Theirs(pause_s), steps))
        if ours == theirs:
            return
    assert list(zip(steps, ours, strict=True)) == list(zip(steps, theirs, strict=True))


LISTENS = [("s", "socket"), ("s", "bind", SERVER), ("s", "listen", 5)]
CONNECTED = [*LISTENS, ("c", "socket"), ("c", "connect", SERVER), ("s", "accept", "a")]
NAMES = [("c", "getsockname"), ("c", "getpeername"), ("a", "getsockname"), ("a", "getpeername")]
ERROR = ("getsockopt", SOL, api.SO_ERROR)
SHORT = pack("=qq", 0, 20_000)  # A struct timeval: 20 ms.

PROGRAMS: dict[str, list[Step]] = {
    "a datagram socket connected to port 0": [
        ("u", "datagram"),
        ("u", "connect", ("10.0.0.1", 0)),
        ("u", "getpeername"),
    ],
    "a conversation": [
        *CONNECTED,
        *NAMES,
        ("c", "send", b"hello"),
        ("a", "recv", 3),
        ("a", "recv", 100),
        ("a", "recv", 100),
        ("a", "send", b"answer"),
        ("c", "recv", 100),
        ("a", "close"),
        ("c", "recv", 100),
        ("c", "send", b"x"),
        ("c", "send", b"x"),
        ("c", "send", b"x"),
    ],
    "new": [
        ("c", "socket"),
        *((("c", method, *args)) for method, *args in (("getsockname",), ("getpeername",), ("poll",))),
        ("c", "recv", 1),
        ("c", "send", b"x"),
        ("c", "accept", "a"),
        ("c", "shutdown", 3),
        ("c", "shutdown", -1),
        ("c", "shutdown", 2),
        ("c", "recv", 1),
        ("c", "poll"),
        ("c", "disconnect"),
        ("c", "poll"),
        ("c", "listen", 1),
        ("c", "getsockopt", SOL, api.SO_ACCEPTCONN),
    ],
    "listening": [
        *LISTENS,
        ("s", "listen", 9),
        ("s", "getsockopt", SOL, api.SO_ACCEPTCONN),
        ("s", "connect", SERVER),
        ("s", "bind", CLOSED),
        ("s", "recv", 1),
        ("s", "send", b"x"),
        ("s", "getpeername"),
        ("s", "poll"),
        ("s", "shutdown", 1),
        ("s", "getsockopt", SOL, api.SO_ACCEPTCONN),
        ("s", "shutdown", 0),
        ("s", "getsockopt", SOL, api.SO_ACCEPTCONN),
        ("s", "accept", "a"),
        ("s", "getsockname"),
        ("s", "listen", 1),
        ("s", "disconnect"),
        ("s", "getsockopt", SOL, api.SO_ACCEPTCONN),
        ("s", "connect", CLOSED),
    ],
    "connect twice": [*CONNECTED, ("c", "connect", SERVER), ("c", "listen", 1), ("a", "connect", SERVER)],
    "connect without waiting": [
        *LISTENS,
        ("c", "socket", "nonblocking"),
        ("c", "connect", SERVER),
        ("c", "poll"),
        ("c", *ERROR),
        ("c", "listen", 1),
        ("c", "connect", SERVER),
        ("c", "connect", SERVER),
    ],
    "connected without waiting, and shut down": [
        *LISTENS,
        ("c", "socket", "nonblocking"),
        ("c", "connect", SERVER),
        ("c", "shutdown", 1),
        ("c", "connect", SERVER),
        ("c", "listen", 1),
    ],
    "refused": [
        ("c", "socket"),
        ("c", "connect", CLOSED),
        ("c", *ERROR),
        ("c", "getsockname"),
        ("c", "getpeername"),
        ("c", "connect", CLOSED),
    ],
    "refused without waiting": [
        ("c", "socket", "nonblocking"),
        ("c", "connect", CLOSED),
        ("c", "poll"),
        ("c", *ERROR),
        ("c", "connect", CLOSED),
        ("c", "connect", CLOSED),
        ("c", "connect", CLOSED),
    ],
    "refused, asked by send": [
        ("c", "socket", "nonblocking"),
        ("c", "connect", CLOSED),
        ("c", "send", b"x"),
        ("c", "send", b"x"),
        ("c", "connect", CLOSED),
    ],
    "refused, and shut down": [
        ("c", "socket", "nonblocking"),
        ("c", "connect", CLOSED),
        ("c", "shutdown", 2),
        ("c", "connect", CLOSED),
        ("c", "listen", 1),
        ("c", "disconnect"),
        ("c", "connect", CLOSED),
    ],
    "no route": [("c", "socket"), ("c", "connect", NOWHERE), ("c", "connect", NOWHERE), ("c", *ERROR)],
    "nobody answers": [
        ("c", "socket", "nonblocking"),
        ("c", "connect", SILENT),
        ("c", "connect", SILENT),
        ("c", "poll"),
        ("c", "getpeername"),
        ("c", "getsockname"),
        ("c", "send", b"x"),
        ("c", "recv", 1),
        ("c", "listen", 1),
        ("c", "bind", SERVER),
        ("c", "shutdown", 2),
        ("c", *ERROR),
        ("c", "getsockname"),
        ("c", "connect", SILENT),
        ("c", "disconnect"),
        ("c", *ERROR),
        ("c", "connect", CLOSED),
    ],
    "nobody answers in time": [
        ("c", "socket"),
        ("c", "setsockopt", SOL, api.SO_SNDTIMEO, SHORT),
        ("c", "connect", SILENT),
        ("c", "connect", SILENT),
        ("c", "send", b"x"),
    ],
    "nobody connects in time": [*LISTENS, ("s", "setsockopt", SOL, api.SO_RCVTIMEO, SHORT), ("s", "accept", "a")],
    "nobody connects now": [*LISTENS, ("s", "setblocking", False), ("s", "accept", "a")],
    "nothing comes in time": [*CONNECTED, ("c", "setsockopt", SOL, api.SO_RCVTIMEO, SHORT), ("c", "recv", 1)],
    "a full queue": [
        ("s", "socket", "nonblocking"),
        ("s", "bind", SERVER),
        ("s", "listen", 1),
        *(step for name in "cdef" for step in ((name, "socket", "nonblocking"), (name, "connect", SERVER))),
        *((name, "poll") for name in "cdef"),
        ("s", "accept", "1"),
        ("s", "accept", "2"),
        ("s", "accept", "3"),
        ("s", "poll"),
    ],
    "a shorter queue": [
        ("s", "socket", "nonblocking"),
        ("s", "bind", SERVER),
        ("s", "listen", 5),
        ("s", "listen", 0),
        *(step for name in "cde" for step in ((name, "socket", "nonblocking"), (name, "connect", SERVER))),
        *((name, "poll") for name in "cde"),
    ],
    "a port in use": [
        *LISTENS,
        ("c", "socket"),
        ("c", "bind", SERVER),
        ("c", "setsockopt", SOL, api.SO_REUSEADDR, 1),
        ("c", "bind", SERVER),
    ],
    "a port in use by the time it listens": [
        *(
            step
            for name in "cd"
            for step in (
                (name, "socket"),
                (name, "setsockopt", SOL, api.SO_REUSEADDR, 1),
                (name, "bind", SERVER),
            )
        ),
        ("c", "listen", 1),
        ("d", "listen", 1),
        ("d", "getsockname"),
        ("d", "getsockopt", SOL, api.SO_ACCEPTCONN),
        ("c", "close"),
        ("d", "listen", 1),
    ],
    "listen without a port": [("s", "socket"), ("s", "listen", 1), ("s", "getsockname")],
    "half closed": [
        *CONNECTED,
        ("c", "shutdown", 1),
        ("c", "send", b"x"),
        ("c", "getpeername"),
        ("a", "poll"),
        ("a", "recv", 9),
        ("a", "send", b"late"),
        ("c", "recv", 9),
        ("c", "poll"),
        ("a", "shutdown", 1),
        ("a", "poll"),
        ("c", "poll"),
        ("c", "recv", 9),
        ("c", "shutdown", 2),
        ("c", "getpeername"),
        ("c", "connect", SERVER),
        ("a", "shutdown", 2),
        ("a", "connect", SERVER),
        ("c", "disconnect"),
        ("c", "connect", SERVER),
    ],
    "shut down for reading": [
        *CONNECTED,
        ("c", "shutdown", 0),
        ("c", "poll"),
        ("c", "recv", 9),
        ("a", "send", b"x"),
        ("c", "recv", 9),
        ("c", "send", b"y"),
        ("a", "recv", 9),
    ],
    "disconnected": [
        *CONNECTED,
        ("c", "disconnect"),
        *NAMES[:2],
        ("c", *ERROR),
        ("a", "poll"),
        ("a", "send", b"x"),
        ("a", "recv", 9),
        ("a", "recv", 9),
        ("c", "connect", SERVER),
        ("s", "accept", "b"),
        ("c", "send", b"again"),
        ("b", "recv", 9),
    ],
    "reset": [
        *CONNECTED,
        ("c", "send", b"unread"),
        ("a", "close"),
        ("c", "poll"),
        ("c", "recv", 9),
        ("c", "recv", 9),
        ("c", "send", b"x"),
        ("c", "getpeername"),
    ],
    "reset by SO_LINGER": [
        *CONNECTED,
        ("c", "setsockopt", SOL, api.SO_LINGER, pack("=ii", 1, 0)),
        ("c", "close"),
        ("a", *ERROR),
        ("a", "recv", 9),
    ],
    "accepted when it is over": [
        *LISTENS,
        ("c", "socket"),
        ("c", "connect", SERVER),
        ("c", "send", b"bye"),
        ("c", "close"),
        ("s", "poll"),
        ("s", "accept", "a"),
        ("a", "recv", 9),
        ("a", "recv", 9),
    ],
    "accepted after a reset": [
        *LISTENS,
        ("c", "socket"),
        ("c", "connect", SERVER),
        ("c", "disconnect"),
        ("s", "accept", "a"),
        ("a", "getpeername"),
        ("a", "recv", 9),
    ],
    "the listener goes with what waits": [
        *LISTENS,
        ("c", "socket"),
        ("c", "connect", SERVER),
        ("s", "close"),
        ("c", *ERROR),
    ],
}


@pytest.mark.parametrize("steps", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_has_the_answers_of_linux_s_tcp(peer, steps):
    assert_same(peer, steps)


CALLS = st.one_of(
    st.tuples(st.sampled_from("cd"), st.just("connect"), st.sampled_from([SERVER, SERVER, CLOSED, SILENT, NOWHERE])),
    st.tuples(st.just("s"), st.just("accept"), st.sampled_from("ab")),
    st.tuples(st.sampled_from("scdab"), st.sampled_from(["poll", "getpeername", "disconnect", "close"])),
    st.tuples(st.sampled_from("cdab"), st.just("send"), st.just(b"xyz")),
    st.tuples(st.sampled_from("scdab"), st.just("recv"), st.sampled_from([1, 100])),
    st.tuples(st.sampled_from("scdab"), st.just("shutdown"), st.sampled_from([0, 1, 2, 3])),
    st.tuples(st.sampled_from("scda"), st.just("listen"), st.sampled_from([0, 1, 5])),
    st.tuples(st.sampled_from("scda"), st.just("getsockopt"), st.just(SOL), st.sampled_from([api.SO_ERROR, 30])),
)
BEGIN = [
    ("s", "socket", "nonblocking"),
    ("s", "setsockopt", SOL, api.SO_REUSEADDR, 1),
    ("s", "bind", SERVER),
    ("s", "listen", 5),
    ("c", "socket", "nonblocking"),
    ("d", "socket", "nonblocking"),
    ("c", "connect", SERVER),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(CALLS, max_size=30))
def test_a_random_program_has_the_answers_of_linux_s_tcp(peer, steps):
    assert_same(peer, [*BEGIN, *steps])

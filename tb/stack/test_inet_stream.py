"""Stream sockets: what connect, listen, accept, shutdown and the rest answer, as sockets of TCP on a real Linux do."""

import os
import select as real_select
import socket as real
import time
from ctypes import CDLL, get_errno
from errno import (
    EAGAIN,
    EALREADY,
    EBADF,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EOPNOTSUPP,
    EPIPE,
    ESOCKTNOSUPPORT,
    ETIMEDOUT,
)
from struct import pack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.sim.trace import Tracer
from hardwire.stack import socket as api
from hardwire.stack import socketcall as sc
from hardwire.stack.core.sock import lock_sock_nested, release_sock, sock_def_wakeup
from hardwire.stack.core.tcp_states import (
    TCP_CLOSE,
    TCP_CLOSING,
    TCP_ESTABLISHED,
    TCP_LISTEN,
    TCP_SYN_RECV,
    TCP_SYN_SENT,
)
from hardwire.stack.ipv4.af_inet_stream import inet_stream_ops
from hardwire.stack.ipv4.inet_connection_sock import SocketState, inet_sk_set_state
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.inet_host import MS, SECOND, raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.mem_stream import MemStream
from hardwire.tb.stack.programs import make_ours, set_up

linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

# Where somebody listens, nobody does, nobody answers, and where there is no route.
SERVER, CLOSED, SILENT, NOWHERE = ("127.0.0.1", 9000), ("127.0.0.1", 9001), ("10.0.0.1", 9000), ("198.51.100.1", 1)
EVENTS = api.POLLIN | api.POLLOUT | api.POLLRDHUP
SOL = api.SOL_SOCKET
Step = tuple[Any, ...]


@pytest.fixture
def host():
    """Return a host with a stream protocol."""
    host = make_ours()
    host.stream = MemStream(host.net)
    return host


def make(host):
    return host.net.socket(api.AF_INET, api.SOCK_STREAM)


@pytest.fixture
def server(host):
    """Return a socket that listens."""
    sock = make(host)
    sock.bind(SERVER)
    sock.listen(5)
    return sock


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


@linux
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


@linux
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(CALLS, max_size=30))
def test_a_random_program_has_the_answers_of_linux_s_tcp(peer, steps):
    assert_same(peer, [*BEGIN, *steps])


def after(host, ms: int, function) -> None:
    """Let another task do something, so many ms from now."""
    host.platform.timer(host.platform.now_ns() + ms * MS, function)


def test_without_a_stream_protocol_there_are_no_stream_sockets():
    with raises(ESOCKTNOSUPPORT):
        make(make_ours())


def test_accept_waits_for_a_connection_and_returns_it_with_its_peer_s_address(host, server):
    client = make(host)
    client.setblocking(False)

    def connect() -> None:
        with raises(EINPROGRESS):
            client.connect(SERVER)

    after(host, 5, connect)
    child, address = server.accept()
    assert host.platform.now_ns() >= 5 * MS
    assert address == client.getsockname() == child.getpeername()
    assert (child.gettimeout(), child.type, child.getsockname()) == (None, api.SOCK_STREAM, SERVER)
    assert server.sk.sk_sleepers == 0


def test_the_new_socket_waits_or_not_as_the_call_says_whatever_the_listener_does(host, server):
    server.setblocking(False)
    for flags, nonblock in ((0, False), (api.SOCK_NONBLOCK, True), (api.SOCK_CLOEXEC, False)):
        make(host).connect(SERVER)
        child, _ = server.accept(flags)
        assert child.nonblock == nonblock
    with raises(EINVAL):
        server.accept(1)


def test_a_task_that_waits_is_told_when_another_one_shuts_the_socket_down(host, server):
    client = make(host)
    client.connect(SERVER)
    after(host, 5, lambda: client.shutdown(api.SHUT_RD))
    assert client.recv(1) == b""
    assert host.platform.now_ns() >= 5 * MS


def test_a_send_does_not_bind_a_stream_socket(host):
    sock = make(host)
    with raises(EPIPE):
        sock.send(b"x")
    assert sock.getsockname() == ("0.0.0.0", 0)


def test_connections_are_accepted_in_their_order(host, server):
    clients = [make(host) for _ in range(3)]
    for client in clients:
        client.connect(SERVER)
    assert [server.accept()[1] for _ in clients] == [client.getsockname() for client in clients]


def test_a_task_that_waits_to_accept_is_told_when_the_listener_gives_up(host, server):
    after(host, 5, lambda: server.shutdown(api.SHUT_RD))
    with raises(EINVAL):
        server.accept()
    assert host.platform.now_ns() >= 5 * MS


def test_a_listener_that_is_closed_while_a_task_accepts_is_released_after_that(host, server):
    client = make(host)
    client.setblocking(False)

    def close() -> None:
        server.close()
        assert server.sk.sk_state == TCP_LISTEN
        with raises(EINPROGRESS):
            client.connect(SERVER)

    after(host, 5, close)
    child, _ = server.accept()
    assert child.getpeername() == client.getsockname()
    assert server.sk.sk_state == TCP_CLOSE
    with raises(EBADF):
        server.accept()


@pytest.mark.parametrize("seconds", [0.02, 3])
def test_a_time_limit_is_a_timeout_for_python_s_programs(host, server, seconds):
    client = make(host)
    client.settimeout(seconds)
    start = host.platform.now_ns()
    with pytest.raises(TimeoutError):
        client.connect(SILENT)
    assert host.platform.now_ns() - start == seconds * SECOND
    with raises(EALREADY):
        client.connect(SILENT)
    server.settimeout(seconds)
    start = host.platform.now_ns()
    with pytest.raises(TimeoutError):
        server.accept()
    assert host.platform.now_ns() - start == seconds * SECOND


def test_connect_ends_when_time_is_up_though_it_is_woken_before(host):
    client = make(host)
    client.settimeout(1)
    for ms in (100, 200, 300):
        after(host, ms, lambda: sock_def_wakeup(client.sk))
    with pytest.raises(TimeoutError):
        client.connect(SILENT)
    assert host.platform.now_ns() == SECOND


def test_connect_waits_in_syn_recv_too_and_tells_of_an_end_that_nobody_explains(host):
    client = make(host)
    after(host, 5, lambda: inet_sk_set_state(client.sk, TCP_SYN_RECV))

    def end() -> None:
        inet_sk_set_state(client.sk, TCP_CLOSE)
        sock_def_wakeup(client.sk)

    after(host, 9, end)
    with raises(ECONNABORTED):
        client.connect(SILENT)
    assert host.platform.now_ns() >= 9 * MS
    assert client.sk.socket_state == SocketState.SS_UNCONNECTED


def test_connect_tells_why_the_connection_came_to_its_end(host):
    client = make(host)

    def give_up() -> None:
        client.sk.sk_err = ETIMEDOUT
        inet_sk_set_state(client.sk, TCP_CLOSE)
        sock_def_wakeup(client.sk)

    after(host, 5, give_up)
    with raises(ETIMEDOUT):
        client.connect(SILENT)
    assert client.getsockopt(SOL, api.SO_ERROR) == 0
    assert client.sk.inet_dport == 0


def test_a_second_task_waits_for_the_same_connection_and_both_are_told(host, server):
    client = make(host)
    client.setblocking(False)
    with raises(EINPROGRESS):
        client.connect(SERVER)
    client.setblocking(True)
    client.connect(SERVER)
    assert client.getpeername() == SERVER


def test_the_lock_is_free_while_connect_waits_and_held_while_the_protocol_works(host, server):
    client = make(host)
    seen = []
    after(host, 0, lambda: seen.append(client.sk.sk_owned))
    client.connect(SERVER)
    assert seen == [False]
    assert not client.sk.sk_owned
    lock_sock_nested(client.sk)  # An answer that comes now waits until the lock is given back.
    peer, _ = server.accept()
    peer.send(b"later")
    host.platform.advance(MS)
    assert not client.sk.rx
    release_sock(client.sk)
    assert client.recv(9) == b"later"


@pytest.mark.parametrize(("backlog", "kept"), [(0, 0), (1, 1), (4096, 4096), (4097, 4096), (-1, 4096)])
def test_a_backlog_is_bounded_by_somaxconn(host, backlog, kept):
    sock = make(host)
    sc.sys_socketcall(host.net, sc.SYS_LISTEN, (sock.fileno(), backlog))
    assert sock.sk.sk_max_ack_backlog == kept


def test_a_negative_backlog_is_0_for_python(host):
    sock = make(host)
    sock.listen(-1)
    assert sock.sk.sk_max_ack_backlog == 0
    sock.listen()
    assert sock.sk.sk_max_ack_backlog == 128


def test_a_send_waits_for_room_and_poll_says_when_there_is_some():
    host = make_ours()
    MemStream(host.net, window=1000)
    server, client = make(host), make(host)
    server.bind(SERVER)
    server.listen()
    client.connect(SERVER)
    child, _ = server.accept()
    assert client.send(bytes(1500)) == 1000
    host.platform.advance(MS)
    assert client.poll(EVENTS, 0) == 0
    with raises(EAGAIN):
        client.send(b"x", api.MSG_DONTWAIT)
    after(host, 5, lambda: child.recv(400))
    assert client.send(bytes(500)) == 400
    assert host.platform.now_ns() >= 5 * MS
    after(host, 5, lambda: child.recv(10))
    host.platform.advance()
    assert client.poll(api.POLLOUT, 1) == api.POLLOUT


def test_a_conversation_by_numbers_alone(host):
    def call(number: int, *args):
        return sc.sys_socketcall(host.net, number, args)

    server, client = (call(sc.SYS_SOCKET, api.AF_INET, api.SOCK_STREAM, 0) for _ in range(2))
    call(sc.SYS_BIND, server, SERVER)
    assert call(sc.SYS_LISTEN, server, 1) is None
    call(sc.SYS_CONNECT, client, SERVER)
    child, address = call(sc.SYS_ACCEPT, server)
    assert address == call(sc.SYS_GETSOCKNAME, client)
    assert call(sc.SYS_SEND, client, b"one", 0) == 3
    assert call(sc.SYS_RECV, child, 100) == b"one"
    call(sc.SYS_CONNECT, call(sc.SYS_SOCKET, api.AF_INET, api.SOCK_STREAM, 0), SERVER)
    quick, _ = call(sc.SYS_ACCEPT4, server, api.SOCK_NONBLOCK)
    with raises(EAGAIN):
        call(sc.SYS_RECV, quick, 1)
    call(sc.SYS_SHUTDOWN, client, api.SHUT_WR)
    assert call(sc.SYS_RECV, child, 1) == b""


def test_datagram_sockets_do_not_listen(host):
    sock = host.net.socket()
    for function in (sock.listen, sock.accept):
        with raises(EOPNOTSUPP):
            function()


@linux
def test_a_datagram_socket_connected_to_port_0_has_no_peer_to_show(peer):
    steps = [("u", "datagram"), ("u", "connect", ("10.0.0.1", 0)), ("u", "getpeername")]
    assert_same(peer, steps)


def test_the_order_of_calls_is_that_of_06b(host, server):
    make(host).connect(SERVER)
    with Tracer(lambda: 0) as tracer:
        server.accept()
    calls = [call for root in tracer.roots for _, call in root.walk() if call.name == "__x64_sys_accept4"]
    compare(read_golden("06b")["accept()"], calls, Rules.read("rules", "stream"))


def test_the_table_of_streams_is_that_of_their_sockets(host):
    assert make(host).ops is inet_stream_ops


@pytest.mark.parametrize(
    ("state", "connected"),
    [(state, state not in (TCP_SYN_SENT, TCP_CLOSE, TCP_LISTEN)) for state in range(TCP_ESTABLISHED, TCP_CLOSING + 1)],
)
def test_a_socket_is_connected_in_the_states_that_have_a_peer(host, state, connected):
    sk = make(host).sk
    assert not sk.connected
    inet_sk_set_state(sk, state)
    assert (sk.sk_state, sk.connected) == (state, connected)

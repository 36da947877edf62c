"""Stream sockets: waiting, waking and the calls of programs, over a stream protocol in memory."""

from errno import (
    EAGAIN,
    EALREADY,
    EBADF,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EOPNOTSUPP,
    EPIPE,
    ETIMEDOUT,
)

import pytest

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
from hardwire.tb.stack.mem_stream import MemStream
from hardwire.tb.stack.programs import make_ours

# Where somebody listens, and where nobody answers.
SERVER, SILENT = ("127.0.0.1", 9000), ("10.0.0.1", 9000)
EVENTS = api.POLLIN | api.POLLOUT | api.POLLRDHUP
SOL = api.SOL_SOCKET


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


def after(host, ms: int, function) -> None:
    """Let another task do something, so many ms from now."""
    host.platform.timer(host.platform.now_ns() + ms * MS, function)


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

"""select() and poll() over several sockets: as Python's own over real ones."""

import select as real_select
import socket as real
from contextlib import suppress
from functools import partial

import pytest

from hardwire.stack import select as ours_select
from hardwire.stack import socket as api
from hardwire.stack.socket import Socket
from hardwire.tb.stack.inet_host import InetHost
from hardwire.tb.stack.pair import Pair

MS = 1_000_000
NONE = 61  # Nobody's descriptor; one beyond the process's table would not be looked at.


class Theirs:
    """Real sockets."""

    def __init__(self) -> None:
        self.socket = real.socket
        self.select = real_select.select
        self.poll = real_select.poll


class Ours:
    """Sockets of a host of ours."""

    def __init__(self) -> None:
        host = InetHost()
        self.socket = host.net.socket
        self.select = lambda *args: ours_select.select(host.kernel, *args)
        self.poll = lambda: ours_select.poll(host.kernel)
        self.advance = host.platform.advance


def outcome(function, *args):
    try:
        return function(*args)
    except (OSError, ValueError, KeyError) as error:
        return type(error), getattr(error, "errno", None)


def program(side: Theirs | Ours) -> list[object]:
    """Do things with three sockets of the loopback device; return what select and poll say of them."""
    said: list[object] = []
    a, b, c = socks = [side.socket(api.AF_INET, api.SOCK_DGRAM) for _ in range(3)]
    names = {sock.fileno(): name for name, sock in zip("abc", socks, strict=True)}

    def tell(found) -> None:
        if isinstance(found, tuple) and len(found) == 3:
            said.append([sorted(names[s if isinstance(s, int) else s.fileno()] for s in part) for part in found])
        elif isinstance(found, list):
            said.append([(names.get(fd), events) for fd, events in found])
        else:
            said.append(found)

    def settle() -> None:
        if isinstance(side, Ours):
            side.advance(MS)

    for sock in (a, b):
        sock.bind(("127.0.0.1", 0))
    tell(side.select(socks, [], [], 0))
    tell(side.select(socks, socks, socks, 0))
    c.sendto(b"x", a.getsockname())
    settle()
    tell(side.select(socks, [], [], 0))
    tell(side.select([a.fileno(), b.fileno(), a], [c.fileno()], [], None))
    poller = side.poll()
    for sock in socks:
        poller.register(sock, api.POLLIN)
    tell(poller.poll(0))
    poller.modify(b, api.POLLOUT)
    poller.register(c.fileno())
    tell(poller.poll(0))
    tell(poller.poll())
    c.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)
    c.connect(("127.0.0.1", 9))  # Nobody listens there.
    c.send(b"x")
    settle()
    tell(poller.poll(0))
    tell(side.select(socks, socks, socks, 0))
    c.setsockopt(api.SOL_SOCKET, api.SO_SELECT_ERR_QUEUE, 1)
    tell(poller.poll(0))
    tell(side.select([], [], socks, 0))
    b.connect(c.getsockname())
    b.shutdown(api.SHUT_RD)
    tell(side.select(socks, [], [], 0))
    b.shutdown(api.SHUT_WR)
    poller.modify(b, 0)
    tell(poller.poll(0))
    tell(outcome(side.select, [], [], [], -1))
    tell(outcome(side.select, [NONE], [], [], 0))
    tell(outcome(poller.modify, NONE, 1))
    tell(outcome(poller.unregister, NONE))
    poller.register(NONE, api.POLLIN)
    tell(poller.poll(0))
    poller.unregister(a)
    poller.unregister(NONE)
    tell(poller.poll(0))
    fd = b.fileno()
    b.close()
    tell(outcome(side.select, [b], [], [], 0))
    tell(outcome(side.select, [fd], [], [], 0))
    tell(poller.poll(0))
    for sock in socks:
        sock.close()
    return said


def test_a_program_is_told_what_python_s_own_select_tells():
    assert program(Ours()) == program(Theirs())


@pytest.fixture
def pair():
    return Pair()


def test_a_task_waits_for_whichever_socket_is_first(pair):
    kernel = pair.b.kernel
    first, second = pair.b.socket(), pair.b.socket()
    first.bind(("10.0.0.2", 1))
    second.bind(("10.0.0.2", 2))
    sender = pair.a.socket()

    def send(port: int) -> None:
        sender.sendto(b"x", ("10.0.0.2", port))

    pair.platform.timer(pair.platform.now_ns() + 5 * MS, partial(send, 2))
    pair.platform.timer(pair.platform.now_ns() + 7 * MS, partial(send, 1))
    start = pair.platform.now_ns()
    assert ours_select.select(kernel, [first, second], [], []) == ([second], [], [])
    assert 5 * MS <= pair.platform.now_ns() - start < 6 * MS
    second.recv(1)
    assert ours_select.select(kernel, [first, second], [], [], 10) == ([first], [], [])
    assert 7 * MS <= pair.platform.now_ns() - start < 8 * MS
    first.recv(1)
    poller = ours_select.poll(kernel)
    poller.register(first, api.POLLIN)
    start = pair.platform.now_ns()
    assert poller.poll(250) == []
    assert pair.platform.now_ns() - start == 250 * MS
    assert ours_select.select(kernel, [first, second], [], [], 0.5) == ([], [], [])
    assert pair.platform.now_ns() - start == 750 * MS
    assert (first.sk.sk_sleepers, first.sk.sk_wq.pollers) == (0, ())


def test_a_task_waits_for_room_to_send(pair):
    sock = pair.a.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_SNDBUF, 1)
    pair.a.dev.tx[0].state |= 1  # Stopped by its driver.
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sock.sendto(bytes(1000), ("10.0.0.2", 9))

    def go_on() -> None:
        from hardwire.stack.core.dev_queue import netif_tx_wake_queue
        from hardwire.stack.core.softirq import run_in_irq

        run_in_irq(pair.a.kernel, lambda: netif_tx_wake_queue(pair.a.dev.tx[0]))

    pair.platform.timer(pair.platform.now_ns() + 3 * MS, go_on)
    start = pair.platform.now_ns()
    assert ours_select.select(pair.a.kernel, [], [sock], []) == ([], [sock], [])
    assert pair.platform.now_ns() - start >= 3 * MS


# What sockets of Python have and ours have not, each with its reason.
LEFT_OUT = {
    "detach": "a descriptor without its object: of descriptors that other programs inherit",
    "dup": "likewise",
    "get_inheritable": "likewise",
    "set_inheritable": "likewise",
    "makefile": "files of streams",
    "sendfile": "files of the real machine",
    "sendmsg_afalg": "the kernel's ciphers",
}


def test_sockets_have_the_methods_of_python_s_own_but_for_those_left_out_with_a_reason():
    theirs = {name for name in dir(real.socket) if not name.startswith("_")}
    ours = {name for name in (*dir(Socket), *Socket.__slots__) if not name.startswith("_")}
    assert theirs - ours == set(LEFT_OUT)

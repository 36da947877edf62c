"""The small servers, by UDP and TCP, asked by another simulated host."""

from collections.abc import Callable
from errno import ECONNRESET, EPIPE
from os import strerror
from typing import Any

import pytest

from hardwire.sim.lan import Lan
from hardwire.sim.programs import Program, parse_program
from hardwire.sim.servers import chargen_lines
from hardwire.sim.world import World
from hardwire.stack.socket import AF_INET, SHUT_WR, SO_LINGER, SOCK_STREAM, SOL_SOCKET, Socket

THERE = "10.0.0.2"


def asked(text: str, ask: Callable[[Callable[[], Socket]], Any]) -> tuple[Any, Program]:
    """Run a server on one host, and on another what asks it, given a way to connect; return both results."""
    lan = Lan(World(seed=1))
    server = parse_program(text)
    lan.world.spawn(server.run, server, lan.machines[1])
    kind = SOCK_STREAM if text.startswith("tcp") else 0
    port = int(text.split()[1])

    def connect() -> Socket:
        net = lan.machines[0].net
        sock = net.socket(AF_INET, kind) if kind else net.socket()
        sock.connect((THERE, port))
        return sock

    result = lan.world.run(lambda: ask(connect))
    lan.settle(1_000_000_000)
    return result, server


def read_all(sock: Socket) -> bytes:
    octets = b""
    while part := sock.recv(100_000):
        octets += part
    return octets


def test_chargen_lines_are_those_of_the_rfc() -> None:
    lines = chargen_lines(96 * 74).split(b"\r\n")
    assert lines[0] == b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg"
    assert lines[1] == lines[0][1:] + b"h"
    assert lines[94] == b"~" + lines[0][:71]
    assert lines[95] == lines[0]


def test_an_echo_server_sends_back_what_comes_until_its_end_to_several_at_once() -> None:
    def ask(connect: Callable[[], Socket]) -> list[bytes]:
        socks = [connect() for _ in range(3)]
        for number, sock in enumerate(socks):
            sock.send(b"%d" % number * 10_000)
        for sock in socks:
            sock.shutdown(SHUT_WR)
        return [read_all(sock) for sock in socks]

    found, server = asked("tcp-echo 7", ask)
    assert found == [b"%d" % number * 10_000 for number in range(3)]
    assert server.result == {"connections": 3, "octets": 30_000}


def test_a_discard_server_takes_all_and_says_nothing() -> None:
    def ask(connect: Callable[[], Socket]) -> bytes:
        sock = connect()
        sock.send(bytes(50_000))
        sock.shutdown(SHUT_WR)
        return read_all(sock)

    found, server = asked("tcp-discard 9", ask)
    assert found == b""
    assert server.result == {"connections": 1, "octets": 50_000}


def test_a_character_generator_sends_until_it_is_stopped() -> None:
    def ask(connect: Callable[[], Socket]) -> bytes:
        with connect() as sock:
            octets = b""
            while len(octets) < 30_000:
                octets += sock.recv(30_000 - len(octets))
            return octets

    found, server = asked("tcp-chargen 19", ask)
    assert found == chargen_lines(30_000)
    ends = {f"ended: {strerror(number)}" for number in (EPIPE, ECONNRESET)}
    assert sum(server.result.get(end, 0) for end in ends) == 1


def test_a_connection_that_is_reset_is_counted_and_others_go_on() -> None:
    def ask(connect: Callable[[], Socket]) -> bytes:
        sock = connect()
        sock.setsockopt(SOL_SOCKET, SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        with connect() as other:
            other.send(b"hello")
            return other.recv(100)

    found, server = asked("tcp-echo 7", ask)
    assert found == b"hello"
    assert server.result[f"ended: {strerror(ECONNRESET)}"] == 1


@pytest.mark.parametrize(
    ("text", "answers"),
    [("udp-echo 7", [b"one", b"two"]), ("udp-chargen 19", [chargen_lines(72), chargen_lines(144)])],
)
def test_a_server_of_datagrams_answers_each(text: str, answers: list[bytes]) -> None:
    def ask(connect: Callable[[], Socket]) -> list[bytes]:
        with connect() as sock:
            found = []
            for word in (b"one", b"two"):
                sock.send(word)
                found.append(sock.recv(1000))
            return found

    found, server = asked(text, ask)
    assert found == answers
    assert server.result == {"datagrams": 2, "octets": 6}

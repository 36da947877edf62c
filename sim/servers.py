"""The small servers of every old host, by UDP and by TCP: echo, discard, character generator."""

import shlex
from collections.abc import Callable
from itertools import count
from os import strerror

from ..stack.socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, Address, Socket
from .machine import Machine
from .program import Program, number_in, program_parser

__all__ = ["SERVERS", "chargen_lines"]

_MAX_PAYLOAD_OCTETS = 65_507
_PART_OCTETS = 65_536
_BACKLOG = 128
# RFC 864: lines of 72 of the 95 printing characters, each line one character further on.
_PRINTING = bytes(range(0x20, 0x7F))
_LINE_OCTETS = 72
_ROUND = b"".join((_PRINTING * 2)[at : at + _LINE_OCTETS] + b"\r\n" for at in range(len(_PRINTING)))
_MAX_CHARGEN_OCTETS = 512

# What a server does with a datagram and its source, and with a connection.
Answer = Callable[[Program, Socket, bytes, Address], None]
Talk = Callable[[Program, Socket], None]


def chargen_lines(octets: int) -> bytes:
    """Return what a character generator sends first, as the RFC's example has it.

    Examples
    --------
    >>> chargen_lines(4)
    b' !"#'
    """
    return (_ROUND * (octets // len(_ROUND) + 1))[:octets]


def _port(name: str, words: list[str], default: int) -> int:
    parser = program_parser(name)
    parser.add_argument("port", metavar="PORT", nargs="?", type=number_in(1, 65_535), default=default)
    port: int = parser.parse_args(words).port
    return port


def _udp(name: str, default: int, answer: Answer) -> Callable[[list[str]], Program]:
    """Return what makes a server of datagrams."""

    def make(words: list[str]) -> Program:
        port = _port(name, words, default)

        def run(program: Program, machine: Machine) -> None:
            sock = machine.net.socket()
            sock.bind(("0.0.0.0", port))
            program.result |= {"datagrams": 0, "octets": 0}
            while True:
                payload, source = sock.recvfrom(_MAX_PAYLOAD_OCTETS)
                assert source is not None  # Every datagram has one.
                program.count("datagrams")
                program.count("octets", len(payload))
                try:
                    answer(program, sock, payload, source)
                except OSError as error:  # Whoever sent it need not be reachable, nor have said a port.
                    program.count(f"not sent back: {strerror(error.errno or 0)}")

        return Program(shlex.join([name, *words]), run, serves=True)

    return make


def _tcp(name: str, default: int, talk: Talk) -> Callable[[list[str]], Program]:
    """Return what makes a server of connections, any number at once."""

    def make(words: list[str]) -> Program:
        port = _port(name, words, default)

        def serve(program: Program, connection: Socket) -> None:
            with connection:
                try:
                    talk(program, connection)
                except OSError as error:
                    program.count(f"ended: {strerror(error.errno or 0)}")

        def run(program: Program, machine: Machine) -> None:
            listener = machine.net.socket(AF_INET, SOCK_STREAM)
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listener.bind(("0.0.0.0", port))
            listener.listen(_BACKLOG)
            program.result |= {"connections": 0, "octets": 0}
            for number in count(1):
                connection, _ = listener.accept()
                program.count("connections")
                machine.world.spawn(serve, program, connection, name=f"{program.text}: connection {number}")

        return Program(shlex.join([name, *words]), run, serves=True)

    return make


def _echo_datagram(_: Program, sock: Socket, payload: bytes, source: Address) -> None:
    sock.sendto(payload, source)


def _nothing(*_: object) -> None:
    pass


def _generate_datagram(program: Program, sock: Socket, _: bytes, source: Address) -> None:
    length = program.result["datagrams"] * _LINE_OCTETS % (_MAX_CHARGEN_OCTETS + 1)  # Any number will do.
    sock.sendto(chargen_lines(length), source)


def _take(program: Program, connection: Socket, then: Callable[[bytes], None]) -> None:
    while octets := connection.recv(_PART_OCTETS):
        program.count("octets", len(octets))
        then(octets)


def _echo(program: Program, connection: Socket) -> None:
    _take(program, connection, connection.sendall)


def _discard(program: Program, connection: Socket) -> None:
    _take(program, connection, _nothing)


def _generate(program: Program, connection: Socket) -> None:
    while True:
        program.count("octets", connection.send(_ROUND))


SERVERS = {
    "udp-echo": _udp("udp-echo", 7, _echo_datagram),  # RFC 862.
    "udp-discard": _udp("udp-discard", 9, _nothing),  # RFC 863.
    "udp-chargen": _udp("udp-chargen", 19, _generate_datagram),  # RFC 864.
    "tcp-echo": _tcp("tcp-echo", 7, _echo),
    "tcp-discard": _tcp("tcp-discard", 9, _discard),
    "tcp-chargen": _tcp("tcp-chargen", 19, _generate),
}

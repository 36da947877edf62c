"""Programs for simulated hosts: what ``hardwire lan`` runs, in a few words each."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..stack.core.filter_check import SockFilter, bpf_check_classic, sock_filters_from_text
from ..stack.ipv4.icmp_defs import ICMP_ECHO, ICMP_ECHOREPLY
from ..stack.uapi import AF_INET, IPPROTO_ICMP, SOCK_RAW
from ..stack.wire.address import ipv4_from_text
from ..stack.wire.checksum import csum_fold, csum_partial
from .capture import Capture
from .commands import COMMANDS, run_command, split_commands
from .machine import Machine
from .program import Program, ProgramError, checked, nothing, number_in, program_parser
from .send import Endpoint
from .servers import SERVERS
from .sniffer import Sniffer
from .world import FS_PER_NS

__all__ = ["PROGRAMS", "Program", "ProgramError", "parse_program"]

_MAX_PAYLOAD_OCTETS = 65_507


@checked
def _address(text: str) -> str:
    ipv4_from_text(text)
    return text


@checked
def _endpoint(text: str) -> tuple[str, int]:
    endpoint = Endpoint.parse(text, port_needed=True)
    return endpoint.address, endpoint.port


def _ping(words: list[str]) -> Program:
    """Send ICMP echo requests and wait for each reply (RFC 792)."""
    parser = program_parser("ping")
    parser.add_argument("address", metavar="ADDR", type=_address)
    parser.add_argument("-c", dest="count", type=number_in(1, 1_000_000), default=4)
    parser.add_argument("-s", dest="size", type=number_in(0, _MAX_PAYLOAD_OCTETS - 8), default=56)
    parser.add_argument("-i", dest="interval_ms", type=number_in(0, 1_000_000), default=1000)
    parser.add_argument("-W", dest="timeout_ms", type=number_in(1, 1_000_000), default=1000)
    asked = parser.parse_args(words)

    def run(program: Program, machine: Machine) -> None:
        world = machine.world
        sock = machine.net.socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
        payload = bytes(n & 0xFF for n in range(asked.size))
        times_ns: list[float] = []
        for sequence in range(1, asked.count + 1):
            started_fs = world.now_fs
            header = bytes((ICMP_ECHO, 0, 0, 0)) + (1).to_bytes(2, "big") + (sequence & 0xFFFF).to_bytes(2, "big")
            check = csum_fold(csum_partial(header + payload))
            deadline_fs = started_fs + asked.timeout_ms * 1_000_000 * FS_PER_NS
            try:
                sock.sendto(header[:2] + check.to_bytes(2, "big") + header[4:] + payload, (asked.address, 0))
                while True:
                    sock.settimeout(max(deadline_fs - world.now_fs, 1) / 1e15)
                    packet, sender = sock.recvfrom(_MAX_PAYLOAD_OCTETS + 28)
                    message = packet[4 * (packet[0] & 15) :]
                    if message[0] == ICMP_ECHOREPLY and message[4:] == header[4:] + payload:
                        break
            except TimeoutError:
                program.lines.append(f"no answer: icmp_seq={sequence}")
            except OSError as error:
                program.lines.append(f"icmp_seq={sequence}: {error.strerror}")
            else:
                took_ns = (world.now_fs - started_fs) / FS_PER_NS
                times_ns.append(took_ns)
                program.lines.append(
                    f"{len(message)} octets from {sender[0] if sender else asked.address}: "
                    f"icmp_seq={sequence} ttl={packet[8]} time={took_ns / 1000:.3f} µs"
                )
            if sequence < asked.count:
                world.sleep(max(0, asked.interval_ms * 1_000_000 - (world.now_fs - started_fs) // FS_PER_NS))
        lost = asked.count - len(times_ns)
        program.result |= {"transmitted": asked.count, "received": len(times_ns), "lost": lost}
        text = f"{asked.count} sent, {len(times_ns)} received"
        if times_ns:
            least, mean, most = min(times_ns), sum(times_ns) / len(times_ns), max(times_ns)
            program.result["round_trip_ns"] = {"min": least, "avg": mean, "max": most}
            text += f"; round trip min/avg/max {least / 1000:.3f}/{mean / 1000:.3f}/{most / 1000:.3f} µs"
        program.lines.append(text)

    return Program(shlex.join(["ping", *words]), run)


def _send(words: list[str]) -> Program:
    """Send datagrams; with ``--echo`` wait for each to come back."""
    parser = program_parser("send")
    parser.add_argument("to", metavar="ADDR:PORT", type=_endpoint)
    parser.add_argument("-c", dest="count", type=number_in(1, 1_000_000), default=1)
    parser.add_argument("-s", dest="size", type=number_in(0, _MAX_PAYLOAD_OCTETS), default=1000)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("-W", dest="timeout_ms", type=number_in(1, 1_000_000), default=1000)
    asked = parser.parse_args(words)

    def run(program: Program, machine: Machine) -> None:
        sock = machine.net.socket()
        sock.settimeout(asked.timeout_ms / 1000)
        program.result |= {"sent": 0, "octets": 0} | ({"echoed": 0} if asked.echo else {})
        for number in range(asked.count):
            payload = number.to_bytes(4, "little").ljust(asked.size, b"\0")[: asked.size]
            try:
                sock.sendto(payload, asked.to)
                program.result["sent"] += 1
                program.result["octets"] += asked.size
                if asked.echo:
                    program.result["echoed"] += sock.recvfrom(_MAX_PAYLOAD_OCTETS)[0] == payload
            except TimeoutError:
                program.lines.append(f"no answer: datagram {number}")
            except OSError as error:
                program.lines.append(f"datagram {number}: {error.strerror}")
        program.lines.append(", ".join(f"{count} {what}" for what, count in program.result.items()))

    return Program(shlex.join(["send", *words]), run)


def _filter(path: str) -> tuple[SockFilter, ...]:
    program = sock_filters_from_text(Path(path).read_text())
    bpf_check_classic(program)
    return program


def _readable(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse say what is wrong with a file."""

    def read(path: str) -> Any:
        try:
            return parse(path)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    return checked(read)


def _tcpdump(words: list[str]) -> Program:
    """Write what a device receives and sends to a pcapng file, until all others have ended."""
    parser = program_parser("tcpdump")
    parser.add_argument("-i", dest="interface", metavar="DEVICE", default="eth0")
    parser.add_argument("-w", dest="path", metavar="FILE", required=True)
    parser.add_argument("-c", dest="count", type=number_in(1, 1_000_000_000), default=None)
    parser.add_argument("-s", dest="snaplen", type=number_in(1, 262_144), default=262_144)
    parser.add_argument("-F", dest="filter", metavar="FILE", type=_readable(_filter), default=())
    parser.add_argument("-p", dest="promiscuous", action="store_false")
    asked = parser.parse_args(words)
    try:
        capture = Capture(asked.path, [asked.interface])
    except OSError as error:
        raise ProgramError(f"tcpdump: argument -w: {asked.path}: {error.strerror}") from error

    def run(program: Program, machine: Machine) -> None:
        try:
            sniffer = Sniffer(
                machine,
                asked.interface,
                capture,
                snaplen=asked.snaplen,
                program=asked.filter,
                promiscuous=asked.promiscuous,
            )
        except OSError as error:
            program.lines.append(f"{asked.interface}: {error.strerror}")
            return

        def end() -> None:
            program.result |= sniffer.end(asked.count)
            program.lines += [f"{count} packets {what}" for what, count in program.result.items()]

        program.ended = end
        while asked.count is None or capture.count < asked.count:
            sniffer.take()
        program.ended = nothing
        end()

    return Program(shlex.join(["tcpdump", *words]), run, serves=True)


def _idle(words: list[str]) -> Program:
    """Do nothing: the host's stack still answers."""
    program_parser("idle").parse_args(words)
    return Program("idle", lambda program, machine: None)


PROGRAMS = {
    "ping": _ping,
    **SERVERS,
    "send": _send,
    "tcpdump": _tcpdump,
    "idle": _idle,
}


def _command(words: list[str]) -> Program:
    """Configure the host, or look at it."""

    def run(program: Program, machine: Machine) -> None:
        try:
            output = run_command(machine.net, words)
        except OSError as error:
            program.lines.append(f"{shlex.join(words)}: {error.strerror}")
            program.result["failed"] = shlex.join(words)
        else:
            program.lines += output.splitlines()

    return Program(shlex.join(words), run)


def _sequence(programs: list[Program]) -> Program:
    """Run one after the other; the last one may serve."""
    for program in programs[:-1]:
        if program.serves:
            raise ProgramError(f"{program.text!r} does not end: nothing comes after it")

    def run(parts: list[Program]) -> Callable[[Program, Machine], None]:
        def run_parts(program: Program, machine: Machine) -> None:
            for part in parts:
                part.run(program, machine)

        return run_parts

    text = "; ".join(program.text for program in programs)
    if not programs[-1].serves:
        return Program(text, run(programs))
    return Program(text, run(programs[-1:]), serves=True, lead=run(programs[:-1]))


def parse_program(text: str) -> Program:
    """Return the program that a line of words asks for; ``;`` parts several, for one after the other.

    Raises
    ------
    ProgramError
        If there is no such program, or it has no use for the words.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        parts = split_commands(list(lexer))
    except ValueError as error:
        raise ProgramError(f"{text!r}: {error}") from error
    programs: list[Program] = []
    for words in parts:
        if words[0] in COMMANDS:
            programs.append(_command(words))
        elif words[0] in PROGRAMS:
            programs.append(PROGRAMS[words[0]](words[1:]))
        else:
            raise ProgramError(f"there is no program {words[0]!r}; there are {', '.join((*PROGRAMS, *COMMANDS))}")
    if not programs:
        raise ProgramError(f"there is no program {text!r}; there are {', '.join((*PROGRAMS, *COMMANDS))}")
    return programs[0] if len(programs) == 1 else _sequence(programs)

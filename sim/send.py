"""Sending data over UDP from a simulated machine: what ``hardwire send`` does."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from errno import EACCES, EHOSTUNREACH, EMSGSIZE, ENETUNREACH
from os import strerror
from pathlib import Path
from typing import Any

from ..stack.uapi import AF_INET, IP_MTU_DISCOVER, IP_PMTUDISC_DO, SOCK_DGRAM, SOL_IP
from ..stack.wire.address import ipv4_from_text, mac_from_text, mac_to_text
from .bridge.link import BridgeError
from .bridge.real_lan import await_link
from .capture import Capture
from .devices import is_real
from .journey import Journey, Recorder
from .machine import Machine, Setup
from .sniffer import Sniffer
from .world import World

__all__ = [
    "Endpoint",
    "SendError",
    "SendReport",
    "SendRequest",
    "host_address",
    "parse_neighbour",
    "parse_number",
    "run",
]

_SET_UP_NS = 10_000
_STEP_NS = 10_000_000
_PATIENCE_NS = 10_000_000_000
_DRAIN_NS = 1_000_000_000
_REAL_DRAIN_NS = 600_000_000_000  # A slow line has a socket's whole buffer to carry.


class SendError(Exception):
    """The stack refused to send; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IPv4 address, the length of its network's prefix where that matters, and a port; 0 for any."""

    address: str
    prefixlen: int
    port: int

    @classmethod
    def parse(cls, text: str, *, port_needed: bool) -> "Endpoint":
        """Return what ``ADDR[/PREFIX][:PORT]`` says.

        Raises
        ------
        ValueError
            If it is malformed, or needs a port and has none, or a prefix.
        """
        rest, colon, port = text.partition(":")
        address, slash, prefixlen = rest.partition("/")
        ipv4_from_text(address)
        if port_needed and not colon:
            raise ValueError(f"{text!r} has no port: write {address}:9000")
        if port_needed and slash:
            raise ValueError(f"{text!r} has a prefix length: write {address}:{port}")
        return cls(
            address,
            parse_number(prefixlen, 1, 32, "a prefix length") if slash else 24,
            parse_number(port, 1, 65535, "a port") if colon else 0,
        )

    def __str__(self) -> str:
        """Return ``ADDR`` or ``ADDR:PORT``."""
        return f"{self.address}:{self.port}" if self.port else self.address


def parse_number(text: str, least: int, most: int, what: str) -> int:
    """Return a number in decimal digits.

    Raises
    ------
    ValueError
        If it is malformed, or out of range; ``what`` says what it is not.
    """
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is not {what}: {least}..{most}")
    return int(text)


def host_address(text: str) -> int:
    """Return an address that a host may have, as a number (RFC 1122 §3.2.1.3).

    Raises
    ------
    ValueError
        If it is malformed, or of no single host.
    """
    address = ipv4_from_text(text)
    if address >> 24 in (0, 127) or address >> 28 >= 14:
        raise ValueError(f"{text} is no address for a host")
    return address


def parse_neighbour(text: str, host: Endpoint) -> tuple[str, str]:
    """Return what ``IP=MAC`` says about a neighbour of ``host``; the MAC address is spelled as we do.

    Raises
    ------
    ValueError
        If it is malformed, or the address cannot be a neighbour's.
    """
    address, equals, mac = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not IP=MAC, such as 10.0.0.2=02:00:00:00:00:02")
    host_part = (1 << 32 - host.prefixlen) - 1
    difference = host_address(address) ^ ipv4_from_text(host.address)
    if difference == 0:
        raise ValueError(f"{address} is the host's own address")
    if host.prefixlen < 31 and difference <= host_part and ipv4_from_text(address) & host_part == host_part:
        raise ValueError(f"{address} is a broadcast address")
    octets = mac_from_text(mac)
    if octets[0] & 1:
        raise ValueError(f"{mac} is a group address")
    return address, mac_to_text(octets)


@dataclass(frozen=True, kw_only=True)
class SendRequest:
    """What to send, where to, and how; see ``hardwire send --help``."""

    payload: bytes
    to: Endpoint
    source: Endpoint
    neighbours: dict[str, str]
    mtu: int = 1500
    size: int = 1400
    count: int = 1
    df: bool = False
    offload: bool = True
    pcap: Path | None = None
    waves: Path | None = None
    seed: int = 0
    device: str = "sim"

    def chunks(self) -> Iterator[bytes]:
        """Yield the payload of each datagram; no payload at all is one empty datagram."""
        for _ in range(self.count):
            for at in range(0, max(len(self.payload), 1), self.size):
                yield self.payload[at : at + self.size]


@dataclass(kw_only=True)
class SendReport:
    """What became of it.

    Parameters
    ----------
    datagrams, payload_octets : int
        How much the socket took.
    frames : int
        Frames on the wire, whatever is in them; of a real card, frames that it said to have sent.
    time_ns, wall_s : float
        The world's time until all was done, simulated unless the card is real; real time.
    journey : Journey or None
        That of the first datagram.
    drops : dict[str, int]
        Packets lost in the stack, by reason.
    device : dict[str, int]
        The card's and its driver's statistics.
    failure : str or None
        Why not all was delivered to the wire, if so.
    """

    datagrams: int = 0
    payload_octets: int = 0
    frames: int = 0
    time_ns: float = 0
    wall_s: float = 0
    journey: Journey | None = None
    drops: dict[str, int] = field(default_factory=dict)
    device: dict[str, int] = field(default_factory=dict)
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "journey": self.journey and self.journey.to_json()}


def run(request: SendRequest) -> SendReport:
    """Send the payload from a new machine, and wait until nothing of it is left under way.

    Raises
    ------
    SendError
        If the machine or a socket refuses; nothing more is sent then.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as open_files:
        # First, so that nothing is built if it cannot be opened.
        capture = None if request.pcap is None else open_files.enter_context(Capture(request.pcap))
        machine = _machine(request)
        sniffer = None
        if capture is not None and is_real(request.device):
            sniffer = Sniffer(machine, machine.dev.name, capture)
            machine.world.spawn(sniffer.follow)
        elif capture is not None:
            machine.nic.on_frames = capture.write_frames
        if request.waves is not None:
            machine.nic.waves(str(request.waves))
            open_files.callback(machine.nic.waves, None)
        try:
            report = _send(machine, request)
        except (BridgeError, TimeoutError) as error:
            raise SendError(error.strerror or str(error)) from error
        if sniffer is not None:
            sniffer.end()
    report.wall_s = time.monotonic() - started
    return report


def _machine(request: SendRequest) -> Machine:
    setup = Setup(
        address=f"{request.source.address}/{request.source.prefixlen}",
        mtu=request.mtu,
        offload=request.offload,
        neighbours=request.neighbours,
        waves=request.waves is not None,
        device=request.device,
    )
    try:
        return Machine(World(seed=request.seed), setup)
    except OSError as error:
        place = f": {error.filename}" if error.filename is not None else ""
        raise SendError(f"the machine cannot be set up: {error.strerror}{place}") from error


def _send(machine: Machine, request: SendRequest) -> SendReport:
    world, nic = machine.world, machine.nic
    real = is_real(request.device)
    drain_ns = _REAL_DRAIN_NS if real else _DRAIN_NS
    report = SendReport()
    sock = machine.net.socket(AF_INET, SOCK_DGRAM)
    try:
        if request.df:
            sock.setsockopt(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        if request.source.port:
            sock.bind((request.source.address, request.source.port))
    except OSError as error:
        raise SendError(f"cannot send from {request.source}: {error.strerror}") from error

    def send(chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            try:
                sock.sendto(chunk, (request.to.address, request.to.port))
            except OSError as error:
                raise SendError(_refusal(error, request, len(chunk))) from error
            report.datagrams += 1
            report.payload_octets += len(chunk)

    chunks = request.chunks()
    first = next(chunks)
    world.advance(_SET_UP_NS)
    if real:
        await_link(machine)
    # The first datagram goes alone, so that its journey is its own; the rest follow as fast as they can.
    with Recorder(world, f"The first datagram: {len(first):,} octets to {request.to}") as recorder:
        world.run(send, [first])
        world.drain(drain_ns)
    report.journey = recorder.journey()
    world.run(send, chunks)
    _settle(machine, drain_ns)
    sock.close()
    report.time_ns = world.now_fs / 1e6
    report.frames = machine.dev.stats.tx_packets if real else nic.counters["frames_total"]
    report.drops = machine.kernel.drop_counts()
    ethtool = machine.dev.ethtool_ops
    report.device = dict(zip(ethtool.get_strings(), ethtool.get_ethtool_stats(), strict=True))
    report.failure = _failure(request, report)
    return report


def _settle(machine: Machine, drain_ns: int) -> None:
    """Let all that is under way come to its end, the search for a neighbour's address above all."""
    world, neighbours = machine.world, machine.net.ipv4.arp_tbl.nht
    limit_ns = world.now_ns + _PATIENCE_NS
    world.drain(drain_ns)
    while any(neigh.arp_queue for neigh in neighbours.values()):
        if world.now_ns > limit_ns:
            raise SendError("the stack does not come to rest")
        world.advance(_STEP_NS)
    world.drain(drain_ns)


def _refusal(error: OSError, request: SendRequest, length: int) -> str:
    """Return why a socket did not take a datagram."""
    address, source = request.to.address, request.source
    if error.errno == ENETUNREACH:
        return f"no route to {address}: the host is {source.address}/{source.prefixlen} and has no gateway"
    if error.errno == EMSGSIZE and request.df:
        most = request.mtu - 28
        return f"{length:,} octets of payload do not fit into an MTU of {request.mtu:,} with --df: at most {most:,}"
    if error.errno == EACCES:
        return f"{address} is a broadcast address: {strerror(EACCES)}"
    if error.errno == EHOSTUNREACH:
        return _unanswered(request)
    return f"cannot send to {request.to}: {strerror(error.errno or 0)} ({error.strerror})"


def _unanswered(request: SendRequest) -> str:
    address = request.to.address
    return f"no answer to ARP for {address}: say its MAC address with --neigh {address}=MAC"


def _failure(request: SendRequest, report: SendReport) -> str | None:
    if not report.drops:
        return None
    if "NEIGH_FAILED" in report.drops:
        return _unanswered(request)
    address = request.to.address
    if address in ("0.0.0.0", request.source.address) or address.startswith("127."):
        return f"{address} is the host itself: nothing receives there yet"
    lost = ", ".join(f"{count:,} {reason}" for reason, count in report.drops.items())
    return f"packets were dropped: {lost}"

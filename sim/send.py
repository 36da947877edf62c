"""Sending data over UDP from a simulated machine: what ``hardwire send`` does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..stack.wire.address import ipv4_from_text, ipv4_to_text, mac_from_text
from .trace import Call, Event, to_json

__all__ = ["Endpoint", "SendError", "SendReport", "SendRequest", "parse_neighbour", "run"]

_STEP_NS = 10_000_000
_PATIENCE_NS = 10_000_000_000


class SendError(Exception):
    """The stack refused to send; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address, with a prefix length where one belongs to it, and a port; 0 for any."""

    address: int
    prefixlen: int
    port: int

    @classmethod
    def parse(cls, text: str, *, port_needed: bool) -> "Endpoint":
        """Return what ``ADDR[/PREFIX][:PORT]`` says.

        Raises
        ------
        ValueError
            If it is malformed, or has no port and needs one.
        """
        rest, colon, port_text = text.partition(":")
        address_text, slash, prefix_text = rest.partition("/")
        address = ipv4_from_text(address_text)
        if port_needed and not colon:
            raise ValueError(f"{text!r} has no port: write {address_text}:9000")
        port = _number(port_text, 1, 65535, "a port") if colon else 0
        prefixlen = _number(prefix_text, 1, 32, "a prefix length") if slash else 24
        return cls(address, prefixlen, port)

    def __str__(self) -> str:
        """Return ``ADDR`` or ``ADDR:PORT``."""
        return ipv4_to_text(self.address) + (f":{self.port}" if self.port else "")


def _number(text: str, least: int, most: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is not {what}: {least}..{most}")
    return int(text)


def parse_neighbour(text: str) -> tuple[int, bytes]:
    """Return what ``IP=MAC`` says.

    Raises
    ------
    ValueError
        If it is malformed.
    """
    address, equals, mac = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not IP=MAC, such as 10.0.0.2=02:00:00:00:00:02")
    octets = mac_from_text(mac)
    if octets[0] & 1:
        raise ValueError(f"{mac} is a group address")
    return ipv4_from_text(address), octets


@dataclass(frozen=True, kw_only=True)
class SendRequest:
    """What to send, where to, and how; see ``hardwire send --help``."""

    payload: bytes
    to: Endpoint
    source: Endpoint
    neighbours: dict[int, bytes]
    mtu: int = 1500
    size: int = 1400
    count: int = 1
    df: bool = False
    offload: bool = True
    pcap: Path | None = None
    waves: Path | None = None
    seed: int = 0

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
        Frames on the wire, whatever is in them.
    time_ns, wall_s : float
        Simulated time until all was done; real time.
    first_octets : int
        Payload of the first datagram, whose ``journey`` this is.
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
    first_octets: int = 0
    journey: list[Call | Event]
    drops: dict[str, int]
    device: dict[str, int]
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "journey": to_json(self.journey)}

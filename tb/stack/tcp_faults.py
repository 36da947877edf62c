"""Faults of segments: numbers at limits, wrong lengths, spoilt options, changed octets, checksums mended or not."""

import random
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING

from hardwire.stack.ipv4.tcp_sock import TcpSock
from hardwire.tb.stack.frames import ME, PEER
from hardwire.tb.stack.tcp_oracle import ACK, FIN, HEADER, PSH, RST, SYN, URG, checksum

if TYPE_CHECKING:
    from hardwire.tb.stack.tcp_mutated import Victim

__all__ = ["TEXT", "emit", "mutated", "pseudo", "text", "usual_flags"]

TEXT = random.Random(0).randbytes(1 << 16) * 2  # What the peer sends: its octet for each sequence number.
_FORGED = bytes(octet ^ 0x55 for octet in TEXT)
_HALF = (1 << 31) - 1_000_000  # As far away as can be told from the other side.
_PSEUDO, _PAIR = Struct("!IIHH"), Struct("!II")
_DATA = (ACK, ACK | PSH, ACK | PSH, ACK | FIN)
_USUAL = {
    "LISTEN": (SYN, SYN, ACK, SYN | ACK),
    "SYN_SENT": (SYN | ACK, SYN | ACK, SYN, RST | ACK, ACK),
    "CLOSED": (SYN, ACK, RST, FIN | ACK),
}


def usual_flags(state: str) -> tuple[int, ...]:
    """Return what a peer sends to a connection in a state."""
    return _USUAL.get(state, _DATA)


def text(seq: int, length: int, source: bytes = TEXT) -> bytes:
    """Return what the peer sends with these sequence numbers."""
    return source[seq & 0xFFFF : (seq & 0xFFFF) + length]


def pseudo(length: int) -> bytes:
    """Return what the checksum covers besides a segment."""
    return _PSEUDO.pack(PEER, ME, 6, length)


def _mend(octets: bytearray) -> None:
    """Put the right checksum in."""
    octets[16:18] = b"\0\0"
    octets[16:18] = checksum(pseudo(len(octets)), bytes(octets)).to_bytes(2, "big")


def emit(fields: dict[str, int], options: bytes, payload: bytes) -> bytearray:
    """Return the octets of a segment, its checksum right; ``doff`` of -1 is what fits the options."""
    options += bytes(-len(options) % 4)
    doff = fields["doff"] if fields["doff"] >= 0 else 5 + len(options) // 4
    numbers = (fields[name] for name in ("sport", "dport", "seq", "ack"))
    rest = (doff << 4 | fields["reserved"]) & 0xFF, fields["flags"], fields["window"], 0, fields["urgent"]
    octets = bytearray(HEADER.pack(*numbers, *rest) + options + payload)
    _mend(octets)
    return octets


def mutated(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes) -> bytes:
    """Return the peer's next segment with some faults, or none."""
    fields["window"] = rng.choice((60_000, 60_000, 0, 1, 65535))
    length = rng.choice((0, 0, 1, 10, 100, 536, 1400)) if fields["flags"] & ACK else 0
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        options = rng.choice(_FAULTS)(rng, victim, fields, options)
    payload = text(fields["seq"], length, TEXT if rng.random() < 0.3 else _FORGED)
    octets = emit(fields, options[:40], payload)
    kind = rng.random()
    if kind < 0.1:
        for _ in range(rng.randrange(1, 4)):
            octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
    elif kind < 0.15:
        del octets[rng.randrange(len(octets)) :]
    if kind < 0.15 and rng.random() < 0.6 and len(octets) >= 18:
        _mend(octets)
    elif rng.random() < 0.05 and len(octets) >= 18:
        octets[16:18] = rng.randbytes(2)
    return bytes(octets)


def near(rng: random.Random, victim: "Victim", number: int) -> int:
    """Return a number that is at a limit, near to one, or anywhere."""
    end = victim.end
    limits = [number, number - 1, number + 1, number + _HALF, number - _HALF, number + 65535, number - 65535]
    if isinstance(end, TcpSock):
        right = end.rcv_wup + end.rcv_wnd
        limits += [end.rcv_wup, end.rcv_wup - 1, right, right - 1, right + 1, end.snd_una, end.snd_una - 1]
        limits += [end.snd_nxt, end.snd_nxt + 1, end.snd_una - end.max_window, end.snd_una - end.max_window - 1]
        limits += [edge for skb in end.out_of_order_queue for edge in (skb.cb.seq, skb.cb.end_seq)]
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(limits) & 0xFFFFFFFF
    if kind < 0.7:
        return number + rng.randrange(-2000, 2000) & 0xFFFFFFFF
    return rng.getrandbits(32)


def fault_number(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes, name: str) -> bytes:
    """Change a number."""
    fields[name] = near(rng, victim, fields[name])
    return options


def fault_field(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes) -> bytes:
    """Change another field."""
    name = rng.choice(("doff", "doff", "window", "urgent", "urgent", "reserved", "sport", "dport"))
    most = {"doff": 16, "reserved": 16}.get(name, 1 << 16)
    fields[name] = rng.randrange(most)
    if name == "urgent":
        fields["flags"] |= URG
    return options


def fault_flags(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes) -> bytes:
    """Change flags."""
    kind = rng.random()
    if kind < 0.4:
        fields["flags"] ^= 1 << rng.randrange(8)
    elif kind < 0.7:
        fields["flags"] = rng.choice((RST, RST | ACK, SYN, SYN | ACK, FIN | ACK, 0, FIN, URG | ACK))
    else:
        fields["flags"] = rng.randrange(256)
    return options


def fault_tstamp(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes) -> bytes:
    """Change the time stamp."""
    recent = victim.tsval
    value = rng.choice((recent - 1, recent - 2, recent, recent + 1, recent + (1 << 31), 0, rng.getrandbits(32)))
    return b"\1\1\x08\x0a" + _PAIR.pack(value & 0xFFFFFFFF, rng.choice((0, rng.getrandbits(32))))


def fault_sack(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes) -> bytes:
    """Add blocks: of what was sent, of what was not, from back to front, twice."""
    blocks = []
    for _ in range(rng.randrange(1, 5)):
        start = near(rng, victim, victim.ack)
        stop = start + rng.choice((0, 1, 100, 1460, -100, rng.getrandbits(32))) & 0xFFFFFFFF
        blocks.append(_PAIR.pack(start, stop))
    return (options + b"\1\1\5" + bytes((2 + 8 * len(blocks),)) + b"".join(blocks))[:40]


def fault_options(rng: random.Random, victim: "Victim", fields: dict[str, int], options: bytes) -> bytes:
    """Spoil options: some are cut short, have a length of nothing, come twice, or are not known."""
    some = rng.choice(
        (
            options[: rng.randrange(len(options) + 1)],
            options + bytes((rng.randrange(2, 256), rng.choice((0, 1, 2, 3, 255)))),
            options + options,
            b"\x08\x0a\1\2\3" + options,
            bytes((rng.randrange(256), rng.randrange(12))) + rng.randbytes(10) + options,
            b"\0" + options,
            b"\2\4\0\0\3\3\xff\4\2" + options,
            rng.randbytes(rng.randrange(41)),
        )
    )
    return some[:40]


_FAULTS: "tuple[Callable[[random.Random, Victim, dict[str, int], bytes], bytes], ...]" = (
    partial(fault_number, name="seq"),
    partial(fault_number, name="seq"),
    partial(fault_number, name="ack"),
    partial(fault_number, name="ack"),
    fault_field,
    fault_flags,
    fault_tstamp,
    fault_sack,
    fault_options,
)

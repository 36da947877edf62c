"""Random episodes of sending: what tb/e2e/test_campaign.py runs, and the books that it checks afterwards."""

import struct
from collections import Counter, defaultdict
from dataclasses import dataclass
from random import Random
from socket import inet_aton

from hardwire.sim.bus_model import BusModel
from hardwire.sim.frame import Frame
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack.abi import ARP, STATS, ArpOp
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    MAX_SKB_FRAGS,
    SkBuff,
    alloc_page,
    alloc_skb,
    skb_fill_page_desc,
    skb_put_data,
    skb_reserve,
    skb_reset_mac_header,
)
from hardwire.stack.uapi import (
    AF_INET,
    IP_MTU_DISCOVER,
    IP_OPTIONS,
    IP_PMTUDISC_DONT,
    IP_TOS,
    MSG_MORE,
    SOCK_DGRAM,
    SOL_IP,
)
from hardwire.tb.e2e.receiver import Receiver, internet_sum

__all__ = ["Episode", "Sent", "run_episode"]

SOURCE, SOURCE_MAC = "10.0.0.1", "02:00:00:00:00:01"
DESTINATIONS = tuple(f"10.0.0.{2 + n}" for n in range(4))
MACS = {address: f"02:00:00:00:01:0{n}" for n, address in enumerate(DESTINATIONS)}
FIRST_PORT = 1024
OPTIONS = (b"", b"", b"\x01\x01\x01\x00", b"\x94\x04\x00\x00", b"\x01" * 39 + b"\x00")
TOS = (0, 0, 0x08, 0x10)


@dataclass(frozen=True)
class Sent:
    """A datagram that was handed in; its destination port is its number."""

    port: int
    destination: str
    tos: int
    options: bytes
    payload: bytes
    frames: int


@dataclass
class Episode:
    """One set-up, some datagrams, and what became of them."""

    seed: int
    setup: Setup
    sent: dict[int, Sent]
    receiver: Receiver
    drops: dict[str, int]
    resolve_misses: int


def run_episode(seed: int, datagrams: int) -> Episode:
    """Send random datagrams through a random machine until nothing is left, and check the books.

    Raises
    ------
    AssertionError
        If anything is lost without a reason, duplicated, damaged, out of order, or reached outside a mapping.
    """
    rng = Random(seed)
    setup = _random_setup(rng)
    machine = Machine(World(seed=seed), setup)
    receiver = Receiver()

    def take(frames: list[Frame]) -> None:
        for frame in frames:
            assert frame.ok, f"a damaged frame on the wire: {frame}"
            assert frame.gap_octets >= 12
            receiver.take(frame.octets)

    machine.nic.on_frames = take
    buffers = machine.host.memory.buffers
    sent: dict[int, Sent] = {}
    sockets = [_Sender(machine, rng, setup) for _ in DESTINATIONS]
    machine.world.run(_program, machine, rng, sockets, sent, datagrams)
    _settle(machine)
    episode = Episode(
        seed=seed,
        setup=setup,
        sent=sent,
        receiver=receiver,
        drops=machine.kernel.drop_counts(),
        resolve_misses=machine.dev.priv.rings[0].stat["resolve_misses"],
    )
    for sender in sockets:
        sender.close()
    _check_delivery(episode)
    _check_books(episode, machine)
    assert machine.host.memory.buffers == buffers, machine.host.memory.leaks()
    return episode


def _random_setup(rng: Random) -> Setup:
    errors = rng.choice((0, 0, 0.005, 0.03))
    return Setup(
        neighbours=MACS,
        mtu=rng.choice((576, 1500, 1500, 1500, 4000, 9000)),
        offload=rng.random() < 0.75,
        ring_log2=rng.randint(1, 12),
        bus=BusModel(
            read_latency_ns=rng.choice((0, rng.uniform(0, 2000), 2000)),
            write_latency_ns=rng.choice((0, rng.uniform(0, 2000), 2000)),
            read_jitter_ns=rng.choice((0, 500)),
            write_jitter_ns=rng.choice((0, 500)),
            stall_probability=rng.choice((0, 0, 0.2)),
            reads_outstanding=rng.choice((1, 4, 64)),
            writes_outstanding=rng.choice((1, 64)),
            reorder=rng.random() < 0.5,
            interleave=rng.random() < 0.5,
            read_error_probability=errors,
            write_error_probability=errors,
        ),
    )


def _program(machine: Machine, rng: Random, senders: "list[_Sender]", sent: dict[int, Sent], datagrams: int) -> None:
    for number in range(datagrams):
        flow = rng.randrange(len(DESTINATIONS))
        port = FIRST_PORT + number
        sent[port] = senders[flow].send(DESTINATIONS[flow], port)
        if rng.random() < 0.02:
            # As if the cache had lost everything: what is under way is completed as a miss, and sent again.
            machine.nic.write32(ARP.address(ARP["OP"]), ArpOp.FLUSH)
        if rng.random() < 0.2:
            machine.world.sleep(rng.randrange(1, 50_000))


def _settle(machine: Machine) -> None:
    """Let all that is under way come to its end."""
    ring = machine.dev.priv.rings[0]
    for _ in range(1000):
        machine.world.advance(100_000)
        if ring.next_to_use == ring.next_to_clean and machine.nic.quiet and not machine.dev.qdisc.qlen:
            return
    raise AssertionError("the machine does not come to rest")


class _Sender:
    """Sends datagrams of all shapes to one destination."""

    def __init__(self, machine: Machine, rng: Random, setup: Setup) -> None:
        self._machine = machine
        self._rng = rng
        self._setup = setup
        self._socket = machine.net.socket(AF_INET, SOCK_DGRAM)
        self._socket.setsockopt(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)

    def close(self) -> None:
        self._socket.close()

    def send(self, destination: str, port: int) -> Sent:
        rng = self._rng
        if rng.random() < 0.3:
            return self._send_raw(destination, port)
        tos, options = rng.choice(TOS), rng.choice(OPTIONS)
        self._socket.setsockopt(SOL_IP, IP_TOS, tos)
        self._socket.setsockopt(SOL_IP, IP_OPTIONS, options)
        payload = rng.randbytes(self._size(len(options)))
        pieces = _cut(rng, payload, rng.choice((1, 1, 2, 5)))
        for piece in pieces[:-1]:
            self._socket.sendto(piece, MSG_MORE, (destination, port))
        self._socket.sendto(pieces[-1], (destination, port))
        header = 20 + -(-len(options) // 4) * 4
        per_fragment = (self._setup.mtu - header) // 8 * 8
        whole = 8 + len(payload) <= self._setup.mtu - header
        frames = 1 if whole else _fragments(8 + len(payload), self._setup.mtu, header, per_fragment)
        return Sent(port, destination, tos, options, payload, frames)

    def _size(self, options: int) -> int:
        rng, limit = self._rng, self._setup.mtu - 28 - options
        most = min(8 * limit, 0xFFFF - 28 - options)  # A datagram's length has 16 bits.
        return rng.choice((rng.randrange(20), rng.randrange(limit + 1), limit, limit + 1, rng.randrange(most + 1)))

    def _send_raw(self, destination: str, port: int) -> Sent:
        """Hand a frame of random parts and alignments to the device layer."""
        rng = self._rng
        payload = rng.randbytes(rng.randrange(self._setup.mtu - 27))
        frame = _frame(destination, port, payload)
        skb = _skb(self._machine, rng, frame)
        dev_queue_xmit(skb)
        return Sent(port, destination, 0, b"", payload, 1)


def _cut(rng: Random, octets: bytes, most: int) -> list[bytes]:
    """Cut octets into at most that many parts, none of them empty (but the first of nothing)."""
    if len(octets) < 2:
        return [octets]
    cuts = sorted({0, len(octets), *(rng.randrange(1, len(octets)) for _ in range(most - 1))})
    return [octets[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


def _fragments(length: int, mtu: int, header: int, per_fragment: int) -> int:
    count = 0
    while length > mtu - header:
        length -= per_fragment
        count += 1
    return count + 1


def _frame(destination: str, port: int, payload: bytes) -> bytes:
    """Return a frame whose UDP checksum is left to CHECKSUM_PARTIAL."""
    addresses = inet_aton(SOURCE) + inet_aton(destination)
    length = 8 + len(payload)
    seed = internet_sum(addresses + struct.pack("!HH", 17, length))
    udp = struct.pack("!4H", 7, port, length, seed)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, port, 0, 64, 17, 0) + addresses
    header = header[:10] + struct.pack("!H", 0xFFFF ^ internet_sum(header)) + header[12:]
    return _mac(MACS[destination]) + _mac(SOURCE_MAC) + b"\x08\x00" + header + udp + payload


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _skb(machine: Machine, rng: Random, frame: bytes) -> SkBuff:
    parts = _cut(rng, frame[42:], rng.randrange(1, MAX_SKB_FRAGS + 1)) if len(frame) > 42 and rng.random() < 0.8 else []
    head = frame if not parts else frame[:42]
    reserve = rng.randrange(64)
    skb = alloc_skb(machine.kernel, reserve + len(head))
    skb_reserve(skb, reserve)
    skb_put_data(skb, head)
    skb_reset_mac_header(skb)
    skb.network_header = skb.data + 14
    skb.transport_header = skb.data + 34
    for part in parts:
        offset = rng.randrange(64)
        page = alloc_page(machine.kernel, offset + len(part))
        page.view[offset : offset + len(part)] = part
        skb_fill_page_desc(skb, page, offset, len(part))
        skb.len += len(part)
        skb.data_len += len(part)
    skb.ip_summed, skb.csum_start, skb.csum_offset = CHECKSUM_PARTIAL, skb.transport_header, 6
    skb.dev, skb.protocol = machine.dev, 0x0800
    return skb


def _check_delivery(episode: Episode) -> None:
    """Check that what arrived is what was sent, once, and in order within its flow."""
    arrived = Counter(datagram.destination_port for datagram in episode.receiver.datagrams)
    assert not arrived - Counter(episode.sent.keys()), "something arrived that was not sent, or twice"
    order: dict[tuple[bytes, int], list[int]] = defaultdict(list)
    for datagram in episode.receiver.datagrams:
        sent = episode.sent[datagram.destination_port]
        assert datagram.payload == sent.payload, f"datagram {sent.port} was damaged"
        assert datagram.destination == inet_aton(sent.destination)
        assert datagram.tos == sent.tos
        assert datagram.options.rstrip(b"\0") == sent.options.rstrip(b"\0")
        order[datagram.destination, datagram.tos].append(datagram.destination_port)
    if not episode.resolve_misses:  # A frame sent again may be overtaken.
        for flow in order.values():
            assert flow == sorted(flow), "out of order"


def _check_books(episode: Episode, machine: Machine) -> None:
    """Check that frames sent, dropped and counted add up exactly."""
    handed = sum(sent.frames for sent in episode.sent.values())
    frames, drops = episode.receiver.ip_frames, episode.drops
    assert frames + sum(drops.values()) == handed, (frames, drops, handed)
    assert not any(not reason.startswith(("HW_", "QDISC_", "NEIGH_")) for reason in drops), drops
    if not machine.nic.bus.read_error_probability:
        assert not any(reason.startswith("HW_") for reason in drops), drops
    lost = sum(count for reason, count in drops.items() if reason.startswith("HW_"))
    stats = machine.dev.stats
    assert (stats.tx_packets, stats.tx_errors, stats.tx_dropped) == (frames, lost, 0)
    assert _counter(machine, "TX_FRAMES") == frames
    # A descriptor that cannot be read is completed at once; the rest of its frame may follow with the same status.
    parts = machine.dev.priv.rings[0].stat["part_errors"]
    assert _counter(machine, "TX_BUS_ERRORS") == lost + parts
    assert _counter(machine, "TX_RESOLVE_MISSES") == episode.resolve_misses
    for name in ("TX_UNDERRUNS", "TX_ABORTED", "TX_REFUSED"):
        assert _counter(machine, name) == 0, name
    ring = machine.dev.priv.rings[0]
    assert not any(ring.skbs), "an skb was left in the ring"
    assert not machine.nic.take_violations()


def _counter(machine: Machine, name: str) -> int:
    low, high = (STATS.address(STATS[f"{name}_{half}"]) for half in ("LO", "HI"))
    return machine.nic.read32(low) | machine.nic.read32(high) << 32

"""A card behind a bridge as a device of a world: what it costs on the line, and what happens when memory is small."""

import zlib
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw, raw

from hardwire.sim.bridge.hdlc import Deframer
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.memory import BUS_BASE
from hardwire.sim.nic_event import DmaViolation
from hardwire.sim.world import World
from hardwire.stack.abi import RX_PAD_OCTETS
from hardwire.stack.abi.bridge import BridgeKind
from hardwire.stack.drivers.bus import Direction
from hardwire.stack.uapi import AF_INET, SOCK_DGRAM
from hardwire.tb.bench import seed

MAC, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"
WIRE_OCTETS = 1514


@pytest.fixture
def machine() -> Machine:
    return Machine(World(), Setup(device="board-sim", neighbours={"10.0.0.2": PEER}))


def sender(machine: Machine, payloads: list[bytes]) -> None:
    sock = machine.net.socket(AF_INET, SOCK_DGRAM)
    for payload in payloads:
        sock.sendto(payload, ("10.0.0.2", 9000))
    sock.close()


def receive(nic: Any, payload: bytes) -> None:
    packet = Ether(src=PEER, dst=MAC) / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=7, dport=7) / Raw(payload)
    octets = raw(packet)
    nic.receive(octets, zlib.crc32(octets).to_bytes(4, "little"))


def listen(nic: Any, way: str) -> list[list[BridgeKind]]:
    """Return a list that the kinds of frames are added to, call by call, that go over the line that way."""
    found: list[list[BridgeKind]] = []
    deframer = Deframer(300)
    call = getattr(nic.carrier, way)

    def write(octets: bytes) -> None:
        found.append([BridgeKind(frame[0]) for frame in deframer.feed(octets)])
        call(octets)

    nic.carrier.write = write
    return found


def test_datagram_goes_out_in_one_piece_and_nothing_is_read(machine: Machine) -> None:
    world, nic = machine.world, machine.nic
    world.drain()
    world.run(sender, machine, [bytes(8)])  # After which neither neighbour nor queue is new.
    world.drain()
    written = listen(nic, "write")
    world.run(sender, machine, [bytes(range(250)) * 5])
    world.drain()
    assert written[0] == [*[BridgeKind.WRITE] * 7, BridgeKind.REG_WRITE]  # 1292 octets, a descriptor, the doorbell.
    assert BridgeKind.REG_READ not in sum(written, [])
    assert [len(frame.octets) for frame in nic.take_frames()] == [60, 1292]


def test_line_is_nine_tenths_frames_and_every_frame_finds_room(machine: Machine) -> None:
    world, nic = machine.world, machine.nic
    world.drain()
    rng = Random(seed())
    payloads = [rng.randbytes(1472) for _ in range(40)]
    begin_fs = nic.time_fs
    world.run(sender, machine, payloads)
    world.drain()
    frames = nic.take_frames()
    last_fs = frames[-1].time_fs - begin_fs  # When all octets of it are in the card.
    assert [frame.octets[42:] for frame in frames] == payloads
    assert machine.dev.priv.rings[0].stat["mapping_errors"] == 0
    assert machine.kernel.drop_counts() == {}
    assert len(payloads) * WIRE_OCTETS * nic.carrier.octet_fs / last_fs >= 0.9
    report = nic.counters
    assert report["frames_resent"] == report["rejects_sent"] == report["rejects_received"] == report["timeouts"] == 0
    rings = (*machine.dev.priv.rings, *machine.dev.priv.rx_rings)
    assert nic.dma.card.used_octets == sum(len(ring.desc_view) + len(ring.cpl_view) for ring in rings)


def test_what_comes_in_takes_nine_tenths_of_the_line(machine: Machine) -> None:
    world, nic = machine.world, machine.nic
    world.drain()
    sock = machine.net.socket(AF_INET, SOCK_DGRAM)
    sock.bind(("10.0.0.1", 7))
    rng = Random(seed())
    payloads = [rng.randbytes(1472) for _ in range(10)]  # As many as the card has room for.
    begin_fs = nic.time_fs
    for payload in payloads:
        receive(nic, payload)
    found = world.run(lambda: [sock.recv(2000) for _ in payloads])
    assert found == payloads
    assert len(payloads) * WIRE_OCTETS * nic.carrier.octet_fs / (nic.time_fs - begin_fs) >= 0.88  # The first one waits.


def test_card_that_writes_where_it_must_not_is_caught(machine: Machine) -> None:
    world, nic = machine.world, machine.nic
    world.drain()
    ring = machine.dev.priv.rx_rings[0]
    nic.dma.unmap(ring.bus[0], ring.room_octets, Direction.FROM_DEVICE)
    receive(nic, bytes(600))
    with pytest.raises(DmaViolation, match=f"write outside all mappings at {ring.bus[0] + RX_PAD_OCTETS:#x}"):
        world.advance(5_000_000)
    assert ring.bus[0] < BUS_BASE


def test_frame_that_finds_no_room_in_the_card_is_counted_as_dropped(machine: Machine) -> None:
    world, nic = machine.world, machine.nic
    world.drain()
    nic.dma.card.take(nic.hello["memory_octets"] - nic.dma.card.used_octets - 1600)
    world.run(sender, machine, [bytes(1472)] * 6)
    world.drain()
    lost = machine.dev.priv.rings[0].stat["mapping_errors"]
    assert lost > 0
    assert machine.kernel.drop_counts() == {"DMA_MAPPING": lost}
    assert len(nic.take_frames()) == 6 - lost

"""From a program's buffer to the card's AXI reads each octet of a payload is copied once, to where it is read from.

What a payload is made of occurs nowhere else, so a second copy in the host's memory shows as a second place, be it in a
buffer that was freed meanwhile; one in memory of Python shows in what that allocates. Cutting up for a device that
cannot gather is excepted: there a second copy is how it is done, and here it must be seen.
"""

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import pack

import pytest

from hardwire.hdl.config import NicConfig
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.memory import PHYS_BASE, HostMemory
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_change_features
from hardwire.stack.core.netdevice import NETIF_F_SG

PEER = ("10.0.0.2", 9000)
CHUNK = 32
_USED = 1 << 22  # Of its memory a host here uses so much.
Send = Callable[[api.Socket, list[memoryview]], None]


def plain(sock: api.Socket, parts: list[memoryview]) -> None:
    sock.sendmsg(parts, [], 0, PEER)


def connected(sock: api.Socket, parts: list[memoryview]) -> None:
    sock.connect(PEER)
    sock.sendmsg(parts)


def corked(sock: api.Socket, parts: list[memoryview]) -> None:
    sock.connect(PEER)
    sock.setsockopt(api.SOL_UDP, api.UDP_CORK, 1)
    for part in parts:
        sock.send(part)
    sock.setsockopt(api.SOL_UDP, api.UDP_CORK, 0)


def in_segments(sock: api.Socket, parts: list[memoryview]) -> None:
    sock.sendmsg(parts, [(api.SOL_UDP, api.UDP_SEGMENT, pack("=H", 1000))], 0, PEER)


def with_a_copy(sock: api.Socket, parts: list[memoryview]) -> None:
    sock.sendto(b"".join(parts), PEER)


# How it is sent, of how many octets, in how many parts.
SENDS: dict[str, tuple[Send, int, int]] = {
    "plain": (plain, 1472, 1),
    "short": (plain, 64, 1),
    "connected": (connected, 1400, 1),
    "of parts": (plain, 1440, 3),
    "corked": (corked, 1440, 3),
    "in fragments": (plain, 6000, 1),
    "in fragments, of parts": (plain, 5997, 3),
    "in fragments, corked": (corked, 4500, 3),
    "in segments": (in_segments, 6000, 1),
}


@dataclass
class Places:
    """Where in a host's memory the chunks of a payload have been."""

    memory: HostMemory
    chunks: dict[bytes, int]
    found: dict[int, set[int]] = field(default_factory=dict)

    def look(self, start: int, octets: bytes) -> None:
        """Note the chunks in a part of the memory."""
        for chunk, offset in self.chunks.items():
            at = octets.find(chunk)
            while at >= 0:
                self.found.setdefault(offset, set()).add(start + at)
                at = octets.find(chunk, at + 1)


class Run:
    """A payload that was sent by a machine: where it has been, and what its card has read."""

    def __init__(self, send: Send, length: int, parts: int = 1, *, mtu: int = 1500, gather: bool = True) -> None:
        world = World(seed=1)
        machine = Machine(world, Setup(mtu=mtu, neighbours={PEER[0]: "02:00:00:00:00:02"}))
        if not gather:
            dev_change_features(machine.dev, 0, NETIF_F_SG)
        self.payload = random.Random(length).randbytes(length)
        size = -(-length // parts)
        buffers = [memoryview(self.payload)[at : at + size] for at in range(0, length, size)]
        memory = machine.host.memory
        chunks = {self.payload[at : at + CHUNK]: at for at in range(0, length - CHUNK + 1, CHUNK)}
        self.places = Places(memory, chunks)
        kfree = machine.host.kfree

        def watched(buffer) -> None:
            self.places.look(buffer.offset, bytes(buffer.view))
            kfree(buffer)

        machine.host.kfree = machine.kernel.kfree = watched
        machine.nic.log_events()

        def program() -> None:
            sock = machine.net.socket()
            sock.bind(("", 5000))
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            send(sock, buffers)
            self.python_octets = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.stop()
            assert not any(memory.octets[_USED : 2 * _USED])
            self.places.look(0, bytes(memory.octets[:_USED]))  # The card has had no time to do anything yet.

        world.run(program)
        world.drain()
        self.frames = machine.nic.take_frames()
        width = NicConfig().axi_width_bits // 8
        self.reads = [
            range(memory.phys(event.b) - PHYS_BASE, memory.phys(event.b) - PHYS_BASE + event.a * width)
            for event in machine.nic.take_events()
            if event.kind == "read"
        ]

    def octets_read(self, place: int) -> int:
        """Return how many octets of the chunk at a place the card has read."""
        return sum(max(0, min(read.stop, place + CHUNK) - max(read.start, place)) for read in self.reads)


@pytest.mark.parametrize("name", SENDS)
def test_a_payload_is_copied_once_and_read_from_there(name):
    run = Run(*SENDS[name])
    assert sum(len(frame.octets) for frame in run.frames) > len(run.payload)
    cut = {offset for offset in run.places.chunks.values() if offset not in run.places.found}
    # What ends up in two fragments, or comes from two parts, is in one place all the same, but not in one run.
    assert len(cut) <= len(run.frames) - 1 + SENDS[name][2] - 1
    assert {len(places) for places in run.places.found.values()} == {1}
    for offset, (place,) in run.places.found.items():
        assert run.octets_read(place) == CHUNK, (offset, place)


@pytest.mark.parametrize(("send", "parts"), [(plain, 1), (plain, 3), (connected, 1), (corked, 3)])
def test_no_copy_goes_through_memory_of_python(send, parts):
    run = Run(send, 60_000, parts, mtu=9000)
    assert {len(places) for places in run.places.found.values()} == {1}
    # Software sums what is corked: for that it makes a number of each part, and no more.
    assert run.python_octets < (35_000 if send is corked else 30_000)


def test_a_copy_in_memory_of_python_would_be_seen():
    assert Run(with_a_copy, 60_000, mtu=9000).python_octets >= 60_000


def test_a_second_copy_in_the_host_s_memory_would_be_seen():
    run = Run(in_segments, 6000, gather=False)
    numbers = [len(places) for places in run.places.found.values()]
    assert numbers.count(2) > 0.9 * len(numbers)

"""The memory that a host shares with a card behind a bridge, against a model of what the card holds."""

import errno
from collections import deque
from random import Random

import pytest

from hardwire.sim.bridge.card_memory import CardMemory, ring_log2s
from hardwire.sim.bridge.dma import FROM_DEVICE_BASE, BridgeMemory
from hardwire.sim.bridge.link import Link
from hardwire.sim.memory import PHYS_BASE, DmaError, HostMemory
from hardwire.stack.abi import RX_CPL, RX_DESC, TX_CPL, TX_DESC
from hardwire.stack.abi.bridge import BridgeKind
from hardwire.stack.drivers.bus import Direction
from hardwire.tb.bench import seed
from hardwire.tb.sim.noisy_line import noisy_line

TO, FROM = Direction.TO_DEVICE, Direction.FROM_DEVICE


class Desk:
    """A host's memory, and a card's at the other end of a line."""

    def __init__(self, size_octets: int = 32_768) -> None:
        self.near, self.far = noisy_line(Random(0))
        self.card = bytearray(b"\xee" * size_octets)
        self.frames: list[tuple[int, int]] = []
        self.link = Link(self.near, lambda kind, octets: None)
        self.end = Link(self.far, self._write, governs=False)
        self.link.restart()
        self.end.restart()
        self.host = HostMemory(1 << 20)
        self.dma = BridgeMemory(self.host, self.link, size_octets)

    def _write(self, kind: BridgeKind, octets: bytes) -> None:
        assert kind == BridgeKind.WRITE
        at, length = int.from_bytes(octets[:4], "little"), len(octets) - 4
        assert at % 8 == length % 8 == 0
        assert at + length <= len(self.card)
        self.card[at : at + length] = octets[4:]
        self.frames.append((at, length))

    def carry(self) -> None:
        """Let all that is queued arrive."""
        while not self.link.idle:
            self.link.pump()
            self.far.clock.now_fs += 10**12
            self.end.pump()
            self.far.clock.now_fs += 10**12
            self.link.pump()

    def buffer(self, octets: bytes) -> int:
        """Return the physical address of a buffer with that in it, 2 octets into it."""
        block = self.dma.kmalloc(len(octets) + 2)
        block.view[2 : 2 + len(octets)] = octets
        return block.addr + 2


@pytest.mark.parametrize("length", [1, 7, 8, 9, 255, 256, 257, 1514])
def test_what_is_mapped_to_the_card_is_in_its_memory(length: int) -> None:
    desk = Desk()
    octets = Random(seed()).randbytes(length)
    at = desk.dma.map(desk.buffer(octets), length, TO)
    desk.carry()
    assert desk.card[at : at + length] == octets
    assert desk.dma.card.used_octets == -(-length // 8) * 8
    desk.dma.unmap(at, length, TO)
    assert desk.dma.card.used_octets == 0
    assert desk.host.mappings == 0


def test_card_memory_that_is_full_is_enomem_and_leaves_nothing_behind() -> None:
    desk = Desk(4096)
    address = desk.buffer(bytes(2000))
    first, second = (desk.dma.map(address, 2000, TO) for _ in range(2))
    with pytest.raises(OSError, match="no 2000 octets in one piece are left of the card's 4096") as caught:
        desk.dma.map(address, 2000, TO)
    assert caught.value.errno == errno.ENOMEM
    with pytest.raises(OSError, match="no 128 octets") as caught:
        desk.dma.alloc_coherent(128)
    assert caught.value.errno == errno.ENOMEM
    assert desk.host.mappings == 2
    desk.dma.unmap(first, 2000, TO)
    third = desk.dma.map(address, 2000, TO)
    for at in (second, third):
        desk.dma.unmap(at, 2000, TO)
    assert desk.host.mappings == desk.dma.card.used_octets == 0


def test_only_changed_words_of_coherent_memory_are_sent() -> None:
    desk = Desk()
    ring = desk.dma.alloc_coherent(512)
    other = desk.dma.alloc_coherent(96)
    desk.carry()
    assert desk.card[ring.addr : ring.addr + 512] == bytes(512)
    assert ring.addr % 512 == other.addr % 128 == 0
    desk.frames.clear()
    desk.dma.sync()
    assert desk.link.idle
    ring.view[32:64] = bytes(range(32))
    ring.view[509] = 1
    other.view[95] = 2
    desk.dma.sync()
    desk.dma.sync()
    desk.carry()
    assert desk.frames == [(ring.addr + 32, 32), (ring.addr + 504, 8), (other.addr + 88, 8)]
    assert desk.card[ring.addr : ring.addr + 512] == bytes(ring.view)
    assert desk.card[other.addr : other.addr + 96] == bytes(other.view)
    for block in (ring, other):
        desk.dma.free_coherent(block)
    assert desk.dma.card.used_octets == desk.host.mappings == 0
    with pytest.raises(DmaError, match="freed twice"):
        desk.dma.free_coherent(ring)


def test_coherent_memory_is_the_same_on_both_sides_whatever_the_driver_writes() -> None:
    rng = Random(seed())
    desk = Desk()
    blocks = [desk.dma.alloc_coherent(size) for size in (32, 256, 1000)]
    for _ in range(50):
        for _ in range(rng.randint(0, 5)):
            view = rng.choice(blocks).view
            at = rng.randrange(len(view))
            view[at : at + 9] = rng.randbytes(len(view[at : at + 9]))
        desk.dma.sync()
        desk.carry()
        for block in blocks:
            assert desk.card[block.addr : block.addr + len(block.view)] == bytes(block.view)


def test_what_the_card_writes_lands_in_live_mappings_only() -> None:
    desk = Desk()
    block = desk.dma.kmalloc(256)
    block.view[:] = bytes(256)
    at = desk.dma.map(block.addr + 64, 128, FROM)
    assert at == FROM_DEVICE_BASE + block.addr + 64 - PHYS_BASE
    assert desk.dma.store(at + 1, b"abc")
    assert bytes(block.view[64:70]) == b"\0abc\0\0"
    for address, octets in ((at - 1, b"xx"), (at + 127, b"xx"), (FROM_DEVICE_BASE + (1 << 20) - 1, b"xx"), (0, b"x")):
        assert not desk.dma.store(address, octets)
    coherent = desk.dma.alloc_coherent(64)
    assert desk.dma.store(coherent.addr + 60, b"tail")
    assert bytes(coherent.view[60:]) == b"tail"
    assert not desk.dma.store(coherent.addr + 61, b"tail")
    desk.carry()
    desk.frames.clear()
    desk.dma.sync()
    desk.carry()
    assert desk.frames == []  # What the card wrote is not sent back to it.
    desk.dma.unmap(at, 128, FROM)
    assert not desk.dma.store(at, b"abc")
    readable = desk.dma.map(block.addr, 8, TO)
    assert not desk.dma.store(readable, b"abc")


def test_misuse_is_an_error() -> None:
    desk = Desk()
    address = desk.buffer(bytes(100))
    with pytest.raises(DmaError, match="only coherent memory is mapped both ways"):
        desk.dma.map(address, 8, Direction.BIDIRECTIONAL)
    with pytest.raises(DmaError, match="not mapped"):
        desk.dma.unmap(0, 8, TO)
    at = desk.dma.map(address, 8, TO)
    with pytest.raises(DmaError, match="not mapped"):
        desk.dma.unmap(at, 16, TO)
    with pytest.raises(DmaError, match="not in memory"):
        desk.dma.map(0, 8, TO)


@pytest.mark.parametrize("memory", [16_384, 32_768, 65_536])
def test_every_frame_of_a_ring_that_suits_the_memory_finds_room(memory: int) -> None:
    rng = Random(seed())
    tx_log2, rx_log2 = ring_log2s(memory, 1500)
    assert tx_log2 >= 3
    card = CardMemory(memory)
    for log2, desc, cpl in ((tx_log2, TX_DESC, TX_CPL), (rx_log2, RX_DESC, RX_CPL)):
        for record in (desc, cpl):
            size = record.size_octets << log2
            assert card.take(size, align_octets=size) % size == 0
    ring: deque[list[int]] = deque()
    used = 0
    for _ in range(20_000):
        frame = rng.choice((60, 1518, rng.randint(60, 1518)))
        parts = rng.choice((1, 1, 3, 7))
        while ring and used + parts > (1 << tx_log2) - 1:
            done = ring.popleft()
            used -= len(done)
            for at in done:
                card.give_back(at)
        lengths = [frame - 8 * (parts - 1), *[8] * (parts - 1)] if parts > 1 else [frame]
        rng.shuffle(lengths)
        ring.append([card.take(length) for length in lengths])
        used += parts


def test_places_never_overlap_and_all_come_back() -> None:
    rng = Random(seed())
    card = CardMemory(4096)
    taken: dict[int, int] = {}
    for _ in range(5_000):
        if taken and rng.random() < 0.5:
            at = rng.choice(list(taken))
            del taken[at]
            card.give_back(at)
        else:
            length = rng.randint(1, 600)
            align = rng.choice((None, 8, 64, 512))
            try:
                at = card.take(length, align_octets=align)
            except OSError:
                continue
            assert at % (align or 8) == 0
            assert 0 <= at <= 4096 - length
            assert all(at + length <= other or other + size <= at for other, size in taken.items())
            taken[at] = length
    for at in taken:
        card.give_back(at)
    assert card.used_octets == 0
    assert card.take(4096) == 0

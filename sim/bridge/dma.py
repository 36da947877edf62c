"""The Dma of a card behind a bridge: what the card reads lies in its own memory, what it writes comes to the host."""

from typing import NamedTuple

from ...stack.abi.bridge import BRIDGE_WORD_OCTETS
from ...stack.core.platform import Buffer
from ...stack.drivers.bus import Direction
from ..memory import BUS_BASE, PHYS_BASE, DmaError, HostMemory, MemoryBlock
from .card_memory import CardMemory
from .link import Link

__all__ = ["FROM_DEVICE_BASE", "BridgeMemory"]

FROM_DEVICE_BASE = 0x8000_0000  # Bus address of octet 0 of host memory, for what the card writes.
_WORD_BITS = 8 * BRIDGE_WORD_OCTETS
_WORD_MASK = (1 << _WORD_BITS) - 1
_WRITABLE = b"\2\3"  # Octets of HostMemory.shadow.


class _Coherent(NamedTuple):
    """Coherent memory: where it is in host memory, and what the card has of it."""

    block: MemoryBlock
    offset: int
    length: int
    card: bytearray


class BridgeMemory:
    """The memory that a host shares with a card behind a bridge: ``Dma``, and the host's own memory.

    Mapping to the device copies: what is mapped is queued as WRITE frames. Coherent memory is in the host's memory,
    too; what the driver has written there goes to the card by :meth:`sync`, before a register is written. Every mapping
    is one of the host's memory as well, which checks it.

    Parameters
    ----------
    memory : HostMemory
        The host's memory.
    link : Link
        The way to the card.
    size_octets : int
        Size of the card's memory.

    Members
    -------
    card : CardMemory
        What is taken of the card's memory.
    """

    def __init__(self, memory: HostMemory, link: Link, size_octets: int) -> None:
        self.host = memory
        self.card = CardMemory(size_octets)
        self.kmalloc = memory.kmalloc
        self.kfree = memory.kfree
        self._link = link
        self._coherent: dict[int, _Coherent] = {}
        self._streams: dict[int, int] = {}  # Offset in host memory, by address in the card's.

    # The Dma protocol.

    def alloc_coherent(self, size_octets: int) -> MemoryBlock:
        """Return zeroed memory mapped both ways, aligned to its size rounded up to a power of two.

        Raises
        ------
        OSError
            ``ENOMEM`` if card or host have no room.
        """
        padded = -(-size_octets // BRIDGE_WORD_OCTETS) * BRIDGE_WORD_OCTETS
        inner = self.host.alloc_coherent(padded)
        try:
            at = self.card.take(padded, align_octets=max(BRIDGE_WORD_OCTETS, 1 << (size_octets - 1).bit_length()))
        except OSError:
            self.host.free_coherent(inner)
            raise
        self._coherent[at] = _Coherent(inner, inner.offset, padded, bytearray(padded))
        self._link.write(at, bytes(padded))
        return MemoryBlock(at, inner.offset, inner.view[:size_octets])

    def free_coherent(self, buffer: Buffer) -> None:
        """Unmap and free what ``alloc_coherent`` returned."""
        coherent = self._coherent.pop(buffer.addr, None)
        if coherent is None:
            raise DmaError(f"{buffer!r} is freed twice")
        self.host.free_coherent(coherent.block)
        self.card.give_back(buffer.addr)

    def map(self, addr: int, length_octets: int, direction: Direction) -> int:
        """Let the card reach memory; return its bus address.

        Raises
        ------
        OSError
            ``ENOMEM`` if the card has no room.
        DmaError
            If that is not memory.
        """
        if direction == Direction.FROM_DEVICE:
            return self.host.map(addr, length_octets, direction) - BUS_BASE + FROM_DEVICE_BASE
        if direction != Direction.TO_DEVICE:
            raise DmaError("behind a bridge only coherent memory is mapped both ways")
        self.host.map(addr, length_octets, direction)
        start = addr - PHYS_BASE
        try:
            at = self.card.take(length_octets)
        except OSError:
            self.host.unmap(start + BUS_BASE, length_octets, direction)
            raise
        self._streams[at] = start
        self._link.write(
            at, self.host.storage[start : start + length_octets] + bytes(-length_octets % BRIDGE_WORD_OCTETS)
        )
        return at

    def unmap(self, bus_addr: int, length_octets: int, direction: Direction) -> None:
        """Take a mapping away.

        Raises
        ------
        DmaError
            If there is none with these arguments.
        """
        if direction == Direction.FROM_DEVICE:
            self.host.unmap(bus_addr - FROM_DEVICE_BASE + BUS_BASE, length_octets, direction)
            return
        start = self._streams.get(bus_addr)
        if start is None:
            raise DmaError(f"unmap of {length_octets} octets at {bus_addr:#x}, {Direction(direction).name}: not mapped")
        self.host.unmap(start + BUS_BASE, length_octets, direction)
        del self._streams[bus_addr]
        self.card.give_back(bus_addr)

    # What the bridge does.

    @property
    def dirty(self) -> bool:
        """The driver has written to coherent memory what the card has not been sent."""
        storage = self.host.storage
        return any(storage[it.offset : it.offset + it.length] != it.card for it in self._coherent.values())

    def sync(self) -> None:
        """Queue WRITE frames for the words of coherent memory that the card does not have yet."""
        storage = self.host.storage
        for at, coherent in self._coherent.items():
            now = storage[coherent.offset : coherent.offset + coherent.length]
            if now != coherent.card:
                for start, end in _changes(now, coherent.card):
                    self._link.write(at + start, now[start:end])
                coherent.card[:] = now

    def store(self, address: int, octets: bytes) -> bool:
        """Write to host memory what the card has written; return whether it may: else nothing is written."""
        if address >= FROM_DEVICE_BASE:
            start = address - FROM_DEVICE_BASE
            end = start + len(octets)
            if end > self.host.size_octets or self.host.shadow[start:end].strip(_WRITABLE):
                return False
            self.host.storage[start:end] = octets
            return True
        for at, coherent in self._coherent.items():
            start = address - at
            if 0 <= start and start + len(octets) <= coherent.length:
                place = coherent.offset + start
                self.host.storage[place : place + len(octets)] = octets
                coherent.card[start : start + len(octets)] = octets
                return True
        return False


def _changes(now: bytes, before: bytearray) -> list[tuple[int, int]]:
    """Return the runs of words that differ, as start and end; those with one word in between are one run."""
    difference = int.from_bytes(now, "little") ^ int.from_bytes(before, "little")
    runs: list[tuple[int, int]] = []
    while difference:
        word = ((difference & -difference).bit_length() - 1) // _WORD_BITS
        difference &= ~(_WORD_MASK << word * _WORD_BITS)
        start = word * BRIDGE_WORD_OCTETS
        # A frame of its own costs more than a word.
        if runs and start - runs[-1][1] <= BRIDGE_WORD_OCTETS:
            runs[-1] = (runs[-1][0], start + BRIDGE_WORD_OCTETS)
        else:
            runs.append((start, start + BRIDGE_WORD_OCTETS))
    return runs

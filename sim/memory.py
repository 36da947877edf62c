"""The memory of one simulated host: kmalloc, and the DMA API with every mapping checked."""

import errno
import mmap

from ..stack.drivers.bus import Direction

__all__ = ["BUS_BASE", "PHYS_BASE", "DmaError", "HostMemory", "MemoryBlock"]

PHYS_BASE = 0x4000_0000
BUS_BASE = 0x1_0000_0000  # Above 4 GiB, so that a lost high half of an address shows.
PAGE_SHIFT = 12
_CLASSES = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)  # As Linux's kmalloc caches.
_SLAB_SHIFT = 15
_READABLE, _WRITABLE = 1, 2  # Bits of a shadow octet, as in native/memory_model.h.
_ACCESS = (_READABLE | _WRITABLE, _READABLE, _WRITABLE)  # By Direction.
_PATTERN_OCTETS = 1 << 16
_PATTERN = tuple(bytes([bits]) * _PATTERN_OCTETS for bits in range(4))
_POISON = b"\x6b" * _PATTERN_OCTETS  # Linux: POISON_FREE
_CLASS_OF = tuple(next(k for k in _CLASSES if k >= 8 * n) for n in range(1 + _CLASSES[-1] // 8))


class DmaError(RuntimeError):
    """A misuse of the memory or the DMA API: what Linux's DMA API debugging and KASAN would report."""


class MemoryBlock:
    """A run of host memory; see ``stack.core.platform.Buffer``.

    Members
    -------
    addr : int
        Physical address, or bus address if it came from ``alloc_coherent``.
    view : memoryview
        The octets: as many as were asked for, rounded up to the allocator's size.
    """

    __slots__ = ("addr", "live", "offset", "view")

    def __init__(self, addr: int, offset: int, view: memoryview) -> None:
        self.addr = addr
        self.offset = offset
        self.view = view
        self.live = True

    def __repr__(self) -> str:
        state = "" if self.live else ", freed"
        return f"MemoryBlock({self.addr:#x}, {len(self.view)} octets{state})"


class HostMemory:
    """Memory that the host's CPU and its devices share.

    Each octet has a shadow octet that says what devices may do with it; the bus model in native code looks there. A
    mapping is two slice assignments. Octets mapped more than once stay reachable until the last mapping is gone.

    Parameters
    ----------
    size_octets : int
        Size, a power of two, at least 1 MiB. The octets take room in the computer once they are used.
    checks : bool
        Fill freed memory with 0x6b and refuse to free memory that is mapped.

    Members
    -------
    storage, shadow : mmap
        All octets and their shadow; ``octets`` is a view of ``storage``.

    Raises
    ------
    ValueError
        If ``size_octets`` is impossible.
    """

    def __init__(self, size_octets: int = 1 << 26, *, checks: bool = True) -> None:
        if size_octets < 1 << 20 or size_octets & (size_octets - 1):
            raise ValueError(f"size_octets must be a power of two from 1048576 up, not {size_octets!r}")
        self.size_octets = size_octets
        self.storage = mmap.mmap(-1, size_octets)
        self.octets = memoryview(self.storage)
        self.shadow = mmap.mmap(-1, size_octets)
        self._checks = checks
        self._free_classes: dict[int, list[MemoryBlock]] = {size: [] for size in _CLASSES}
        top = size_octets.bit_length() - 1
        self._free_orders: list[set[int]] = [set() for _ in range(top + 1)]
        self._free_orders[top].add(0)
        self._allocated = 0
        self._blocks: dict[int, MemoryBlock] = {}  # Live blocks of whole pages, by offset.
        self._slab_live = 0
        self._maps: dict[int, int] = {}  # How often each mapping was made, by _map_key: tuples and enums hash slower.
        self._overlapping = False

    # What the stack calls.

    def kmalloc(self, size_octets: int) -> MemoryBlock:
        """Return memory of at least that size.

        Raises
        ------
        OSError
            ``ENOMEM`` when there is no room.
        """
        if size_octets > 8192:
            return self._pages(max(size_octets, 1), PHYS_BASE)
        size = _CLASS_OF[(size_octets + 7) >> 3]
        free = self._free_classes[size]
        if not free:
            self._refill(size)
        block = free.pop()
        block.live = True
        self._slab_live += 1
        return block

    def kfree(self, buffer: MemoryBlock) -> None:
        """Give memory back.

        Raises
        ------
        DmaError
            If it was freed before, or a device can still reach it.
        """
        if not buffer.live:
            raise DmaError(f"{buffer!r} is freed twice")
        view = buffer.view
        size = len(view)
        if self._checks:
            start = buffer.offset
            if size <= _PATTERN_OCTETS:
                mapped = self.shadow[start : start + size] != _PATTERN[0][:size]
            else:
                mapped = any(self.shadow[start : start + size])
            if mapped:
                raise DmaError(f"{buffer!r} is freed while a device can reach it")
            view[:] = _POISON[:size] if size <= _PATTERN_OCTETS else b"\x6b" * size
        buffer.live = False
        if size > 8192:
            self._free_pages(buffer)
        else:
            self._free_classes[size].append(buffer)
            self._slab_live -= 1

    # What drivers call: the Dma protocol.

    def alloc_coherent(self, size_octets: int) -> MemoryBlock:
        """Return zeroed memory mapped both ways, aligned to its size rounded up to a power of two, at least 4 KiB."""
        block = self._pages(size_octets, BUS_BASE)
        block.view[:] = bytes(len(block.view))
        self._set_shadow(block.offset, block.offset + size_octets, _READABLE | _WRITABLE)
        self._maps[_map_key(block.offset, size_octets, Direction.BIDIRECTIONAL)] = 1
        return block

    def free_coherent(self, buffer: MemoryBlock) -> None:
        """Unmap and free what ``alloc_coherent`` returned."""
        if not buffer.live:
            raise DmaError(f"{buffer!r} is freed twice")
        self.unmap(buffer.addr, len(buffer.view), Direction.BIDIRECTIONAL)
        buffer.live = False
        self._free_pages(buffer)

    def map(self, addr: int, length_octets: int, direction: Direction) -> int:
        """Let devices reach memory; return its bus address.

        Raises
        ------
        DmaError
            If that is not memory.
        """
        start = addr - PHYS_BASE
        end = start + length_octets
        if start < 0 or end > self.size_octets or length_octets <= 0:
            raise DmaError(f"map of {length_octets} octets at {addr:#x}: not in memory")
        shadow = self.shadow
        if length_octets <= _PATTERN_OCTETS and shadow[start:end] == _PATTERN[0][:length_octets]:
            shadow[start:end] = _PATTERN[_ACCESS[direction]][:length_octets]
        else:
            self._overlapping |= any(shadow[start:end])
            self._set_shadow(start, end, _ACCESS[direction])
        key = start << 34 | length_octets << 2 | direction
        maps = self._maps
        maps[key] = maps.get(key, 0) + 1
        return start + BUS_BASE

    def unmap(self, bus_addr: int, length_octets: int, direction: Direction) -> None:
        """Take a mapping away.

        Raises
        ------
        DmaError
            If there is none with these arguments.
        """
        start = bus_addr - BUS_BASE
        key = start << 34 | length_octets << 2 | direction
        count = self._maps.pop(key, 0)
        if count > 1:
            self._maps[key] = count - 1
        elif not count:
            raise DmaError(f"unmap of {length_octets} octets at {bus_addr:#x}, {Direction(direction).name}: not mapped")
        if length_octets <= _PATTERN_OCTETS:
            self.shadow[start : start + length_octets] = _PATTERN[0][:length_octets]
        else:
            self.shadow[start : start + length_octets] = bytes(length_octets)
        if self._overlapping:
            self._restore(start, start + length_octets)

    # Reports.

    def phys(self, bus_addr: int) -> int:
        """Return the physical address behind a bus address."""
        return bus_addr - BUS_BASE + PHYS_BASE

    def leaks(self) -> list[str]:
        """Return one line for each mapping and allocation still alive; coherent memory counts as a mapping."""
        lines = [
            f"mapping of {length} octets at {start + BUS_BASE:#x}, {direction.name}, {count} time(s)"
            for key, count in sorted(self._maps.items())
            for start, length, direction in (_map_parts(key),)
        ]
        lines += [repr(block) for _, block in sorted(self._blocks.items())]
        if self._slab_live:
            lines.append(f"{self._slab_live} buffer(s) of kmalloc")
        return lines

    @property
    def mappings(self) -> int:
        """Number of live mappings, coherent memory included."""
        return sum(self._maps.values())

    @property
    def buffers(self) -> int:
        """Number of live buffers, coherent memory included."""
        return self._slab_live + len(self._blocks)

    # Inside.

    def _set_shadow(self, start: int, end: int, bits: int) -> None:
        """Add bits to shadow octets, which may have some already."""
        part = int.from_bytes(self.shadow[start:end], "little")
        part |= int.from_bytes(bytes([bits]) * (end - start), "little")
        self.shadow[start:end] = part.to_bytes(end - start, "little")

    def _restore(self, start: int, end: int) -> None:
        """After an unmap: give back what other mappings of the same octets allow."""
        for first, length, direction in map(_map_parts, self._maps):
            if first < end and start < first + length:
                self._set_shadow(max(first, start), min(first + length, end), _ACCESS[direction])

    def _refill(self, size: int) -> None:
        offset = self._take_order(_SLAB_SHIFT)
        view = self.octets
        self._free_classes[size] += [
            MemoryBlock(PHYS_BASE + at, at, view[at : at + size])
            for at in range(offset + ((1 << _SLAB_SHIFT) // size - 1) * size, offset - 1, -size)
        ]

    def _pages(self, size_octets: int, base: int) -> MemoryBlock:
        if size_octets < 1:
            raise ValueError(f"size_octets must be at least 1, not {size_octets!r}")
        offset = self._take_order(max(PAGE_SHIFT, (size_octets - 1).bit_length()))
        block = MemoryBlock(base + offset, offset, self.octets[offset : offset + size_octets])
        self._blocks[offset] = block
        return block

    def _free_pages(self, block: MemoryBlock) -> None:
        del self._blocks[block.offset]
        order = max(PAGE_SHIFT, (len(block.view) - 1).bit_length())
        offset = block.offset
        orders = self._free_orders
        while order + 1 < len(orders) and offset ^ (1 << order) in orders[order]:  # Join with the buddy.
            orders[order].remove(offset ^ (1 << order))
            offset &= ~(1 << order)
            order += 1
        orders[order].add(offset)

    def _take_order(self, order: int) -> int:
        """Take 2^order octets, aligned to their size, at the lowest place of the smallest block that has room."""
        for larger in range(order, len(self._free_orders)):
            if self._free_orders[larger]:
                offset = min(self._free_orders[larger])
                self._free_orders[larger].remove(offset)
                for split in range(order, larger):
                    self._free_orders[split].add(offset + (1 << split))
                return offset
        raise OSError(errno.ENOMEM, f"no {1 << order} octets in one piece are left in the host's memory")


def _map_key(start: int, length_octets: int, direction: Direction) -> int:
    """Return a mapping as one number."""
    return start << 34 | length_octets << 2 | direction


def _map_parts(key: int) -> tuple[int, int, Direction]:
    """Undo ``_map_key``."""
    return key >> 34, key >> 2 & 0xFFFF_FFFF, Direction(key & 3)

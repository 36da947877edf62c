"""The host's memory: allocation, mappings and what they let a device do."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.sim.memory import BUS_BASE, DmaError, HostMemory
from hardwire.stack.drivers.bus import Direction

SIZE = 1 << 20


def test_size_must_be_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="^size_octets must be a power of two from 1048576 up, not 1000000$"):
        HostMemory(1_000_000)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 96, 97, 192, 1514, 8191, 8192, 8193, 65536, 100_000])
def test_kmalloc_gives_at_least_the_size(size: int) -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(size)
    assert len(block.view) >= size
    block.view[:size] = bytes(size)
    memory.kfree(block)
    assert memory.buffers == 0


def test_kmalloc_blocks_never_overlap() -> None:
    memory = HostMemory(SIZE)
    blocks = [memory.kmalloc(size) for size in (64, 64, 100, 2048, 9000, 64, 2048)]
    spans = sorted((b.offset, b.offset + len(b.view)) for b in blocks)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


def test_kmalloc_reuses_memory_and_fills_it_when_freed() -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(64)
    block.view[:4] = b"abcd"
    memory.kfree(block)
    again = memory.kmalloc(64)
    assert again.addr == block.addr
    assert bytes(again.view) == b"\x6b" * 64


def test_memory_that_is_full_says_enomem_and_recovers() -> None:
    memory = HostMemory(SIZE)
    blocks = [memory.kmalloc(65536) for _ in range(SIZE // 65536)]
    with pytest.raises(OSError, match="no 65536 octets in one piece") as caught:
        memory.kmalloc(65536)
    assert caught.value.errno == errno.ENOMEM
    for block in blocks:
        memory.kfree(block)
    memory.kfree(memory.kmalloc(SIZE))  # All joined again.


def test_double_free_is_caught() -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(64)
    memory.kfree(block)
    with pytest.raises(DmaError, match="is freed twice"):
        memory.kfree(block)


def test_free_of_mapped_memory_is_caught() -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(2048)
    memory.map(block.addr + 100, 10, Direction.TO_DEVICE)
    with pytest.raises(DmaError, match="is freed while a device can reach it"):
        memory.kfree(block)


def test_unmap_needs_the_arguments_of_map() -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(2048)
    bus = memory.map(block.addr, 100, Direction.TO_DEVICE)
    with pytest.raises(DmaError, match="unmap of 99 octets at 0x1[0-9a-f]{8}, TO_DEVICE: not mapped"):
        memory.unmap(bus, 99, Direction.TO_DEVICE)
    with pytest.raises(DmaError, match="FROM_DEVICE: not mapped"):
        memory.unmap(bus, 100, Direction.FROM_DEVICE)
    memory.unmap(bus, 100, Direction.TO_DEVICE)
    with pytest.raises(DmaError, match="not mapped"):
        memory.unmap(bus, 100, Direction.TO_DEVICE)


def test_map_outside_memory_is_caught() -> None:
    memory = HostMemory(SIZE)
    with pytest.raises(DmaError, match="map of 10 octets at 0x10: not in memory"):
        memory.map(0x10, 10, Direction.TO_DEVICE)


@pytest.mark.parametrize("size", [1, 4096, 4097, 65536])
def test_coherent_memory_is_zero_aligned_and_above_4_gib(size: int) -> None:
    memory = HostMemory(SIZE)
    dirty = memory.kmalloc(65536)
    memory.kfree(dirty)
    block = memory.alloc_coherent(size)
    assert block.addr >= BUS_BASE
    assert block.addr % max(4096, 1 << (size - 1).bit_length()) == 0
    assert bytes(block.view[:size]) == bytes(size)
    assert memory.leaks()
    memory.free_coherent(block)
    assert memory.leaks() == []


def test_leaks_names_each_mapping() -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(64)
    bus = memory.map(block.addr, 64, Direction.TO_DEVICE)
    memory.map(block.addr, 64, Direction.TO_DEVICE)
    assert memory.leaks() == [f"mapping of 64 octets at {bus:#x}, TO_DEVICE, 2 time(s)", "1 buffer(s) of kmalloc"]
    assert memory.mappings == 2


_RANGES = st.tuples(st.integers(0, 60), st.integers(1, 40), st.sampled_from(Direction))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_RANGES, st.booleans()), max_size=30))
def test_shadow_is_the_union_of_all_live_mappings(steps: list[tuple[tuple[int, int, Direction], bool]]) -> None:
    memory = HostMemory(SIZE)
    block = memory.kmalloc(128)
    live: list[tuple[int, int, Direction]] = []
    for (start, length, direction), add in steps:
        if add or not live:
            memory.map(block.addr + start, length, direction)
            live.append((start, length, direction))
        else:
            start, length, direction = live.pop((start * 7 + length) % len(live))
            memory.unmap(block.offset + start + BUS_BASE, length, direction)
        expected = bytearray(128)
        for start, length, direction in live:
            bits = {Direction.BIDIRECTIONAL: 3, Direction.TO_DEVICE: 1, Direction.FROM_DEVICE: 2}[direction]
            for at in range(start, start + length):
                expected[at] |= bits
        assert memory.shadow[block.offset : block.offset + 128] == bytes(expected)

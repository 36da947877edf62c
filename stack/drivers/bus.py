"""How a driver reaches its device: registers, DMA and interrupts, whoever implements them."""

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from ..core.platform import Buffer

__all__ = ["Direction", "Dma", "Irq", "Mmio"]


class Direction(IntEnum):
    """Which way a mapping lets the device move octets (Linux: ``enum dma_data_direction``)."""

    BIDIRECTIONAL = 0
    TO_DEVICE = 1
    FROM_DEVICE = 2


class Mmio(Protocol):
    """Access to a device's registers, by their offset in octets."""

    def read32(self, offset: int) -> int:
        """Read a register. Time passes until the device has answered."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write a register. Posted: it reaches the device in order, but after this call has returned."""
        ...


class Dma(Protocol):
    """Memory as the device sees it (Linux: the DMA API)."""

    def alloc_coherent(self, size_octets: int) -> Buffer:
        """Return zeroed memory mapped both ways until freed, aligned to its size rounded up to a power of two.

        ``Buffer.addr`` is the bus address.
        """
        ...

    def free_coherent(self, buffer: Buffer) -> None:
        """Unmap and free what ``alloc_coherent`` returned."""
        ...

    def map(self, addr: int, length_octets: int, direction: Direction) -> int:
        """Let the device reach memory from ``kmalloc``, and return its bus address. Never copies.

        Raises
        ------
        OSError
            ``ENOMEM`` when the mapping cannot be made; the caller drops or requeues.
        """
        ...

    def unmap(self, bus_addr: int, length_octets: int, direction: Direction) -> None:
        """Take the mapping away again; same arguments as ``map`` but its result."""
        ...


class Irq(Protocol):
    """An interrupt line of the device."""

    def request(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` in hard interrupt context while the line is high (Linux: ``request_irq``)."""
        ...

    def free(self) -> None:
        """Stop calling the handler."""
        ...

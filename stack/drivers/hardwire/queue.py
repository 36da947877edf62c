"""A queue of our NIC as the driver sees it, whichever way it goes: rings in memory, registers, interrupt moderation."""

from errno import EINVAL, EIO
from typing import TYPE_CHECKING, ClassVar

from ...abi.model import Block, Record
from ...abi.queues import TXQ
from ...core.platform import Buffer, WaitQueue

if TYPE_CHECKING:
    from ...core.netdevice import NetDevice
    from ..bus import Dma, Mmio

__all__ = ["RING_LOG2_MIN", "Queue"]

RING_LOG2_MIN = 1
_POLL_NS = 20_000
_DRAIN_NS = 10_000_000_000  # The longest ring of the longest frames takes a quarter of this at 1 Gb/s.
_RESET_READS = 100_000
_ARM = TXQ["CPL_TAIL"]["arm"].mask  # The same in both kinds.


class Queue:
    """What TX and RX queues have in common.

    Members
    -------
    registers, desc_record, cpl_record : Block, Record, Record
        Where its registers are, and what its rings are made of.
    count, mask : int
        Number of descriptors, a power of two, and that less one.
    next_to_use, next_to_clean : int
        The descriptor to be filled next, and the first that is not completed; equal when the ring is empty.
    cpl_next, phase : int
        The completion to be read next, and the phase bit that it has once it is written.
    posted : int
        What the doorbell register was last set to.
    told : int
        The completion that the device was last told to be the next.
    irq_enabled : bool
        Whether the device may interrupt.
    stat : dict[str, int]
        The driver's own counters.
    """

    __slots__ = (
        "clock_khz",
        "count",
        "cpl",
        "cpl_next",
        "cpl_tail_reg",
        "cpl_view",
        "desc",
        "desc_view",
        "dev",
        "dma",
        "index",
        "irq_count",
        "irq_enabled",
        "irq_reg",
        "irq_time_ns",
        "log2",
        "mask",
        "mmio",
        "next_to_clean",
        "next_to_use",
        "phase",
        "posted",
        "stat",
        "tail_reg",
        "told",
    )

    registers: ClassVar[Block]
    desc_record: ClassVar[Record]
    cpl_record: ClassVar[Record]

    def __init__(
        self, index: int, dev: "NetDevice", mmio: "Mmio", dma: "Dma", *, log2: int, clock_khz: int, irq_time_ns: int
    ) -> None:
        self.index = index
        self.dev = dev
        self.mmio = mmio
        self.dma = dma
        self.clock_khz = clock_khz
        self.tail_reg = self._address("TAIL")
        self.cpl_tail_reg = self._address("CPL_TAIL")
        self.irq_reg = self._address("IRQ")
        self.irq_count = 32
        self.irq_time_ns = irq_time_ns
        self.irq_enabled = False
        self.desc: Buffer | None = None
        self.cpl: Buffer | None = None
        self.stat: dict[str, int] = {}
        self.set_size(log2)

    def set_size(self, log2: int) -> None:
        """Set the number of descriptors, of a ring that is not set up."""
        self.log2 = log2
        self.count = 1 << log2
        self.mask = self.count - 1
        self.clear()

    def clear(self) -> None:
        """Forget what was in the ring."""
        self.next_to_use = self.next_to_clean = self.posted = self.cpl_next = self.told = 0
        self.phase = 1

    def unused(self) -> int:
        """Return how many descriptors may be filled now."""
        return (self.next_to_clean - self.next_to_use - 1) & self.mask

    def _address(self, register: str) -> int:
        return self.registers.address(self.registers[register], self.index)

    def _write(self, register: str, value: int) -> None:
        self.mmio.write32(self._address(register), value)

    def _is(self, *states: str) -> bool:
        """Return whether the queue is in one of these states."""
        status = self.registers["STATUS"]
        return bool(self.mmio.read32(self._address("STATUS")) & sum(status[state].mask for state in states))

    def allocate(self, log2: int) -> None:
        """Get memory for rings of that size, in place of what there was.

        Raises
        ------
        OSError
            ``ENOMEM``; the ring has what it had.
        """
        desc = self.dma.alloc_coherent(self.desc_record.size_octets << log2)
        try:
            cpl = self.dma.alloc_coherent(self.cpl_record.size_octets << log2)
        except OSError:
            self.dma.free_coherent(desc)
            raise
        self.free()
        self.desc, self.cpl = desc, cpl
        self.desc_view, self.cpl_view = desc.view, cpl.view
        self.set_size(log2)

    def free(self) -> None:
        """Give the memory back."""
        if self.desc is not None:
            self.dma.free_coherent(self.desc)
        if self.cpl is not None:
            self.dma.free_coherent(self.cpl)
        self.desc = self.cpl = None

    def start(self) -> None:
        """Let the device work on an empty ring."""
        assert self.desc is not None
        assert self.cpl is not None
        self.clear()
        octets = self.cpl_record.size_octets << self.log2
        self.cpl_view[:octets] = bytes(octets)
        self._write("SIZE", self.log2)
        self._write("BASE_LO", self.desc.addr & 0xFFFFFFFF)
        self._write("BASE_HI", self.desc.addr >> 32)
        self._write("CPL_BASE_LO", self.cpl.addr & 0xFFFFFFFF)
        self._write("CPL_BASE_HI", self.cpl.addr >> 32)
        self._write("TAIL", 0)
        self.set_moderation(self.irq_count, self.irq_time_ns)
        self._write("CTRL", self.registers["CTRL"].pack(enable=1))
        self.arm()

    def set_moderation(self, count: int, time_ns: int) -> None:
        """Set after how many completions, and how long after the first of them, the device interrupts.

        Raises
        ------
        OSError
            ``EINVAL`` for what the registers cannot hold.
        """
        cycles = -(-time_ns * self.clock_khz // 1_000_000)
        try:
            # More completions than the ring has can never be waiting.
            count_value = self.registers["IRQ_COUNT"].pack(completions=min(count, self.mask) or 1)
            time_value = self.registers["IRQ_TIME"].pack(cycles=cycles)
        except ValueError as error:
            raise OSError(EINVAL, str(error)) from None
        self.irq_count = count
        self.irq_time_ns = time_ns
        self._write("IRQ_COUNT", count_value)
        self._write("IRQ_TIME", time_value)

    def is_completed(self) -> bool:
        """Return whether the device has written a completion that was not looked at."""
        size = self.cpl_record.size_octets
        return self.cpl is not None and self.cpl_view[self.cpl_next * size + size - 1] == self.phase

    def arm(self) -> None:
        """Tell the device what completions were seen, and let it interrupt for the next."""
        self.irq_enabled = True
        self.told = self.cpl_next
        self.mmio.write32(self.cpl_tail_reg, self.cpl_next | _ARM)

    def rearm(self) -> None:
        """Do so if there is need: it may not interrupt, or it would for completions that were seen."""
        if not self.irq_enabled or self.told != self.cpl_next:
            self.arm()

    def mask_irq(self) -> None:
        """Keep the device from interrupting."""
        self.irq_enabled = False
        self.mmio.write32(self.irq_reg, 0)

    def post(self) -> None:
        """Ring the doorbell for what was put into the ring."""
        self.posted = self.next_to_use
        self.mmio.write32(self.tail_reg, self.posted)

    def drain(self) -> None:
        """Stop in order: let the device finish what it has begun, or abort what takes it too long.

        Raises
        ------
        OSError
            ``EIO`` if the device does not come to rest.
        """
        kernel = self.dev.kernel
        self._write("CTRL", 0)
        queue = WaitQueue()
        deadline_ns = kernel.now_ns() + _DRAIN_NS
        while self._is("running") and kernel.now_ns() < deadline_ns:
            kernel.platform.wait(queue, kernel.now_ns() + _POLL_NS)
        self.reset()  # The indices of a queue that was stopped stay; this clears them.

    def reset(self) -> None:
        """Stop at once; when this returns the device has written all completions and touches no memory.

        Raises
        ------
        OSError
            ``EIO`` if the device does not come to rest.
        """
        self._write("CTRL", self.registers["CTRL"].pack(reset=1))
        for _ in range(_RESET_READS):
            if not self._is("running", "resetting"):
                return
        raise OSError(EIO, f"{self.registers.name[:2].upper()} queue {self.index} does not come out of reset")

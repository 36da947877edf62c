"""A TX queue of our NIC as the driver sees it: rings in memory, the registers, and who owns which descriptor."""

from errno import EINVAL, EIO
from typing import TYPE_CHECKING

from ...abi.desc import TX_CPL, TX_DESC
from ...abi.regs import TXQ
from ...core.dev_queue import netdev_tx_reset_queue
from ...core.netdevice import NetdevQueue
from ...core.platform import Buffer, WaitQueue
from ...core.skbuff import MAX_SKB_FRAGS, SkBuff

if TYPE_CHECKING:
    from ...core.dev_napi import Napi
    from ..bus import Dma, Irq, Mmio

__all__ = ["RING_LOG2_MIN", "TxRing"]

RING_LOG2_MIN = 1
_POLL_NS = 20_000
_DRAIN_NS = 10_000_000_000  # The longest ring of the longest frames takes a quarter of this at 1 Gb/s.
_RESET_READS = 100_000

_CTRL, _STATUS, _IRQ = TXQ["CTRL"], TXQ["STATUS"], TXQ["IRQ"]
_CPL_TAIL, _IRQ_COUNT, _IRQ_TIME = TXQ["CPL_TAIL"], TXQ["IRQ_COUNT"], TXQ["IRQ_TIME"]
_RUNNING, _RESETTING = _STATUS["running"].mask, _STATUS["resetting"].mask
_MIN_ALLOC_OCTETS = 4096


class TxRing:
    """One TX queue.

    Members
    -------
    count, mask : int
        Number of descriptors, a power of two, and that less one.
    next_to_use, next_to_clean : int
        The descriptor to be filled next, and the first that is not completed; equal when the ring is empty.
    cpl_next, phase : int
        The completion to be read next, and the phase bit that it has once it is written.
    max_parts : int
        The most parts that a frame can have here: one descriptor stays unused.
    skbs : list[SkBuff or None]
        By descriptor: the skb whose last part it is.
    bus, length : list[int]
        By descriptor: what is mapped for it.
    posted : int
        What the doorbell register was last set to.
    stat : dict[str, int]
        The driver's own counters.
    """

    __slots__ = (
        "bus",
        "clock_khz",
        "count",
        "cpl",
        "cpl_next",
        "cpl_tail_reg",
        "cpl_view",
        "desc",
        "desc_view",
        "dma",
        "index",
        "irq",
        "irq_count",
        "irq_reg",
        "irq_time_ns",
        "length",
        "log2",
        "mask",
        "max_parts",
        "mmio",
        "napi",
        "next_to_clean",
        "next_to_use",
        "phase",
        "posted",
        "skbs",
        "stat",
        "tail_reg",
        "txq",
    )

    def __init__(
        self, index: int, txq: NetdevQueue, mmio: "Mmio", dma: "Dma", irq: "Irq", *, log2: int, clock_khz: int
    ) -> None:
        self.index = index
        self.txq = txq
        self.mmio = mmio
        self.dma = dma
        self.irq = irq
        self.clock_khz = clock_khz
        self.napi: Napi
        self.tail_reg = TXQ.address(TXQ["TAIL"], index)
        self.cpl_tail_reg = TXQ.address(_CPL_TAIL, index)
        self.irq_reg = TXQ.address(_IRQ, index)
        self.irq_count = 32
        self.irq_time_ns = 20_000
        self.desc: Buffer | None = None
        self.cpl: Buffer | None = None
        self.stat = {
            "resolve_misses": 0,
            "busy": 0,
            "linearized": 0,
            "doorbells": 0,
            "mapping_errors": 0,
            "part_errors": 0,  # Completions of a descriptor that could not be read and was not a frame's last.
            "resets": 0,
        }
        self.set_size(log2)

    def set_size(self, log2: int) -> None:
        """Set the number of descriptors, of a ring that is not set up."""
        self.log2 = log2
        self.count = 1 << log2
        self.mask = self.count - 1
        self.max_parts = min(MAX_SKB_FRAGS + 1, self.mask)
        self._clear()

    def _clear(self) -> None:
        self.next_to_use = self.next_to_clean = self.posted = self.cpl_next = 0
        self.phase = 1
        self.skbs: list[SkBuff | None] = [None] * self.count
        self.bus = [0] * self.count
        self.length = [0] * self.count

    def unused(self) -> int:
        """Return how many descriptors may be filled now."""
        return (self.next_to_clean - self.next_to_use - 1) & self.mask

    def _write(self, register: str, value: int) -> None:
        self.mmio.write32(TXQ.address(TXQ[register], self.index), value)

    def _status(self) -> int:
        return self.mmio.read32(TXQ.address(_STATUS, self.index))

    def allocate(self, log2: int) -> None:
        """Get memory for rings of that size, in place of what there was.

        Raises
        ------
        OSError
            ``ENOMEM``; the ring has what it had.
        """
        desc = self.dma.alloc_coherent(max(TX_DESC.size_octets << log2, _MIN_ALLOC_OCTETS))
        try:
            cpl = self.dma.alloc_coherent(max(TX_CPL.size_octets << log2, _MIN_ALLOC_OCTETS))
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
        self._clear()
        self.cpl_view[: TX_CPL.size_octets << self.log2] = bytes(TX_CPL.size_octets << self.log2)
        self._write("SIZE", self.log2)
        self._write("BASE_LO", self.desc.addr & 0xFFFFFFFF)
        self._write("BASE_HI", self.desc.addr >> 32)
        self._write("CPL_BASE_LO", self.cpl.addr & 0xFFFFFFFF)
        self._write("CPL_BASE_HI", self.cpl.addr >> 32)
        self._write("TAIL", 0)
        self.set_moderation(self.irq_count, self.irq_time_ns)
        self._write("CTRL", _CTRL.pack(enable=1))
        self.arm()
        netdev_tx_reset_queue(self.txq)

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
            count_value = _IRQ_COUNT.pack(completions=min(count, self.mask) or 1)
            time_value = _IRQ_TIME.pack(cycles=cycles)
        except ValueError as error:
            raise OSError(EINVAL, str(error)) from None
        self.irq_count = count
        self.irq_time_ns = time_ns
        self._write("IRQ_COUNT", count_value)
        self._write("IRQ_TIME", time_value)

    def arm(self) -> None:
        """Tell the device what completions were seen, and let it interrupt for the next."""
        self.mmio.write32(self.cpl_tail_reg, self.cpl_next | _CPL_TAIL["arm"].mask)

    def mask_irq(self) -> None:
        """Keep the device from interrupting."""
        self.mmio.write32(self.irq_reg, 0)

    def drain(self) -> None:
        """Stop in order: let the device send all that was posted, or abort what takes it too long.

        Raises
        ------
        OSError
            ``EIO`` if the device does not come to rest.
        """
        kernel = self.txq.dev.kernel
        self._write("CTRL", 0)
        queue = WaitQueue()
        deadline_ns = kernel.now_ns() + _DRAIN_NS
        while self._status() & _RUNNING and kernel.now_ns() < deadline_ns:
            kernel.platform.wait(queue, kernel.now_ns() + _POLL_NS)
        self.reset()  # The indices of a queue that was stopped stay; this clears them.

    def reset(self) -> None:
        """Stop at once; when this returns the device has written all completions and touches no memory.

        Raises
        ------
        OSError
            ``EIO`` if the device does not come to rest.
        """
        self._write("CTRL", _CTRL.pack(reset=1))
        for _ in range(_RESET_READS):
            if not self._status() & (_RESETTING | _RUNNING):
                return
        raise OSError(EIO, f"TX queue {self.index} does not come out of reset")

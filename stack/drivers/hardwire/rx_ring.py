"""An RX queue of our NIC as the driver sees it: which buffers the device has."""

from typing import TYPE_CHECKING

from ...abi.desc import RX_ALIGN_OCTETS, RX_CPL, RX_DESC, RX_PAD_OCTETS
from ...abi.regs import RXQ
from ...core.dev_napi import Napi, napi_schedule
from ...core.platform import Buffer
from ...core.skbuff import MAX_SKB_FRAGS
from ...core.skbuff_rx import NET_SKB_PAD
from ...core.timer import TimerList, del_timer, jiffies, mod_timer
from ..bus import Direction
from .queue import Queue

if TYPE_CHECKING:
    from ...core.netdevice import NetDevice
    from ..bus import Dma, Mmio

__all__ = ["RX_HEADROOM_OCTETS", "RxRing"]

RX_HEADROOM_OCTETS = NET_SKB_PAD
_BUFFER_OCTETS = 2048
_IRQ_TIME_NS = 8_000
_BATCH = 16
_RETRY_JIFFIES = 5
_DESC_OCTETS = RX_DESC.size_octets
_FROM_DEVICE = Direction.FROM_DEVICE
_pack_desc = RX_DESC.struct.pack_into


class RxRing(Queue):
    """One RX queue.

    Each descriptor has a buffer, the unused one, too. A frame that is copied out leaves its buffer where it is, mapped,
    and its descriptor as it is; only a buffer that went up the stack is replaced.

    Members
    -------
    napi : Napi
        What polls it.
    blocks : list[Buffer or None]
        By descriptor: its buffer; None once the stack has it.
    bus : list[int]
        By descriptor: where the device sees the buffer's data.
    missing : int
        Descriptors without a buffer.
    room_octets : int
        What the device may write into a buffer.
    head_octets : int
        The most octets of a frame that fit into its first buffer.
    """

    __slots__ = ("_batch", "_buffer_octets", "_retry", "blocks", "bus", "head_octets", "missing", "napi", "room_octets")

    registers = RXQ
    desc_record = RX_DESC
    cpl_record = RX_CPL

    def __init__(
        self,
        index: int,
        dev: "NetDevice",
        mmio: "Mmio",
        dma: "Dma",
        *,
        log2: int,
        clock_khz: int,
        max_frame_octets: int,
    ) -> None:
        super().__init__(index, dev, mmio, dma, log2=log2, clock_khz=clock_khz, irq_time_ns=_IRQ_TIME_NS)
        self.napi: Napi
        self._retry = TimerList(dev.kernel, self._refill_again)
        self.set_buffer_octets(_BUFFER_OCTETS)
        # No frame may be in more buffers than an skb has room for.
        while self.room_octets * (1 + MAX_SKB_FRAGS) < RX_PAD_OCTETS + max_frame_octets:
            self.set_buffer_octets(2 * self._buffer_octets)
        self.stat |= {
            "doorbells": 0,
            "copied": 0,
            "alloc_errors": 0,
            "mapping_errors": 0,
            "payload_errors": 0,
            "desc_errors": 0,
            "bad_descriptors": 0,
            "no_buffer": 0,
            "aborted": 0,
            "flushed": 0,  # Frames that were received and not polled when the device was taken down.
        }

    def set_buffer_octets(self, octets: int) -> None:
        """Set the size of buffers, headroom included, of a ring that is not set up.

        It is a power of two, so that ``kmalloc`` aligns them.
        """
        self._buffer_octets = octets
        self.room_octets = (octets - RX_HEADROOM_OCTETS) // RX_ALIGN_OCTETS * RX_ALIGN_OCTETS
        self.head_octets = self.room_octets - RX_PAD_OCTETS

    def clear(self) -> None:
        """Forget what was in the ring; there are no buffers in it."""
        super().clear()
        self.blocks: list[Buffer | None] = [None] * self.count
        self.bus = [0] * self.count
        self.missing = self.count
        self._batch = max(1, min(_BATCH, self.count >> 3))

    def start(self) -> None:
        """Let the device work on an empty ring, and give it buffers."""
        super().start()
        self.refill()

    def refill(self) -> None:
        """Give the device buffers, in batches; what cannot be had now is tried again later."""
        mask = self.mask
        if self.missing:
            self._allocate_buffers()
        else:
            self.next_to_use = (self.next_to_clean - 1) & mask
        unposted = (self.next_to_use - self.posted) & mask
        left = (self.posted - self.next_to_clean) & mask
        if unposted >= self._batch or unposted > left:
            self.stat["doorbells"] += 1
            self.post()

    def _allocate_buffers(self) -> None:
        """Go on to the last descriptor that may be posted, or the first that there is no buffer for."""
        mask = self.mask
        limit = (self.next_to_clean - 1) & mask
        index = self.next_to_use
        while index != limit:
            if self.blocks[index] is None and not self._new_buffer(index):
                mod_timer(self._retry, jiffies(self.dev.kernel) + _RETRY_JIFFIES)
                break
            index = (index + 1) & mask
        else:
            if self.blocks[limit] is None:
                self._new_buffer(limit)  # For the next time; the device gets along without it.
        self.next_to_use = index

    def _new_buffer(self, index: int) -> bool:
        """Get a buffer for a descriptor; return whether there was one."""
        kernel = self.dev.kernel
        try:
            block = kernel.kmalloc(self._buffer_octets)
        except OSError:
            self.stat["alloc_errors"] += 1
            return False
        try:
            bus = self.dma.map(block.addr + RX_HEADROOM_OCTETS, self.room_octets, _FROM_DEVICE)
        except OSError:
            self.stat["mapping_errors"] += 1
            kernel.kfree(block)
            return False
        self.blocks[index] = block
        self.bus[index] = bus
        self.missing -= 1
        _pack_desc(self.desc_view, index * _DESC_OCTETS, bus, self.room_octets, 0, index)
        return True

    def _refill_again(self) -> None:
        napi_schedule(self.napi)

    def take(self, index: int) -> Buffer:
        """Take the buffer of a descriptor, which the device is done with, out of the ring."""
        block = self.blocks[index]
        assert block is not None
        self.dma.unmap(self.bus[index], self.room_octets, _FROM_DEVICE)
        self.blocks[index] = None
        self.missing += 1
        return block

    def free_buffers(self) -> None:
        """Give all buffers back; the device has let go of the ring."""
        del_timer(self._retry)
        for index, block in enumerate(self.blocks):
            if block is not None:
                self.dev.kernel.kfree(self.take(index))

"""Queues without a driver: rings filled beforehand, for measurements of the device alone."""

from ..stack.abi import TX_CPL, TX_DESC, TXQ, Block, Record, TxFlags
from ..stack.drivers.bus import Direction
from .nic import SimNic

__all__ = ["RawQueue", "RawRings"]


class RawRings:
    """The two rings of queue 0 of a device in one direction, set up with no interrupts and no stack.

    Parameters
    ----------
    nic : SimNic
        The device.
    block : Block
        Registers of the queue.
    desc, completion : Record
        What the rings hold.
    ring_log2 : int
        Log2 of the number of descriptors.
    """

    def __init__(self, nic: SimNic, block: Block, desc: Record, completion: Record, *, ring_log2: int) -> None:
        self.nic = nic
        self.size = 1 << ring_log2
        self._block = block
        self._completion = completion
        self._ring = nic.dma.alloc_coherent(self.size * desc.size_octets)
        self._completions = nic.dma.alloc_coherent(self.size * completion.size_octets)
        for name, ring in (("BASE", self._ring), ("CPL_BASE", self._completions)):
            self.set(f"{name}_LO", ring.addr & 0xFFFF_FFFF)
            self.set(f"{name}_HI", ring.addr >> 32)
        self.set("SIZE", ring_log2)
        self.set("CTRL", block["CTRL"].pack(enable=1))

    def offset(self, name: str) -> int:
        """Return the offset of a register of the queue."""
        return self._block.address(self._block[name])

    def set(self, name: str, value: int) -> None:
        """Write a register of the queue."""
        self.nic.write32(self.offset(name), value)

    def completion(self, index: int) -> dict[str, int]:
        """Return the completion at a place of its ring."""
        size = self._completion.size_octets
        return self._completion.unpack(self._completions.view[index * size : (index + 1) * size])


class RawQueue(RawRings):
    """The TX queue.

    Parameters
    ----------
    nic : SimNic
        The device.
    ring_log2 : int
        Log2 of the number of descriptors.
    """

    def __init__(self, nic: SimNic, *, ring_log2: int = 10) -> None:
        super().__init__(nic, TXQ, TX_DESC, TX_CPL, ring_log2=ring_log2)

    def fill(self, frame: bytes) -> None:
        """Make every descriptor of the ring send ``frame``, one descriptor each."""
        buffer = self.nic.dma.kmalloc(len(frame))
        buffer.view[: len(frame)] = frame
        addr = self.nic.dma.map(buffer.addr, len(frame), Direction.TO_DEVICE)
        flags = TxFlags.FIRST | TxFlags.LAST
        self._ring.view[: self.size * TX_DESC.size_octets] = self.size * TX_DESC.pack(
            addr=addr, length=len(frame), flags=flags
        )

    def ring_doorbell(self, tail: int) -> None:
        """Post the descriptors up to ``tail``."""
        self.set("TAIL", tail)

    def statuses(self, count: int) -> list[int]:
        """Return the status of the first ``count`` completions."""
        return [self.completion(at)["status"] for at in range(count)]

"""A TX queue without a driver: rings filled beforehand, for measurements of the device alone."""

from ..stack.abi import TX_CPL, TX_DESC, TXQ, TxFlags
from ..stack.drivers.bus import Direction
from .nic import SimNic

__all__ = ["RawQueue"]


class RawQueue:
    """Queue 0 of a device, set up with no interrupts and no stack.

    Parameters
    ----------
    nic : SimNic
        The device.
    ring_log2 : int
        Log2 of the number of descriptors.
    """

    def __init__(self, nic: SimNic, *, ring_log2: int = 10) -> None:
        self.nic = nic
        self.size = 1 << ring_log2
        self.tail_offset = TXQ.address(TXQ["TAIL"])
        self.cpl_tail_offset = TXQ.address(TXQ["CPL_TAIL"])
        self._ring = nic.dma.alloc_coherent(self.size * TX_DESC.size_octets)
        self._completions = nic.dma.alloc_coherent(self.size * TX_CPL.size_octets)
        for name, value in (
            ("BASE_LO", self._ring.addr & 0xFFFF_FFFF),
            ("BASE_HI", self._ring.addr >> 32),
            ("CPL_BASE_LO", self._completions.addr & 0xFFFF_FFFF),
            ("CPL_BASE_HI", self._completions.addr >> 32),
            ("SIZE", ring_log2),
            ("CTRL", TXQ["CTRL"].pack(enable=1)),
        ):
            nic.write32(TXQ.address(TXQ[name]), value)

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
        self.nic.write32(self.tail_offset, tail)

    def statuses(self, count: int) -> list[int]:
        """Return the status of the first ``count`` completions."""
        size = TX_CPL.size_octets
        return [TX_CPL.unpack(self._completions.view[at * size : (at + 1) * size])["status"] for at in range(count)]

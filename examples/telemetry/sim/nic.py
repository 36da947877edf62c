"""Firmware without an operating system: it sends one frame at a time through a hardwire card, and polls.

It needs what any driver needs: registers (``read32``, ``write32``) and memory that the card can reach.
"""

from typing import Any

from hardwire.stack.abi import DEVICE_ID, GLOBAL, TX_CPL, TX_DESC, TXQ, TxFlags, TxStatus
from hardwire.stack.drivers.bus import Direction

__all__ = ["TinyDriver"]

_RING_LOG2 = 2
_PATIENCE = 1000


class TinyDriver:
    """Sends frames through a card.

    Parameters
    ----------
    mmio
        The card's registers.
    dma
        Memory.
    """

    def __init__(self, mmio: Any, dma: Any) -> None:
        if mmio.read32(GLOBAL.address(GLOBAL["ID"])) != DEVICE_ID:
            raise RuntimeError("this is no hardwire card")
        self._mmio = mmio
        self._dma = dma
        self._sent = 0
        self._ring = dma.alloc_coherent(TX_DESC.size_octets << _RING_LOG2)
        self._completions = dma.alloc_coherent(TX_CPL.size_octets << _RING_LOG2)
        for name, memory in (("BASE", self._ring), ("CPL_BASE", self._completions)):
            self._set(f"{name}_LO", memory.addr & 0xFFFF_FFFF)
            self._set(f"{name}_HI", memory.addr >> 32)
        self._set("SIZE", _RING_LOG2)
        self._set("CTRL", TXQ["CTRL"].pack(enable=1))

    def send(self, frame: bytes) -> TxStatus:
        """Send a frame, without FCS; return what became of it."""
        buffer = self._dma.kmalloc(len(frame))
        buffer.view[: len(frame)] = frame
        addr = self._dma.map(buffer.addr, len(frame), Direction.TO_DEVICE)
        lap, at = divmod(self._sent, 1 << _RING_LOG2)
        desc = TX_DESC.pack(addr=addr, length=len(frame), flags=TxFlags.FIRST | TxFlags.LAST)
        self._ring.view[at * len(desc) : (at + 1) * len(desc)] = desc
        self._sent += 1
        self._set("TAIL", self._sent % (1 << _RING_LOG2))
        done = self._wait(at, phase=1 - lap % 2)
        self._set("CPL_TAIL", self._sent % (1 << _RING_LOG2))
        self._dma.unmap(addr, len(frame), Direction.TO_DEVICE)
        self._dma.kfree(buffer)
        return TxStatus(done["status"])

    def _wait(self, at: int, *, phase: int) -> dict[str, int]:
        size = TX_CPL.size_octets
        for _ in range(_PATIENCE):
            done = TX_CPL.unpack(self._completions.view[at * size : (at + 1) * size])
            if done["phase"] == phase:
                return done
            self._mmio.read32(GLOBAL.address(GLOBAL["ID"]))  # Time passes.
        raise TimeoutError("the card does not end what it has begun")

    def _set(self, name: str, value: int) -> None:
        self._mmio.write32(TXQ.address(TXQ[name]), value)

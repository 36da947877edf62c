"""A TX queue of our NIC as the driver sees it: who owns which descriptor."""

from typing import TYPE_CHECKING

from ...abi.desc import TX_CPL, TX_DESC
from ...abi.regs import TXQ
from ...core.dev_queue import netdev_tx_reset_queue
from ...core.netdevice import NetdevQueue
from ...core.skbuff import MAX_SKB_FRAGS, SkBuff
from .queue import Queue

if TYPE_CHECKING:
    from ..bus import Dma, Mmio

__all__ = ["TxRing"]

_IRQ_TIME_NS = 50_000  # Longer than RX's, so that polling for received frames finds the completions first.


class TxRing(Queue):
    """One TX queue.

    Members
    -------
    txq : NetdevQueue
        The same queue in the stack.
    max_parts : int
        The most parts that a frame can have here: one descriptor stays unused.
    skbs : list[SkBuff or None]
        By descriptor: the skb whose last part it is.
    bus, length : list[int]
        By descriptor: what is mapped for it.
    """

    __slots__ = ("bus", "length", "max_parts", "skbs", "txq")

    registers = TXQ
    desc_record = TX_DESC
    cpl_record = TX_CPL

    def __init__(self, index: int, txq: NetdevQueue, mmio: "Mmio", dma: "Dma", *, log2: int, clock_khz: int) -> None:
        super().__init__(index, txq.dev, mmio, dma, log2=log2, clock_khz=clock_khz, irq_time_ns=_IRQ_TIME_NS)
        self.txq = txq
        self.stat |= {
            "resolve_misses": 0,
            "busy": 0,
            "linearized": 0,
            "doorbells": 0,
            "mapping_errors": 0,
            "part_errors": 0,  # Completions of a descriptor that could not be read and was not a frame's last.
            "resets": 0,
        }

    def clear(self) -> None:
        """Forget what was in the ring."""
        super().clear()
        self.max_parts = min(MAX_SKB_FRAGS + 1, self.mask)
        self.skbs: list[SkBuff | None] = [None] * self.count
        self.bus = [0] * self.count
        self.length = [0] * self.count

    def start(self) -> None:
        """Let the device work on an empty ring."""
        super().start()
        netdev_tx_reset_queue(self.txq)

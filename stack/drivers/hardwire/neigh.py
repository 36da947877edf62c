"""Keeping the NIC's ARP cache in step with the neighbour table, through its registers and without waiting."""

from collections import deque
from typing import TYPE_CHECKING

from ...abi.regs import ARP, ArpOp
from ...core.neighbour import NUD_REACHABLE, NUD_VALID, Neighbour, neigh_event_send
from ...core.neighbour_output import neigh_hw_miss
from ...core.netevent import NetEvent
from ...core.skbuff import SkBuff
from ...core.softirq import run_in_softirq
from ...core.timer import TimerList, del_timer, jiffies, mod_timer, timer_pending

if TYPE_CHECKING:
    from ...core.netdevice import NetDevice
    from ..bus import Mmio

__all__ = ["NeighOffload"]

_POLL_NS = 1_000
_BUSY_READS = 100_000

_KEY, _MAC_LO, _MAC_HI, _INDEX, _OP, _STATUS, _RESULT_KEY, _RESULT_MAC_LO, _RESULT_MAC_HI = (
    ARP.address(ARP[name])
    for name in (
        "KEY",
        "MAC_LO",
        "MAC_HI",
        "INDEX",
        "OP",
        "STATUS",
        "RESULT_KEY",
        "RESULT_MAC_LO",
        "RESULT_MAC_HI",
    )
)
_BUSY, _FOUND, _EVICTED, _ACTIVE = (ARP["STATUS"][name].mask for name in ("busy", "found", "evicted", "active"))


class NeighOffload:
    """The driver's side of the ARP cache.

    The device does one operation at a time. Changes wait in a queue; a timer looks whether the device is done and
    starts the next. ``shadow`` has what the cache will have when the next descriptor is looked up: an insertion enters
    it when its registers are written, which is before any later doorbell; a deletion leaves it as soon as it is known.

    While there are reachable neighbours, a timer has the activity bits read every ``delay_probe_time``: packets to such
    a neighbour pass its state machine by, so this tells it that the neighbour is in use, and is to be probed before it
    gets stale.

    Members
    -------
    shadow : dict[int, bytes]
        MAC address by IPv4 address.
    evictions : int
        Entries that had to make room for others.
    """

    def __init__(self, dev: "NetDevice", mmio: "Mmio", entries: int) -> None:
        self.dev = dev
        self.mmio = mmio
        self.entries = entries
        self.shadow: dict[int, bytes] = {}
        self.evictions = 0
        self._neighbours: dict[int, Neighbour] = {}
        self._queue: deque[tuple[ArpOp, int, bytes]] = deque()
        self._running: ArpOp | None = None
        self._unread = 0  # Entries whose activity bit is still to be read.
        self._update_work = TimerList(dev.kernel, self._neighs_update_work)

    def netevent(self, event: int, neigh: object) -> None:
        """Take over a change of a neighbour; it goes to ``register_netevent_notifier``."""
        if event != NetEvent.NEIGH_UPDATE or not isinstance(neigh, Neighbour) or neigh.dev is not self.dev:
            return
        key = neigh.primary_key
        unicast = not neigh.ha[0] & 1
        if neigh.nud_state & NUD_VALID and not neigh.dead and unicast:
            if self.shadow.get(key) != neigh.ha:
                self.shadow.pop(key, None)
                self._neighbours[key] = neigh
                self.submit(ArpOp.INSERT, key, neigh.ha)
            if neigh.nud_state & NUD_REACHABLE and not timer_pending(self._update_work):
                self._update_later(neigh)
        elif self._neighbours.pop(key, None) is not None:
            self.shadow.pop(key, None)
            self.submit(ArpOp.DELETE, key)

    def missed(self, skb: SkBuff) -> None:
        """Take back a frame whose next hop was not in the cache, and have the neighbour layer send it again."""
        dst = skb.dst
        if dst is not None:
            at = skb.network_header + 16
            key = dst.gw or int.from_bytes(skb.view[at : at + 4], "big")
            self.shadow.pop(key, None)
        neigh_hw_miss(skb)

    def flush(self) -> None:
        """Empty the cache."""
        del_timer(self._update_work)
        self._unread = 0
        self._queue.clear()
        self._neighbours.clear()
        self.shadow.clear()
        self.submit(ArpOp.FLUSH)

    def submit(self, op: ArpOp, key: int = 0, mac: bytes = bytes(6)) -> None:
        """Have the device do an operation, once it is done with those before."""
        self._queue.append((op, key, mac))
        if self._running is None:
            self._start()

    def _start(self) -> None:
        """Start the next operation: a change, or else a look at the next activity bit."""
        if self._queue:
            op, key, mac = self._queue.popleft()
            self._write(op, key, mac)
            if op == ArpOp.INSERT and not any(entry[1] == key for entry in self._queue):
                self.shadow[key] = mac
        elif self._unread:
            self._unread -= 1
            op = ArpOp.READ_CLEAR
            self._read(op, self._unread)
        else:
            return
        self._running = op
        kernel = self.dev.kernel
        kernel.platform.timer(kernel.now_ns() + _POLL_NS, self._timer)

    def _write(self, op: ArpOp, key: int, mac: bytes) -> None:
        write32 = self.mmio.write32
        write32(_KEY, key)
        write32(_MAC_LO, int.from_bytes(mac[2:], "big"))
        write32(_MAC_HI, int.from_bytes(mac[:2], "big"))
        write32(_OP, int(op))

    def _read(self, op: ArpOp, index: int) -> None:
        self.mmio.write32(_INDEX, index)
        self.mmio.write32(_OP, int(op))

    def _timer(self) -> None:
        run_in_softirq(self.dev.kernel, self._poll)

    def _poll(self) -> None:
        """See whether the operation is done, and start the next one."""
        if self._running is None:  # Somebody waited for it.
            return
        status = self.mmio.read32(_STATUS)
        if status & _BUSY:
            kernel = self.dev.kernel
            kernel.platform.timer(kernel.now_ns() + _POLL_NS, self._timer)
            return
        self._finish(status)
        self._start()

    def _finish(self, status: int) -> None:
        if self._running == ArpOp.INSERT and status & _EVICTED:
            self.evictions += 1
            self.shadow.pop(self.mmio.read32(_RESULT_KEY), None)
        elif self._running == ArpOp.READ_CLEAR and status & _FOUND and status & _ACTIVE:
            neigh = self._neighbours.get(self.mmio.read32(_RESULT_KEY))
            if neigh is not None:
                neigh_event_send(neigh, None)
        self._running = None

    def _update_later(self, neigh: Neighbour) -> None:
        mod_timer(self._update_work, jiffies(self.dev.kernel) + neigh.parms.delay_probe_time)

    def _neighs_update_work(self) -> None:
        """Have the activity bits read, and come back while there is a reachable neighbour."""
        for neigh in self._neighbours.values():
            if neigh.nud_state & NUD_REACHABLE:
                self._update_later(neigh)
                self._unread = self.entries
                if self._running is None:
                    self._start()
                return

    def _wait(self) -> int:
        """Let the device finish the present operation, and return its status."""
        for _ in range(_BUSY_READS):
            status = self.mmio.read32(_STATUS)
            if not status & _BUSY:
                return status
        raise TimeoutError(f"the ARP cache of {self.dev.name} is busy for ever")

    def read_back(self) -> list[tuple[int, bytes, bool]]:
        """Read the cache, entry by entry, once what waits is done.

        Returns
        -------
        list[tuple[int, bytes, bool]]
            IPv4 address, MAC address, and whether it was looked up since its activity was last cleared.
        """
        while self._running is not None:
            self._finish(self._wait())
            self._start()
        found: list[tuple[int, bytes, bool]] = []
        for index in range(self.entries):
            self._read(ArpOp.READ, index)
            status = self._wait()
            if status & _FOUND:
                mac = self.mmio.read32(_RESULT_MAC_HI) << 32 | self.mmio.read32(_RESULT_MAC_LO)
                found.append((self.mmio.read32(_RESULT_KEY), mac.to_bytes(6, "big"), bool(status & _ACTIVE)))
        return found

"""The receive queue of a card without a driver: buffers, completions and counters, as the contract has them."""

import random
from collections import deque
from dataclasses import dataclass

from hardwire.sim.nic import SimNic
from hardwire.sim.raw_queue import RawRings
from hardwire.stack.abi import (
    MAC,
    RX_ALIGN_OCTETS,
    RX_CPL,
    RX_DESC,
    RX_PAD_OCTETS,
    RXQ,
    STATS,
    RxStatus,
)
from hardwire.stack.drivers.bus import Direction

__all__ = ["RawReceive", "Received", "counters", "rx_counters"]


@dataclass(frozen=True)
class Received:
    """A completion, and the frame if it is of one."""

    status: RxStatus
    flags: int
    csum: int
    tci: int
    frame: bytes


def rx_counters(nic: SimNic) -> dict[str, int]:
    """Return the counters of the receive side."""
    return {name: count for name, count in counters(nic).items() if name.startswith("rx_")}


def counters(nic: SimNic) -> dict[str, int]:
    """Return all counters."""
    names = [register.name for register in STATS.registers if register.name.endswith("_LO")]
    found = {}
    for name in names:
        low = nic.read32(STATS.address(STATS[name]))
        high = nic.read32(STATS.address(STATS[name.replace("_LO", "_HI")]))
        found[name.removesuffix("_LO").lower()] = low | high << 32
    return found


class RawReceive(RawRings):
    """Queue 0 of a card, with buffers of random sizes that are posted again as soon as they come back.

    Parameters
    ----------
    nic : SimNic
        The card.
    rng : random.Random
        Source of the sizes.
    ring_log2 : int
        Log2 of the number of descriptors.
    sizes : tuple[int, ...]
        Sizes of buffers, in units of RX_ALIGN_OCTETS.
    """

    def __init__(
        self, nic: SimNic, rng: random.Random, *, ring_log2: int = 8, sizes: tuple[int, ...] = (1, 2, 4, 24, 32)
    ) -> None:
        super().__init__(nic, RXQ, RX_DESC, RX_CPL, ring_log2=ring_log2)
        self._rng, self._sizes = rng, sizes
        self._posted: deque[tuple[int, int, int]] = deque()  # Of each descriptor: buffer's bus address, view's place.
        self._tail = self._next = 0
        self._phase = 1
        self._pool = nic.dma.kmalloc(1 << 19)
        self._bus = nic.dma.map(self._pool.addr, 1 << 19, Direction.FROM_DEVICE)
        self._place = 0

    def post(self, count: int) -> None:
        """Post so many buffers more, as far as there is room."""
        for _ in range(min(count, self.size - 1 - len(self._posted))):
            octets = RX_ALIGN_OCTETS * self._rng.choice(self._sizes)
            if self._place + octets > 1 << 19:
                self._place = 0
            at = self._tail * RX_DESC.size_octets
            self._ring.view[at : at + RX_DESC.size_octets] = RX_DESC.pack(
                addr=self._bus + self._place, length=octets, cookie=self._tail ^ 0xABCD
            )
            self._posted.append((self._tail, self._place, octets))
            self._place += octets
            self._tail = (self._tail + 1) % self.size
        self.set("TAIL", self._tail)

    def poll(self) -> list[Received]:
        """Return what was completed; each completion covers the descriptors posted first."""
        found = []
        while True:
            entry = self.completion(self._next)
            if entry["phase"] != self._phase:
                return found
            self._next = (self._next + 1) % self.size
            self._phase ^= not self._next
            octets, index = bytearray(), None
            while index != entry["index"]:
                index, place, size = self._posted.popleft()
                octets += self._pool.view[place : place + size]
            assert entry["cookie"] == entry["index"] ^ 0xABCD
            frame = bytes(octets[RX_PAD_OCTETS : RX_PAD_OCTETS + entry["length"]])
            assert len(octets) - RX_ALIGN_OCTETS * max(self._sizes) < RX_PAD_OCTETS + entry["length"] or not frame
            found.append(Received(RxStatus(entry["status"]), entry["flags"], entry["csum"], entry["vlan_tci"], frame))

    def select(self, *, mac: bytes, groups: int = 0, vlans: tuple[int, ...] = (), **control: int) -> None:
        """Say what to receive."""
        for name, value in (
            ("ADDR_LO", int.from_bytes(mac[2:], "big")),
            ("ADDR_HI", int.from_bytes(mac[:2], "big")),
            ("RX_CTRL", MAC["RX_CTRL"].pack(**control)),
            ("HASH_LO", groups & 0xFFFF_FFFF),
            ("HASH_HI", groups >> 32),
        ):
            self.nic.write32(MAC.address(MAC[name]), value)
        for vid in vlans:
            self.nic.write32(MAC.address(MAC["VLAN"]), MAC["VLAN"].pack(vid=vid, member=1))
            self.nic.world.advance(200)

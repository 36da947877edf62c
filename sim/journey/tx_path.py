"""Which packet each event on a card's way out is about."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from ...stack.abi import TxFlags, TxStatus
from ..frame import Frame
from .calls import Posted
from .frame_seen import FrameSeen
from .model import Step
from .packet_state import States

__all__ = ["TxPacket", "TxPath"]

_TAG = slice(12, 16)
# As a recording begins, fewer frames may be on their way from the card's last stage to the wire.
_MOST_ON_THE_WAY = 4


@dataclass(slots=True)
class TxPacket:
    """A posted packet, and how far it has come.

    Members
    -------
    unread : dict[int, int]
        By index of a descriptor: octets that were not read yet.
    read : bool
        Whether any were.
    fifo, csum : Step or None
        Its time in the FIFO, and its checksums.
    status : int or None
        What became of it; None while that is not known.
    end_fs : int
        When it was completed; 0 if it was not.
    """

    posted: Posted
    unread: dict[int, int]
    read: bool = False
    fifo: Step | None = None
    csum: Step | None = None
    status: int | None = None
    end_fs: int = 0

    @property
    def packets(self) -> tuple[int, ...]:
        """Its id."""
        return (self.posted.packet,)

    @property
    def flags(self) -> int:
        """Flags of its first descriptor."""
        return self.posted.parts[0][3]["flags"]

    @property
    def last(self) -> int:
        """Index of its last descriptor."""
        return self.posted.parts[-1][0]

    def take(self, address: int, octets: int) -> bool:
        """Return whether a read is of octets of this packet that were not read yet, and if so count them as read."""
        for index, bus, length, _ in self.posted.parts:
            overlap = min(bus + length, address + octets) - max(bus, address)
            if overlap > 0 and self.unread[index] > 0:
                self.unread[index] -= overlap
                self.read = True
                return True
        return False


class TxPath:
    """Packets on their way from the ring to the wire.

    Some of the card's events name a descriptor, the others come in the order of the packets. What was in the card
    before the recording began has such events, too; so these are counted from the moments at which the ring has run
    empty, back and on, and where there is no such moment, they are nobody's.

    Parameters
    ----------
    posted : Sequence[Posted]
        What the driver has put into the ring, in order.
    states : States
        Where octets are kept.

    Members
    -------
    rings : Rings or None
        Where the queue's rings are now, if that is known.
    """

    def __init__(self, posted: Sequence[Posted], states: States) -> None:
        self.rings = posted[0].rings if posted else None
        self._states = states
        self._coming = deque(posted)
        self._next = posted[0].parts[0][0] if posted else 0  # Where the next one will be, if the queue goes on.
        self._unrung: deque[TxPacket] = deque()
        self._at_index: dict[int, TxPacket] = {}
        self._inside: deque[TxPacket] = deque()  # Decoded and not completed.
        self._good: list[TxPacket | None] = []  # Completed as OK, in order; None: unknown.
        self._counts = True  # Whether the events since the ring was empty are all of known packets.
        self._decoded: list[TxPacket] = []
        self._stages: list[Step] = []
        self._lookups: list[Step] = []
        self._sums: list[Step] = []

    def until(self, now_fs: int) -> None:
        """Take in what the driver has posted up to now."""
        while self._coming and self._coming[0].time_fs <= now_fs:
            posted = self._coming.popleft()
            if (self.rings, self._next) != (posted.rings, posted.parts[0][0]):
                self._restart()
            self.rings = posted.rings
            self._next = (posted.parts[-1][0] + 1) & (posted.rings.entries - 1)
            one = TxPacket(posted, {index: length for index, _, length, _ in posted.parts})
            self._unrung.append(one)
            self._at_index |= dict.fromkeys(one.unread, one)

    def rung(self, tail: int) -> tuple[int, ...]:
        """Return the packets that a doorbell is for."""
        ends = [(one.last + 1) & (one.posted.rings.entries - 1) for one in self._unrung]
        count = ends.index(tail) + 1 if tail in ends else 0
        return tuple(self._unrung.popleft().posted.packet for _ in range(count))

    def _restart(self) -> None:
        """Begin anew: the queue was stopped, and what was in it is gone."""
        if self._counts:
            self._join(from_end=False)
        for of_packets in (self._unrung, self._at_index, self._inside, self._decoded):
            of_packets.clear()
        self._counts = True

    def at(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Return the packets of some descriptors."""
        found = (self._at_index.get(index) for index in indices)
        return tuple(dict.fromkeys(one.posted.packet for one in found if one is not None))

    def reading(self, address: int, octets: int) -> tuple[int, ...]:
        """Return whose octets are read."""
        return next((one.packets for one in self._inside if one.take(address, octets)), ())

    def decoded(self, index: int) -> dict[str, int | str]:
        """Return what is in a descriptor."""
        one = self._at_index.get(index)
        if one is None:
            self._counts = False
            return {}
        fields = next(fields for at, _, _, fields in one.posted.parts if at == index)
        flags = TxFlags(fields["flags"])
        if TxFlags.FIRST in flags:
            self._decoded.append(one)
            self._inside.append(one)
        return {
            "flags": " ".join(flag.name or "" for flag in TxFlags if flag in flags),
            "length": fields["length"],
        }

    def staged(self, step: Step) -> None:
        """Hear that all octets of the next packet are there."""
        self._stages.append(step)

    def looked_up(self, step: Step) -> None:
        """Hear that the address for the next packet was looked up."""
        self._lookups.append(step)

    def summed(self, step: Step) -> None:
        """Hear that the checksums of the next packet are done."""
        self._sums.append(step)

    def completed(self, index: int, status: int, now_fs: int) -> None:
        """Hear what became of a packet."""
        one = self._at_index.get(index)
        if one is None:
            self._counts = False
            if status == TxStatus.OK:
                self._good.append(None)
        elif one.last == index:
            one.status = status
            one.end_fs = now_fs
            for at in one.unread:
                self._at_index.pop(at, None)
            while self._inside and self._inside.popleft() is not one:
                pass
            if status == TxStatus.OK:
                self._good.append(one)
            if not self._at_index:
                self._join(from_end=True)
                self._counts = True

    def join(self, sent: Sequence[FrameSeen]) -> None:
        """Let packets find their frames, which are all that have left."""
        if self._counts:
            self._join(from_end=False)
        skips = sorted(product(range(_MOST_ON_THE_WAY), repeat=2), key=sum)
        pairs = min((list(zip(self._good[g:], sent[s:], strict=False)) for g, s in skips), key=self._count_wrong)
        for one, seen in pairs:
            if one is None:
                continue
            seen.step.packets = one.packets
            if one.fifo is not None:
                one.fifo.end_fs = max(one.fifo.begin_fs, seen.step.begin_fs)
            if not one.flags & TxFlags.VLAN:  # The MAC adds padding and FCS; a tag, too: nothing is in its place then.
                length = sum(length for _, _, length, _ in one.posted.parts)
                seen.step.before = self._states.of_frame(seen.frame.octets[:length], fcs=False)
                if one.csum is not None:
                    one.csum.after = seen.step.before

    def _join(self, *, from_end: bool) -> None:
        """Let packets, and the events since the ring was empty, find each other; the last belong together or the first.

        What the card was not asked to read has found its end before: its descriptor could not be read.
        """
        inside = [one for one in self._decoded if one.read]
        order = reversed if from_end else iter
        for one, step in zip(order(inside), order(self._stages), strict=False):
            step.packets = one.packets
            step.end_fs = max(step.end_fs, one.end_fs)
            one.fifo = step
        resolved = [one for one in inside if one.flags & TxFlags.RESOLVE]
        for one, step in zip(order(resolved), order(self._lookups), strict=False):
            step.packets = one.packets
        good = [one for one in inside if one.status in (None, TxStatus.OK)]
        for one, step in zip(order(good), order(self._sums), strict=False):
            step.packets = one.packets
            step.before = one.posted.state
            one.csum = step
        for of_events in (self._decoded, self._stages, self._lookups, self._sums):
            of_events.clear()

    def _count_wrong(self, pairs: Sequence[tuple[TxPacket | None, FrameSeen]]) -> int:
        return sum(one is not None and not self._is_in(one, seen.frame) for one, seen in pairs)

    def _is_in(self, one: TxPacket, frame: Frame) -> bool:
        """Return whether a frame has the octets of a packet, but for those that the card fills in."""
        octets, given = bytearray(frame.octets), bytearray(self._states.octets(one.posted.state))
        fields = one.posted.parts[0][3]
        if one.flags & TxFlags.VLAN:
            del octets[_TAG]
        holes = []
        if one.flags & TxFlags.RESOLVE:
            holes.append((0, 6))
        if one.flags & TxFlags.CSUM_IPV4:
            holes.append((fields["l3_start"] + 10, 2))
        if one.flags & TxFlags.CSUM_PARTIAL:
            holes.append((fields["csum_start"] + fields["csum_offset"], 2))
        for begin, length in holes:
            octets[begin : begin + length] = given[begin : begin + length] = bytes(length)
        return octets.startswith(given) and not any(octets[len(given) :])

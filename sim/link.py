"""A cable between two network cards, or a card and a switch, with the faults that cables have."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from .frame import PREAMBLE_OK, TX_ER, Frame
from .nic import SimNic
from .world import FS_PER_NS, World

__all__ = ["CableEnd", "Link", "LinkCounters", "wire_time_fs"]

_FS_PER_S = 1_000_000_000_000_000
_AROUND_OCTETS = 8 + 12  # Preamble with SFD, and the gap.
_LINE_RATE_BPS = 1_000_000_000
_LONGEST_DELAY_NS = 10_000_000_000  # Far beyond any cable, and far within what native code can count.


def wire_time_fs(octets: int, rate_bps: float = _LINE_RATE_BPS) -> int:
    """Return how long a frame of so many octets, FCS in, occupies the wire, preamble and gap included.

    Examples
    --------
    >>> wire_time_fs(64)
    672000000
    """
    return round((octets + _AROUND_OCTETS) * 8 * _FS_PER_S / rate_bps)


class CableEnd(Protocol):
    """What a cable is put into: ``SimNic``, or a port of a ``Switch``.

    Members
    -------
    on_sent : callable or None
        Called with frames at their end.
    """

    on_sent: Callable[[list[Frame]], None] | None

    @property
    def world(self) -> World:
        """Whose time it lives in."""
        ...

    def receive(self, octets: bytes, fcs: bytes, *, error: bool = False) -> None:
        """Take a frame whose first preamble octet arrives now."""
        ...

    def set_link(self, up: bool) -> None:
        """Tell whether there is a partner."""
        ...


@dataclass
class LinkCounters:
    """What became of frames of one direction.

    ``sent + duplicated == delivered + lost + overflowed + cut + in_flight``, at any time.

    Parameters
    ----------
    sent : int
        Frames that entered the cable.
    delivered : int
        Frames that were put in at the other end, the damaged ones included.
    lost : int
        Frames that a fault took.
    overflowed : int
        Frames that found the queue of a slower link full.
    cut : int
        Frames that met a pulled cable.
    in_flight : int
        Frames that are on their way.
    duplicated, corrupted, reordered : int
        Copies made; frames damaged; frames held back for later ones to overtake. A copy counts for itself.
    """

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    overflowed: int = 0
    cut: int = 0
    in_flight: int = 0
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every frame is accounted for once."""
        gone = self.delivered + self.lost + self.overflowed + self.cut + self.in_flight
        return self.sent + self.duplicated == gone


@dataclass(frozen=True, kw_only=True)
class _Faults:
    rate_bps: float
    delay_fs: int
    loss: float
    corruption: float
    duplication: float
    reordering: float
    reorder_delay_fs: int
    queue_frames: int


class _Direction:
    """Frames of one end on their way to the other one; each was taken whole."""

    def __init__(self, to: CableEnd, faults: _Faults, random: Random) -> None:
        self.counters = LinkCounters()
        self.up = True
        self._to = to
        self._world = to.world
        self._faults = faults
        self._random = random
        self._queued: deque[int] = deque()  # When each frame that waits for the line, or is on it, leaves it.
        self._pulls = 0

    def take(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._judge(frame)

    def set_up(self, up: bool) -> None:
        if self.up and not up:
            self._pulls += 1  # What is under way will find that it is gone.
            self._queued.clear()
        self.up = up

    def _judge(self, frame: Frame) -> None:
        counters, faults, random = self.counters, self._faults, self._random
        counters.sent += 1
        if not self.up:
            counters.cut += 1
            return
        # Always as many draws, so that one fault's chance does not change where the others strike.
        lost, damaged, doubled, held = (random.random() for _ in range(4))
        if lost < faults.loss:
            counters.lost += 1
            return
        octets = frame.octets + frame.fcs
        error = bool(frame.flags & TX_ER) or not frame.flags & PREAMBLE_OK
        copies = 1
        if doubled < faults.duplication:
            copies = 2
            counters.duplicated += 1
        if damaged < faults.corruption and octets:
            counters.corrupted += copies
            octets = _flip(octets, random)
        wait_fs = 0
        if held < faults.reordering:
            counters.reordered += copies
            wait_fs = faults.reorder_delay_fs
        pulls = self._pulls
        for _ in range(copies):
            counters.in_flight += 1
            if wait_fs:
                later_fs = self._world.now_fs + wait_fs
                self._world.timer(later_fs, lambda: self._enqueue(octets, error=error, pulls=pulls))
            else:
                self._enqueue(octets, error=error, pulls=pulls)

    def _enqueue(self, octets: bytes, *, error: bool, pulls: int) -> None:
        """Let a frame wait for the line."""
        now_fs, queued, faults = self._world.now_fs, self._queued, self._faults
        if pulls != self._pulls:
            self._settle("cut")
            return
        while queued and queued[0] <= now_fs:
            queued.popleft()
        if len(queued) > faults.queue_frames:  # One of them is on the line.
            self._settle("overflowed")
            return
        start_fs = max(now_fs, queued[-1] if queued else 0)
        occupied_fs = wire_time_fs(len(octets), faults.rate_bps)
        queued.append(start_fs + occupied_fs)
        # The other end takes it at its own rate, and not before a slower line has brought the last octet.
        late_fs = max(0, occupied_fs - wire_time_fs(len(octets)))
        arrival_fs = start_fs + late_fs + faults.delay_fs
        self._world.timer(arrival_fs, lambda: self._arrive(octets, error=error, pulls=pulls))

    def _arrive(self, octets: bytes, *, error: bool, pulls: int) -> None:
        if pulls != self._pulls:
            self._settle("cut")
            return
        self._settle("delivered")
        at = max(0, len(octets) - 4)
        self._to.receive(octets[:at], octets[at:], error=error)

    def _settle(self, reason: str) -> None:
        counters = self.counters
        counters.in_flight -= 1
        setattr(counters, reason, getattr(counters, reason) + 1)


class Link:
    """A full-duplex cable.

    Without faults and at 1 Gb/s, two cards are joined octet by octet in native code. Else frames are taken whole at
    their end, and what becomes of each is drawn from a random source of its direction.

    Parameters
    ----------
    a, b : CableEnd
        What it joins.
    rate_bps : float
        Octets that pass in a second, times eight: from 1 b/s to 1 Gb/s, the rate of the cards.
    delay_ns : float
        From one end to the other, from 8 ns, an octet time, to 10 s. A pair of cards has at least what two clocks may
        drift apart over a frame of 16384 octets, which their elastic buffers need.
    loss, corruption, duplication, reordering : float
        Chance of each, per frame. Corruption inverts one to eight bits anywhere, FCS included.
    reorder_delay_ns : float
        How long a reordered frame is held back, from 1 ns to 10 s.
    queue_frames : int
        Frames that may wait for a slower line.
    name : str
        Of its random sources.

    Members
    -------
    counters : tuple[LinkCounters, LinkCounters]
        From ``a`` to ``b``, and back.
    up : bool
        Whether the cable is whole; see ``set_up``.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the ends are of two worlds.
    """

    def __init__(
        self,
        a: CableEnd,
        b: CableEnd,
        *,
        rate_bps: float = _LINE_RATE_BPS,
        delay_ns: float = 100,
        loss: float = 0,
        corruption: float = 0,
        duplication: float = 0,
        reordering: float = 0,
        reorder_delay_ns: float = 100_000,
        queue_frames: int = 1000,
        name: str = "link",
    ) -> None:
        chances = {"loss": loss, "corruption": corruption, "duplication": duplication, "reordering": reordering}
        for what, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ValueError(f"{what} must be from 0 to 1, not {chance!r}")
        limits = (
            ("rate_bps", rate_bps, 1, _LINE_RATE_BPS),
            ("delay_ns", delay_ns, 8, _LONGEST_DELAY_NS),
            ("reorder_delay_ns", reorder_delay_ns, 1, _LONGEST_DELAY_NS),
        )
        for what, value, least, most in limits:
            if not least <= value <= most:
                raise ValueError(f"{what} must be from {least} to {most}, not {value!r}")
        if queue_frames < 1:
            raise ValueError(f"queue_frames must be at least 1, not {queue_frames!r}")
        if a is b or a.world is not b.world:
            raise ValueError("a link joins two ends of one world")
        self.ends = (a, b)
        self.up = True
        faults = _Faults(
            rate_bps=rate_bps,
            delay_fs=round(delay_ns * FS_PER_NS),
            reorder_delay_fs=round(reorder_delay_ns * FS_PER_NS),
            queue_frames=queue_frames,
            **chances,
        )
        self._wired: tuple[SimNic, SimNic] | None = None
        self._directions: list[_Direction] = []
        if isinstance(a, SimNic) and isinstance(b, SimNic) and not any(chances.values()) and rate_bps == _LINE_RATE_BPS:
            self._wired = (a, b)
            a.connect(b, faults.delay_fs)
            b.connect(a, faults.delay_fs)
        else:
            for number, (end, other) in enumerate(((a, b), (b, a))):
                direction = _Direction(other, faults, a.world.random(f"{name}/{number}"))
                self._directions.append(direction)
                end.on_sent = direction.take
        for end in self.ends:
            end.set_link(True)

    @property
    def native(self) -> bool:
        """Whether octets pass in native code."""
        return self._wired is not None

    @property
    def counters(self) -> tuple[LinkCounters, LinkCounters]:
        """What became of frames, from ``a`` to ``b`` and back."""
        if self._wired is None:
            return self._directions[0].counters, self._directions[1].counters
        there, back = (_wire_counters(nic) for nic in self._wired)
        return there, back

    def set_up(self, up: bool) -> None:
        """Pull the cable, or put it back; both ends notice. Frames under way are cut."""
        if up == self.up:
            return
        self.up = up
        for nic in self._wired or ():
            nic.set_wire_up(up)
        for direction in self._directions:
            direction.set_up(up)
        for end in self.ends:
            end.set_link(up)


def _wire_counters(nic: SimNic) -> LinkCounters:
    sent, delivered, cut = nic.wire_counters
    return LinkCounters(sent=sent, delivered=delivered, cut=cut, in_flight=sent - delivered - cut)


def _flip(octets: bytes, random: Random) -> bytes:
    """Invert one to eight bits, all different."""
    damaged = bytearray(octets)
    bits = len(damaged) * 8
    for bit in random.sample(range(bits), min(bits, random.randint(1, 8))):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)

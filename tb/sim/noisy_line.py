"""A simulated serial line with noise, both ways, between two ends in one process."""

from collections import deque
from collections.abc import Callable
from random import Random

__all__ = ["Clock", "LineEnd", "noisy_line"]


_PIECE_OCTETS = 16  # Come together, as from a chip that has room for so many.


class Clock:
    """The time of both ends."""

    now_fs = 0


class LineEnd:
    """One end: a ``Carrier``. Octets take their time, and come up to 16 at once; some are lost or damaged.

    Parameters
    ----------
    clock : object
        The time of both ends.
    rng : Random
        Where chance comes from.
    octet_fs : int
        Time of an octet.
    flip, loss, insertion : float
        Chance for each octet that leaves here to have a bit inverted, to be lost, or to be followed by another one.

    Members
    -------
    other : LineEnd
        The other end.
    act : callable or None
        What the other end's program does whenever time passes while this end waits.
    deadline : callable
        When it has something to do though nothing comes, or None.
    octets_written : int
        Octets that have left here.
    """

    other: "LineEnd"

    def __init__(self, clock: Clock, rng: Random, octet_fs: int, flip: float, loss: float, insertion: float) -> None:
        self.octet_fs = octet_fs
        self.octets_written = self.largest_write = 0
        self.act: Callable[[], object] | None = None
        self.deadline: Callable[[], int | None] = lambda: None
        self.flip, self.loss, self.insertion = flip, loss, insertion
        self.clock = clock
        self._rng = rng
        self._free_fs = 0
        self._coming: deque[tuple[int, bytes]] = deque()  # Each with the time when its first octet is over.

    @property
    def time_fs(self) -> int:
        """The time of both ends."""
        return self.clock.now_fs

    @property
    def next_fs(self) -> int | None:
        """When the next octet is here."""
        return self._coming[0][0] if self._coming else None

    def write(self, octets: bytes) -> None:
        """Queue octets."""
        self.octets_written += len(octets)
        self.largest_write = max(self.largest_write, len(octets))
        start_fs = max(self._free_fs, self.clock.now_fs)
        self._free_fs = start_fs + len(octets) * self.octet_fs
        for at in range(0, len(octets), _PIECE_OCTETS):
            piece = octets[at : at + _PIECE_OCTETS]
            if part := b"".join(map(self._over_the_line, piece)) if self.flip or self.loss or self.insertion else piece:
                self.other._coming.append((start_fs + (at + len(piece)) * self.octet_fs, part))

    def _over_the_line(self, octet: int) -> bytes:
        random = self._rng.random
        if random() < self.loss:
            return b""
        if random() < self.flip:
            octet ^= 1 << self._rng.randrange(8)
        return bytes([octet, self._rng.randrange(256)]) if random() < self.insertion else bytes([octet])

    def read(self) -> bytes:
        """Return what is here."""
        octets = bytearray()
        while self._coming and self._coming[0][0] <= self.clock.now_fs:
            octets += self._coming.popleft()[1]
        return bytes(octets)

    def wait(self, until_fs: int) -> None:
        """Let time pass; the other end acts at each of its events."""
        while self.clock.now_fs < until_fs and (self.next_fs is None or self.next_fs > self.clock.now_fs):
            events = [until_fs, self.next_fs, self.other.next_fs, self.deadline()]
            self.clock.now_fs = max(self.clock.now_fs, min(at for at in events if at is not None))
            if self.act is not None:
                self.act()

    def close(self) -> None:
        """Do nothing."""


def noisy_line(
    rng: Random, *, octet_fs: int = 800_000_000, flip: float = 0, loss: float = 0, insertion: float = 0
) -> tuple[LineEnd, LineEnd]:
    """Return both ends of a line, of 12.5 Mbaud by default, with the same noise both ways."""
    clock = Clock()
    a = LineEnd(clock, rng, octet_fs, flip, loss, insertion)
    b = LineEnd(clock, rng, octet_fs, flip, loss, insertion)
    a.other, b.other = b, a
    return a, b

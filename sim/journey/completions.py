"""Which write of a card brought each completion into memory."""

from collections import deque

from ...stack.abi.model import Record
from .calls import Rings
from .model import Step

__all__ = ["CompletionWrites"]


class CompletionWrites:
    """The writes of one kind of completions: several in a burst, and once more what the bus has refused.

    Parameters
    ----------
    record : Record
        What an entry of the ring is.
    """

    def __init__(self, record: Record) -> None:
        self._size_octets = record.size_octets
        self._done: deque[Step] = deque()  # One entry for each completion that is in memory.
        self._refused: int | None = None  # From this address on all is written again.
        self._pairs: list[tuple[Step, Step]] = []

    def holds(self, rings: Rings | None, address: int) -> bool:
        """Return whether a bus address is in their ring."""
        return rings is not None and 0 <= address - rings.cpl < rings.entries * self._size_octets

    def done(self, write: Step, address: int, octets: int, *, refused: bool) -> None:
        """Hear of the answer to a write."""
        if self._refused not in (None, address):
            return
        self._refused = address if refused else None
        if not refused:
            self._done.extend([write] * max(1, octets // self._size_octets))

    def completed(self, completion: Step) -> None:
        """Hear of a completion that the card knows to be in memory."""
        if self._done:
            self._pairs.append((self._done.popleft(), completion))

    def join(self) -> None:
        """Let each write be about the packets of its completions."""
        for write, completion in self._pairs:
            write.packets = tuple(dict.fromkeys(write.packets + completion.packets))

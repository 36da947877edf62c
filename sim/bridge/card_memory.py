"""Which places in a card's memory are taken."""

from bisect import bisect_left, insort
from errno import ENOMEM

__all__ = ["CardMemory"]

_ALIGN_OCTETS = 8


class CardMemory:
    """Places in the memory of a card.

    What is to be sent is taken, and given back, in the order of the ring: so it gets places one after the other, round
    and round, and at most one place at the end of the memory is too short to be of use.

    Parameters
    ----------
    size_octets : int
        Size of the memory.

    Members
    -------
    used_octets : int
        Octets that are taken.
    """

    def __init__(self, size_octets: int) -> None:
        self.used_octets = 0
        self._size_octets = size_octets
        self._free: list[tuple[int, int]] = (
            [(0, size_octets)] if size_octets else []
        )  # Start and end, in order; none borders on another.
        self._lengths: dict[int, int] = {}
        self._next = 0

    def take(self, size_octets: int, *, align_octets: int | None = None) -> int:
        """Return the address of a place of that size, a multiple of 8.

        Parameters
        ----------
        size_octets : int
            At least 1.
        align_octets : int or None
            Take the lowest place that is a multiple of that, which is one from 8 up.

        Raises
        ------
        OSError
            ``ENOMEM`` if there is no room.
        """
        length = -(-size_octets // _ALIGN_OCTETS) * _ALIGN_OCTETS
        free = self._free
        begin = 0 if align_octets else bisect_left(free, (self._next, 0))
        align = align_octets or _ALIGN_OCTETS
        for number in (*range(begin, len(free)), *range(begin)):
            start, end = free[number]
            at: int = -(-start // align) * align
            if at + length <= end:
                free[number : number + 1] = [part for part in ((start, at), (at + length, end)) if part[0] < part[1]]
                self._lengths[at] = length
                self.used_octets += length
                if not align_octets:
                    self._next = at + length
                return at
        raise OSError(ENOMEM, f"no {size_octets} octets in one piece are left of the card's {self._size_octets}")

    def give_back(self, address: int) -> None:
        """Free a place."""
        start, end = address, address + self._lengths.pop(address)
        self.used_octets -= end - start
        free = self._free
        number = bisect_left(free, (start, end))
        if number < len(free) and free[number][0] == end:
            end = free.pop(number)[1]
        if number and free[number - 1][1] == start:
            number -= 1
            start = free.pop(number)[0]
        insort(free, (start, end))

"""Which places in a card's memory are taken."""

from bisect import bisect_left, insort
from errno import ENOMEM

from ...stack.abi import RX_CPL, RX_DESC, TX_CPL, TX_DESC
from ...stack.abi.bridge import BRIDGE_WORD_OCTETS

__all__ = ["CardMemory", "ring_log2s"]

# A descriptor and its completion.
_TX_OCTETS = TX_DESC.size_octets + TX_CPL.size_octets
_RX_OCTETS = RX_DESC.size_octets + RX_CPL.size_octets
_RX_PART = 16
_RING_LOG2_MAX = 8
_LINK_OCTETS = 18  # An Ethernet header and a tag.


def ring_log2s(memory_octets: int, mtu: int) -> tuple[int, int]:
    """Return the log2 of the sizes of the TX ring and the RX ring that suit a card's memory.

    Every frame that is in the TX ring finds room: as many as the ring has descriptors, with the one that stays unused
    for the place at the end of the memory that is too short. RX rings, whose buffers are in the host's memory, take a
    sixteenth, and as much again for alignment.

    Examples
    --------
    >>> ring_log2s(32768, 1500)
    (4, 5)
    """
    rx = _log2(memory_octets // _RX_PART // _RX_OCTETS)
    left_octets = memory_octets - 2 * (_RX_OCTETS << rx)
    frame_octets = -(-(mtu + _LINK_OCTETS) // BRIDGE_WORD_OCTETS) * BRIDGE_WORD_OCTETS
    return _log2(left_octets // (_TX_OCTETS + frame_octets)), rx


def _log2(most: int) -> int:
    return min(max(most.bit_length() - 1, 1), _RING_LOG2_MAX)


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
        # Start and end, in order; none borders on another.
        self._free: list[tuple[int, int]] = [(0, size_octets)] if size_octets else []
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
        length = -(-size_octets // BRIDGE_WORD_OCTETS) * BRIDGE_WORD_OCTETS
        free = self._free
        begin = 0 if align_octets else bisect_left(free, (self._next, 0))
        align = align_octets or BRIDGE_WORD_OCTETS
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

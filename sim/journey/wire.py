"""Find each frame that came in among those that were sent: by what is in it, whatever has carried it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .frame_seen import FrameSeen

__all__ = ["match"]

_MOST_BITS = 8  # A link damages no more of them; see ``Link``.

_Card = TypeVar("_Card")


def match(
    sent: Iterable[tuple[_Card, FrameSeen]], received: Iterable[tuple[_Card, FrameSeen]]
) -> list[tuple[FrameSeen, FrameSeen]]:
    """Return pairs of a frame that was sent and one that came in at another card.

    It is the last one with the same octets that was sent before; for a damaged frame, the last one that differs in as
    few bits as a link inverts.
    """
    alike: dict[int, list[tuple[_Card, FrameSeen]]] = defaultdict(list)  # By length.
    equal: dict[bytes, list[tuple[_Card, FrameSeen]]] = defaultdict(list)
    for one in sorted(sent, key=_begin):
        octets = _octets(one[1])
        alike[len(octets)].append(one)
        equal[octets].append(one)
    pairs = []
    for card, seen in received:
        octets = _octets(seen)
        found = next(_before(equal.get(octets, []), card, seen), None)
        if found is None and not seen.frame.ok:
            candidates = _before(alike[len(octets)], card, seen)
            found = next((one for one in candidates if _differs_little(_octets(one), octets)), None)
        if found is not None:
            pairs.append((found, seen))
    return pairs


def _begin(one: tuple[object, FrameSeen]) -> int:
    return one[1].step.begin_fs


def _octets(seen: FrameSeen) -> bytes:
    return seen.frame.octets + seen.frame.fcs


def _before(sent: list[tuple[_Card, FrameSeen]], card: _Card, seen: FrameSeen) -> Iterator[FrameSeen]:
    """Yield what other cards have sent before, the last one first."""
    for at in range(bisect_left(sent, seen.step.begin_fs, key=_begin) - 1, -1, -1):
        other, one = sent[at]
        if other is not card:
            yield one


def _differs_little(a: bytes, b: bytes) -> bool:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count() <= _MOST_BITS

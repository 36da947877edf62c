"""Find each frame that came in among those that were sent: by what is in it, whatever has carried it."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeVar

from .card import FrameSeen

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
    ordered = sorted(sent, key=lambda one: one[1].step.begin_fs)
    times = [seen.step.begin_fs for _, seen in ordered]
    pairs = []
    for card, seen in received:
        before = ordered[: bisect_left(times, seen.step.begin_fs)]
        octets = seen.frame.octets + seen.frame.fcs
        others = [one for other, one in reversed(before) if other is not card]
        found = next((one for one in others if one.frame.octets + one.frame.fcs == octets), None)
        if found is None and not seen.frame.ok:
            found = next((one for one in others if _alike(one.frame.octets + one.frame.fcs, octets)), None)
        if found is not None:
            pairs.append((found, seen))
    return pairs


def _alike(a: bytes, b: bytes) -> bool:
    difference = int.from_bytes(a, "big") ^ int.from_bytes(b, "big")
    return len(a) == len(b) and difference.bit_count() <= _MOST_BITS

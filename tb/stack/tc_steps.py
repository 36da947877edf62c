"""The steps that programs of traffic control consist of: ``linux_tc.py`` says what they are."""

from typing import Any

__all__ = [
    "ADD",
    "CHANGE",
    "LINK",
    "OPEN",
    "PRIOMAP",
    "REPLACE",
    "ROOT",
    "SHUT",
    "behind",
    "cl",
    "filter_",
    "qdisc",
    "send",
]

ROOT = 0xFFFFFFFF
ADD, REPLACE, CHANGE, LINK = 0x600, 0x500, 0, 0x100
PRIOMAP = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]


def cl(major: int, minor: int = 0) -> int:
    """Return the number of a class, or of a qdisc."""
    return major << 16 | minor


def qdisc(flags: int, kind: str | None, parent: int, handle: int, **options: Any) -> list[Any]:
    """Return the step that makes, changes or deletes a qdisc."""
    return ["qdisc", flags, kind, parent, handle, options]


def filter_(
    flags: int, kind: str | None, parent: int, prio: int, handle: int, protocol: int = 3, **options: Any
) -> list[Any]:
    """Return the step that does that to a filter."""
    return ["filter", flags, kind, parent, protocol, prio, handle, options]


def send(flow: int = 1, length: int = 100, priority: int = 0, mark: int = 0) -> list[Any]:
    """Return the step that sends a frame."""
    return ["send", flow, length, priority, mark]


# A root that lets one frame of 1,000 octets through, and no other for some minutes; then it is opened.
SHUT = [qdisc(ADD, "tbf", ROOT, cl(1), rate=1, burst=1100, limit=1_000_000), send(length=1000)]
OPEN = [
    qdisc(CHANGE, "tbf", ROOT, 0, rate=1_000_000_000, burst=1_000_000, limit=1_000_000),
    send(length=1000),
    ["order"],
]


def behind(*steps: list[Any]) -> list[list[Any]]:
    """Return steps behind a root that is shut, then opened."""
    return [*SHUT, *steps, ["dump"], *OPEN, ["dump"]]

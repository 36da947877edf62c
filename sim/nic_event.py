"""What a simulated network card tells of itself: what happened at its ports, and what must not happen."""

from typing import NamedTuple

__all__ = ["DmaViolation", "Event", "HardwareHang", "Violation"]


class Violation(NamedTuple):
    """Something that the device must not do, or that was done to it.

    Parameters
    ----------
    cycle : int
        When.
    address : int
        Bus address, or register offset.
    kind : str
        What.
    descriptor : int or None
        Ring index of the last descriptor that the device had decoded.
    """

    cycle: int
    address: int
    kind: str
    descriptor: int | None


class Event(NamedTuple):
    """Something that happened at the device's ports: kinds and the meaning of ``a`` and ``b`` in native/abi.h."""

    cycle: int
    kind: str
    a: int
    b: int


class DmaViolation(RuntimeError):
    """The device did what it must not do; raised in strict mode. ``violations`` are all of them."""

    def __init__(self, violations: list[Violation]) -> None:
        first = violations[0]
        more = f", and {len(violations) - 1} more" if len(violations) > 1 else ""
        descriptor = "none" if first.descriptor is None else first.descriptor
        super().__init__(
            f"{first.kind} at {first.address:#x}, cycle {first.cycle}, last descriptor decoded: {descriptor}{more}"
        )
        self.violations = violations


class HardwareHang(RuntimeError):
    """The device claims to be busy, but nothing moves on any of its ports."""

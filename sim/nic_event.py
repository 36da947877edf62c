"""What a simulated network card tells of itself: what happened at its ports, and what must not happen."""

from struct import Struct
from typing import Any, NamedTuple

__all__ = [
    "DmaViolation",
    "Event",
    "HardwareHang",
    "Violation",
    "read_events",
    "read_violations",
]

# native/abi.h: hw_violation, hw_event.
_VIOLATION = Struct("<QQII")
_EVENT = Struct("<QIIQ")
_KINDS = (
    "read outside all mappings",
    "write outside all mappings",
    "burst across a 4 KiB border",
    "malformed burst",
    "register access answered with an error",
)
_EVENTS = (
    *("mmio_write", "mmio_read", "read", "read_done", "write", "write_done", "desc", "arp", "csum", "cpl"),
    *("frame_start", "frame_end", "irq", "rx", "rx_cpl", "stage", "rx_filtered", "rx_missed"),
)


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


def read_violations(ffi: Any, state: Any) -> list[Violation]:
    """Return what native code has recorded, from its ``hw_state``."""
    raw = ffi.buffer(state.violations, state.violation_count * _VIOLATION.size)
    return [
        Violation(cycle, address, _KINDS[kind], None if descriptor == 0xFFFF_FFFF else descriptor)
        for cycle, address, kind, descriptor in (_VIOLATION.iter_unpack(raw) if len(raw) else ())
    ]


def read_events(ffi: Any, state: Any) -> list[Event]:
    """Return the log that native code has kept, from its ``hw_state``."""
    raw = ffi.buffer(state.events, state.event_count * _EVENT.size)
    return [Event(cycle, _EVENTS[kind], a, b) for cycle, kind, a, b in (_EVENT.iter_unpack(raw) if len(raw) else ())]

"""A frame at a card's end of the cable."""

from dataclasses import dataclass, field

from ..frame import Frame
from .model import Step

__all__ = ["FrameSeen"]


@dataclass(slots=True)
class FrameSeen:
    """A frame at a card's end of the cable: its step, and those that say what became of one that came in."""

    frame: Frame
    step: Step
    found: list[Step] = field(default_factory=list)

"""The journey of a packet: one id from the system call to the wire and up the other side, on one time line."""

from .model import Journey, JourneyError, Packet, Step, Track
from .recorder import Recorder

__all__ = ["Journey", "JourneyError", "Packet", "Recorder", "Step", "Track"]

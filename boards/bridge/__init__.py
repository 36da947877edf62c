"""Host bridge: the driver at the other end of a serial line, the card here."""

from .bridge import Bridge
from .bridged_nic import BridgedNic

__all__ = ["Bridge", "BridgedNic"]

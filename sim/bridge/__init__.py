"""The host's side of a bridge: a card that is reached over a serial line, by the same stack and driver as any other."""

from .carrier import Carrier
from .nic import BridgeNic

__all__ = ["BridgeNic", "Carrier"]

"""The driver of our NIC."""

from .main import Hardwire, hardwire_probe, hardwire_remove
from .parameters import Parameters

__all__ = ["Hardwire", "Parameters", "hardwire_probe", "hardwire_remove"]

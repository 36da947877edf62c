"""The driver of our NIC."""

from .main import Hardwire, Parameters, hardwire_probe, hardwire_remove

__all__ = ["Hardwire", "Parameters", "hardwire_probe", "hardwire_remove"]

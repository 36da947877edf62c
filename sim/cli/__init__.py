"""The command ``hardwire``."""

from .app import main

__all__ = ["main"]

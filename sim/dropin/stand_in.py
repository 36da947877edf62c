"""Modules that stand in for real ones."""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

__all__ = ["stand_in"]


def stand_in(real: ModuleType, instead: Mapping[str, Any], *, without: Iterable[str] = ()) -> ModuleType:
    """Return a module like a real one, but with other values for some names, and without others."""
    module = ModuleType(real.__name__, real.__doc__)
    kept = {name: value for name, value in vars(real).items() if name not in without}
    module.__dict__.update({**kept, **instead})
    return module

"""Kinds of device, by name: whoever implements Mmio, Dma and Irq adds itself here, so that nothing imports upwards."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["device_names", "open_device", "register_device"]

_FACTORIES: dict[str, str | Callable[..., Any]] = {"sim": "hardwire.sim.nic:SimNic"}


def register_device(name: str, factory: str | Callable[..., Any]) -> None:
    """Add a kind of device.

    Parameters
    ----------
    name : str
        Its name, as a user types it.
    factory : str or callable
        What makes one, or ``"module:attribute"``, imported when it is first needed.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if name in _FACTORIES:
        raise ValueError(f"there is already a device {name!r}")
    _FACTORIES[name] = factory


def device_names() -> list[str]:
    """Return the names of all kinds of device."""
    return sorted(_FACTORIES)


def open_device(name: str, **options: object) -> Any:
    """Return a new device of that kind.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    factory = _FACTORIES.get(name)
    if factory is None:
        raise ValueError(f"no device {name!r}; there are {', '.join(device_names())}")
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        factory = getattr(import_module(module), attribute)
    return factory(**options)

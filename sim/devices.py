"""Kinds of device, by name: whoever implements Mmio, Dma and Irq adds itself here, so that nothing imports upwards."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["device_names", "is_real", "open_device", "register_device"]

_FACTORIES: dict[str, str | Callable[..., Any]] = {
    "board-sim": "hardwire.sim.board_sim:BoardSimNic",
    "sim": "hardwire.sim.nic:SimNic",
    "uart": "hardwire.sim.bridge.serial_port:open_uart",
}
_REAL = {"uart"}  # One says where it is.


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


def is_real(name: str) -> bool:
    """Return whether such a device is a real card: then its wire is, too, and time.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    kind, _ = _parts(name)
    return kind in _REAL


def open_device(name: str, **options: object) -> Any:
    """Return a new device of that kind.

    Parameters
    ----------
    name : str
        Its kind, and for some ``:`` and where it is: ``uart:/dev/ttyUSB0``.
    **options
        What it is made with.

    Raises
    ------
    ValueError
        If there is no such kind, or it needs no place.
    """
    kind, address = _parts(name)
    if kind in _REAL:
        options["address"] = address
    factory = _FACTORIES[kind]
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        factory = getattr(import_module(module), attribute)
    return factory(**options)


def _parts(name: str) -> tuple[str, str]:
    """Return kind and place."""
    kind, colon, address = name.partition(":")
    if kind not in _FACTORIES:
        raise ValueError(f"no device {kind!r}; there are {', '.join(device_names())}")
    if colon and kind not in _REAL:
        raise ValueError(f"a device {kind!r} has no place: leave out {colon + address!r}")
    return kind, address

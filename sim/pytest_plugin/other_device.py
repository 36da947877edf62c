"""Tests with another kind of card than the simulated one: what does not go with that, and plugins that bring kinds."""

import pytest

from ..devices import device_names

__all__ = ["check"]

_BROUGHT_BY = {"cocotb": "hardwire.tb.cocotb_plugin"}  # Above this package, so by name.


def check(config: pytest.Config) -> None:
    """Make the kind of card known that is asked for; called if it is not ``sim``.

    Raises
    ------
    UsageError
        If there is no such kind, or something is to be recorded.
    """
    device = config.option.hardwire_device
    for what in ("pcap", "waves", "journey"):
        if getattr(config.option, f"hardwire_{what}"):
            raise pytest.UsageError(f"--hardwire-{what} records cards of the device sim only, not {device}")
    kind = device.partition(":")[0]
    if kind in (name.partition(":")[0] for name in device_names()):
        return
    if kind not in _BROUGHT_BY:
        known = ", ".join(sorted({*device_names(), *_BROUGHT_BY}))
        raise pytest.UsageError(f"--hardwire-device: there is no device {device!r}; there are {known}")
    config.pluginmanager.import_plugin(_BROUGHT_BY[kind])

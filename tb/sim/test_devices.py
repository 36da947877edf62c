"""The registry of kinds of device."""

import pytest

from hardwire.sim import devices
from hardwire.sim.nic import SimNic


def test_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="^no device 'abacus'; there are .*sim"):
        devices.open_device("abacus")


def test_registered_device_is_opened_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_FACTORIES", dict(devices._FACTORIES))
    devices.register_device("list", lambda **options: sorted(options))
    assert devices.open_device("list", b=1, a=2) == ["a", "b"]
    devices.register_device("lazy", "collections:OrderedDict")
    assert devices.open_device("lazy", x=1) == {"x": 1}
    with pytest.raises(ValueError, match="^there is already a device 'sim'$"):
        devices.register_device("sim", SimNic)


def test_text_after_the_colon_says_where_a_card_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_FACTORIES", {**devices._FACTORIES, "uart": dict})
    assert devices.open_device("uart:/dev/ttyS7,baud=9600", a=1) == {"address": "/dev/ttyS7,baud=9600", "a": 1}
    assert devices.open_device("uart") == {"address": ""}
    assert devices.is_real("uart:/dev/ttyS7")
    assert not devices.is_real("sim")
    with pytest.raises(ValueError, match="^a device 'sim' has no place: leave out ':/dev/ttyS7'$"):
        devices.open_device("sim:/dev/ttyS7")

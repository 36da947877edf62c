"""What a test wants its cards, hosts and cables to be: the arguments of ``@pytest.mark.hardwire``."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from ...hdl.config import NicConfig
from ..bus_model import BusModel
from ..devices import open_device
from ..lan import Lan
from ..link import Link
from ..machine import Machine, Setup
from ..nic import SimNic
from ..world import World

__all__ = ["Wanted", "WantedError"]

_PARAMETERS = {
    "config": [each.name for each in fields(NicConfig)],
    "bus": [each.name for each in fields(BusModel)],
    "link": [name for name in inspect.signature(Link).parameters if name not in ("a", "b", "name")],
    "neighbours": None,  # Addresses.
}
_OF_A_CARD = ("bus", "config")
_OF_A_HOST = (*_OF_A_CARD, "mtu", "neighbours", "offload", "phy_address", "ring")
_TAKES = {
    "nic": _OF_A_CARD,
    "host": _OF_A_HOST,
    "two_hosts": (*_OF_A_HOST, "link", "switched"),
    "lan": (*_OF_A_HOST, "hosts", "link", "switched"),
}


class WantedError(ValueError):
    """A test wants what does not exist; the text says what does."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a test wants.

    Parameters
    ----------
    bus, config : dict
        Members of :class:`.BusModel` and :class:`.NicConfig`, by name, that are not as by default.
    link : dict
        Parameters of each :class:`.Link`, by name.
    neighbours : dict
        MAC addresses that no host need ask for, by IPv4 address.
    hosts : int
        How many there are on ``lan``.
    mtu, offload, phy_address, switched
        As in :class:`.Setup` and :class:`.Lan`.
    ring : int or None
        Descriptors of a ring, a power of two; None for the driver's default.

    Raises
    ------
    WantedError
        If a value is out of its range.
    """

    bus: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    hosts: int = 3
    link: Mapping[str, float] = field(default_factory=dict)
    mtu: int = 1500
    neighbours: Mapping[str, str] = field(default_factory=dict)
    offload: bool = True
    phy_address: int = 0
    ring: int | None = None
    switched: bool | None = None

    def __post_init__(self) -> None:
        for name, kind in (("hosts", int), ("mtu", int), ("offload", bool), ("phy_address", int)):
            if type(getattr(self, name)) is not kind:
                raise WantedError(f"{name} must be {kind.__name__}, not {getattr(self, name)!r}")
        if self.ring is not None and (type(self.ring) is not int or self.ring < 2 or self.ring & (self.ring - 1)):
            raise WantedError(f"ring must be a power of two from 2 up, not {self.ring!r}")
        if self.switched not in (True, False, None):
            raise WantedError(f"switched must be True, False or None, not {self.switched!r}")
        for name, made in (("config", NicConfig), ("bus", BusModel)):
            try:
                made(**getattr(self, name))
            except (TypeError, ValueError) as error:
                raise WantedError(f"{name}: {error}") from error

    @classmethod
    def merged(cls, marks: Iterable[Any]) -> "Wanted":
        """Return what marks ask for, the closest one first; of dicts, each key by itself.

        Raises
        ------
        WantedError
            If an argument is none that there is.
        """
        values: dict[str, Any] = {}
        for mark in reversed(list(marks)):
            if mark.args:
                raise WantedError(f"all arguments have names, {mark.args[0]!r} has none")
            for name, value in mark.kwargs.items():
                _check_name(name, [each.name for each in fields(cls)])
                if name in _PARAMETERS:
                    values[name] = values.get(name, {}) | _members(name, value)
                else:
                    values[name] = value
        return cls(**values)

    @staticmethod
    def unused(names: Iterable[str], fixtures: Iterable[str]) -> list[str]:
        """Return those of the arguments that none of these fixtures takes."""
        taken = [_TAKES[fixture] for fixture in fixtures if fixture in _TAKES]
        return [name for name in names if taken and not any(name in one for one in taken)]

    @property
    def nic_config(self) -> NicConfig:
        """Parameters of the gateware."""
        return NicConfig(**self.config)

    def setup(self, device: str = "sim") -> Setup:
        """Return what a machine with a card of that kind is set up with."""
        return Setup(
            device=device,
            mtu=self.mtu,
            offload=self.offload,
            neighbours=dict(self.neighbours),
            ring_log2=None if self.ring is None else self.ring.bit_length() - 1,
            bus=BusModel(**self.bus),
            config=self.nic_config,
            phy_address=self.phy_address,
        )

    def nic(self, world: World, device: str = "sim") -> SimNic:
        """Make a card of that kind in a host without a stack."""
        nic: SimNic = open_device(
            device, host=world.host(), config=self.nic_config, bus=BusModel(**self.bus), waves=False
        )
        return nic

    def host(self, world: World, device: str = "sim") -> Machine:
        """Make a host with a card of that kind, which is in no network."""
        return Machine(world, self.setup(device))

    def lan(self, world: World, hosts: int | None = None) -> Lan:
        """Make a network of so many hosts, or as many as the test wants."""
        return Lan(world, hosts or self.hosts, switched=self.switched, like=self.setup(), **self.link)


def _members(name: str, value: object) -> dict[str, Any]:
    """Return a group of parameters as a dict, all of its keys such as there are."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if not isinstance(value, Mapping):
        raise WantedError(f"{name} must be a dict, not {value!r}")
    known = _PARAMETERS[name]
    for key in value if known else ():
        _check_name(key, known or [], f"{name}: ")
    return dict(value)


def _check_name(name: str, known: list[str], of: str = "") -> None:
    if name not in known:
        raise WantedError(f"{of}there is no {name!r}; there are {', '.join(known)}")

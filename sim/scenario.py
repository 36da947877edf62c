"""A scenario: hosts, their network and their programs, as a TOML file describes them."""

import datetime
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from ..stack.wire.address import ipv4_from_text, mac_from_text
from .devices import is_real
from .machine import Setup
from .programs import PROGRAMS, Program, ProgramError, parse_program
from .send import Endpoint, host_address, parse_neighbour

__all__ = ["HostPlan", "Scenario", "ScenarioError", "program_of"]

_START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
_LONGEST_DELAY_NS = 10_000_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ScenarioError(ValueError):
    """A scenario makes no sense; the text names the key."""


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """A host of a scenario.

    Parameters
    ----------
    name : str
        Its name.
    setup : Setup
        Its card and addresses.
    gateway : str or None
        Where packets for other networks go.
    programs : list
        What runs there: words of a Python command line, without "python", or a program of ``hardwire lan``.
    """

    name: str
    setup: Setup
    gateway: str | None = None
    programs: list[list[str] | Program] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its address, without the prefix length."""
        assert self.setup.address is not None  # Every host of a scenario has one.
        return self.setup.address.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Hosts on a network.

    Parameters
    ----------
    hosts : list of HostPlan
        At least two; or one with a real card, whose network is outside.
    names : dict[str, str]
        Addresses by name, beside those of the hosts.
    cable : dict
        Parameters of each ``Link``.
    switch : bool or None
        Join the hosts by a switch; None: if there are more than two.
    seed : int
        Seed of every random choice.
    start : datetime
        What the hosts' clocks show at first.
    folder : Path
        Where the programs of its hosts run.
    """

    hosts: list[HostPlan]
    names: dict[str, str] = field(default_factory=dict)
    cable: dict[str, Any] = field(default_factory=dict)
    switch: bool | None = None
    seed: int = 0
    start: datetime.datetime = _START
    folder: Path = Path()

    @classmethod
    def read(cls, path: Path) -> "Scenario":
        """Return what a file describes.

        Raises
        ------
        ScenarioError
            If it is no TOML, or a key or value makes no sense.
        OSError
            If the file cannot be read.
        """
        try:
            with path.open("rb") as file:
                table = tomllib.load(file)
            return cls.from_table(table, path.parent)
        except ValueError as error:
            raise ScenarioError(f"{path}: {error}") from error

    @classmethod
    def from_table(cls, table: dict[str, Any], folder: Path = Path()) -> "Scenario":
        """Return what a table describes, with the keys of a file.

        Raises
        ------
        ScenarioError
            If a key or value makes no sense.
        """
        values = _checked(table, _KEYS, "")
        plans = values.pop("hosts", {})
        hosts = [_host(name, number, plan) for number, (name, plan) in enumerate(plans.items(), 1)]
        real = next((host for host in hosts if is_real(host.setup.device)), None)
        if real is not None:
            _check_alone(real, len(hosts), values)
        elif not 2 <= len(hosts) <= 254:
            raise ScenarioError(f"hosts must be 2 to 254 tables [hosts.NAME], not {len(hosts)}")
        for what in ("address", "mac"):
            seen: dict[object, str] = {}
            for host in hosts:
                value = host.address if what == "address" else host.setup.mac
                other = seen.setdefault(value, host.name)
                if other != host.name:
                    raise ScenarioError(f"hosts.{host.name}.{what} is that of hosts.{other}")
        names = ["localhost", *(host.name.lower() for host in hosts), *map(str.lower, values.get("names", {}))]
        for name in names:
            if names.count(name) > 1:
                raise ScenarioError(f"{name} is the name of two hosts (capital letters make no difference)")
        if values.get("switch") is False and len(hosts) > 2:
            raise ScenarioError(f"switch must be true, or left out, for {len(hosts)} hosts")
        return cls(hosts=hosts, folder=folder, **values)

    @classmethod
    def default(cls) -> "Scenario":
        """Return two hosts on a cable: host1, 10.0.0.1, and host2, 10.0.0.2, with ``udp-echo`` on port 7."""
        return cls.from_table({"hosts": {"host1": {}, "host2": {"run": ["udp-echo"]}}})

    @property
    def is_real(self) -> bool:
        """Whether the network is a real one."""
        return is_real(self.hosts[0].setup.device)

    def host(self, name: str) -> int:
        """Return which one is the host of that name.

        Raises
        ------
        ScenarioError
            If there is none.
        """
        names = [host.name for host in self.hosts]
        if name not in names:
            raise ScenarioError(f"there is no host {name!r}; there are {', '.join(names)}")
        return names.index(name)

    @property
    def addresses(self) -> dict[str, str]:
        """All names, in lower case, with their addresses."""
        hosts = {host.name: host.address for host in self.hosts}
        return {name.lower(): address for name, address in {"localhost": "127.0.0.1", **hosts, **self.names}.items()}


Check = Callable[[Any], Any]


def _checked(table: Any, keys: dict[str, Check], place: str) -> dict[str, Any]:
    """Return a table's values, each checked by what its key has for that."""
    if not isinstance(table, dict):
        raise ScenarioError(f"{place.removesuffix('.')} must be a table, not {_toml(table)}")
    for key in table:
        if key not in keys:
            raise ScenarioError(f"{place}{key}: there is no such key; there are {', '.join(keys)}")
    return {key: _named(f"{place}{key}", keys[key], value) for key, value in table.items()}


def _named(key: str, check: Check, value: Any) -> Any:
    """Check a value; an error begins with the key."""
    try:
        return check(value)
    except ScenarioError as error:
        raise ScenarioError(f"{key}{error}") from error
    except ValueError as error:
        raise ScenarioError(f"{key}: {error}") from error


def _toml(value: Any) -> str:
    """Return a value as its file has it."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _number(least: float, most: float, *, whole: bool = False) -> Check:
    def check(value: Any) -> Any:
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else (int, float))
            or not least <= value <= most
        ):
            kind = "a whole number" if whole else "a number"
            raise ScenarioError(f" must be {kind} from {least:,} to {most:,}, not {_toml(value)}")
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ScenarioError(f" must be true or false, not {_toml(value)}")
    return value


def _text(what: str, check: Callable[[str], Any]) -> Check:
    def checked(value: Any) -> Any:
        if not isinstance(value, str):
            raise ScenarioError(f" must be {what}, not {_toml(value)}")
        return check(value)

    return checked


def _table(check: Check) -> Check:
    """Return a check of a table whose keys are names or addresses."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ScenarioError(f" must be a table, not {_toml(value)}")
        for key in value:
            if not _NAME.fullmatch(key):
                raise ScenarioError(f": {key!r} is no name: letters, digits and -_. are allowed")
        return {key: _named(f".{key}", check, item) for key, item in value.items()}

    return checked


def _time(value: Any) -> datetime.datetime:
    if not isinstance(value, datetime.datetime) or value.tzinfo is None or not 1970 <= value.year < 2200:
        example = "2025-01-01T00:00:00Z"
        raise ScenarioError(f" must be a time with its zone, such as {example}, from 1970 to 2199, not {_toml(value)}")
    return value


def _interface(text: str) -> str:
    """Return ``ADDR/PREFIX``, /24 unless it says so."""
    endpoint = Endpoint.parse(text, port_needed=False)
    if endpoint.port:
        raise ScenarioError(f" must be an address such as 10.0.0.1/24, not {text!r}")
    host_address(endpoint.address)
    interface = IPv4Interface(f"{endpoint.address}/{endpoint.prefixlen}")
    network = interface.network
    if endpoint.prefixlen < 31 and interface.ip in (network.network_address, network.broadcast_address):
        raise ScenarioError(f": {endpoint.address} is the address of the network {network} or its broadcast address")
    return str(interface)


def _address(text: str) -> str:
    ipv4_from_text(text)
    return text


def _gateway(text: str) -> str:
    host_address(text)
    return text


def _mac(text: str) -> bytes:
    octets = mac_from_text(text)
    if octets[0] & 1 or not any(octets):
        raise ScenarioError(f" must be the MAC address of one card, not {text}")
    return octets


def _programs(value: Any) -> list[list[str] | Program]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise ScenarioError(f' must be an array of command lines, such as ["python server.py"], not {_toml(value)}')
    return [program_of(line) for line in value]


def program_of(line: str) -> list[str] | Program:
    """Return the program of a command line: words for Python without "python", or one of ``hardwire lan``.

    Raises
    ------
    ScenarioError
        If there is none; the text follows a key.
    """
    words = shlex.split(line)
    if words[:1] != ["python"]:
        try:
            return parse_program(line)
        except ProgramError as error:
            also = "" if words and words[0] in PROGRAMS else ", and python"
            raise ScenarioError(f": {error}{also}") from error
    if not words[1:] or (words[1].startswith("-") and words[1] not in ("-m", "-c")):
        raise ScenarioError(f": {line!r}: after python comes a script, or -m and a module")
    return words[1:]


def _device(text: str) -> str:
    if text != "sim" and not is_real(text):
        raise ScenarioError(f" must be sim or a real card such as uart:/dev/ttyUSB0, not {text!r}")
    return text


def _check_alone(host: HostPlan, hosts: int, values: dict[str, Any]) -> None:
    """Refuse what there cannot be beside a real card: a simulated network."""
    key = f"hosts.{host.name}.device: {host.setup.device} is a real card on a real network"
    if hosts > 1:
        raise ScenarioError(f"{key}: there can be no other hosts here")
    for name in ("cable", "switch"):
        if name in values:
            raise ScenarioError(f"{key}: there can be no {name} here")


def _host(name: str, number: int, plan: Any) -> HostPlan:
    values = _checked(plan, _HOST_KEYS, f"hosts.{name}.")
    gateway, programs = values.pop("gateway", None), values.pop("run", [])
    values.setdefault("address", f"10.0.0.{number}/24")
    values.setdefault("mac", bytes((2, 0, 0, 0, 0, number)))
    own = IPv4Interface(values["address"])
    if gateway is not None and (gateway == str(own.ip) or IPv4Interface(gateway).ip not in own.network):
        raise ScenarioError(f"hosts.{name}.gateway: {gateway} is no other address in {own.network}")
    for address, mac in values.get("neighbours", {}).items():
        try:
            parse_neighbour(f"{address}={mac}", Endpoint(str(own.ip), own.network.prefixlen, 0))
        except ValueError as error:
            raise ScenarioError(f"hosts.{name}.neighbours: {error}") from error
    return HostPlan(name=name, setup=Setup(**values), gateway=gateway, programs=programs)


_HOST_KEYS: dict[str, Check] = {
    "address": _text("an address such as 10.0.0.1/24", _interface),
    "mac": _text("a MAC address such as 02:00:00:00:00:01", _mac),
    "mtu": _number(68, 9000, whole=True),
    "offload": _flag,
    "device": _text("a kind of card", _device),
    "gateway": _text("an IPv4 address", _gateway),
    "neighbours": _table(_text("a MAC address such as 02:00:00:00:00:02", str)),
    "run": _programs,
}

_CHANCE = _number(0, 1)

_CABLE_KEYS: dict[str, Check] = {
    "delay_ns": _number(8, _LONGEST_DELAY_NS),
    "rate_bps": _number(1, 1_000_000_000),
    "loss": _CHANCE,
    "corruption": _CHANCE,
    "duplication": _CHANCE,
    "reordering": _CHANCE,
    "reorder_delay_ns": _number(1, _LONGEST_DELAY_NS),
    "queue_frames": _number(1, 1_000_000, whole=True),
}


def _cable(value: Any) -> dict[str, Any]:
    return _checked(value, _CABLE_KEYS, ".") if isinstance(value, dict) else _table(str)(value)


_KEYS: dict[str, Check] = {
    "seed": _number(0, 2**63 - 1, whole=True),
    "start": _time,
    "switch": _flag,
    "cable": _cable,
    "names": _table(_text("an IPv4 address", _address)),
    "hosts": _table(lambda plan: plan),
}

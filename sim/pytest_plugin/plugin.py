"""The pytest plugin: options, the marker ``hardwire``, and the fixtures ``nic``, ``host``, ``two_hosts`` and ``lan``.

It is loaded by every pytest that finds the package installed, so it imports nothing of the simulator before a test asks
for a fixture.

A test that passes costs no records. One that fails is run once more with the same seed and everything recorded: the
library that can write waves is a slower one, and a run without waves cannot be turned back. The same seed gives the
same run, to the clock cycle, so the second run shows the failure of the first one; if it does not, because the test
depends on something outside the simulated world, the report says so.
"""

import os
import random
from argparse import ArgumentTypeError
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..lan import Lan
    from ..machine import Machine
    from ..nic import SimNic
    from ..world import World

__all__ = ["hardwire_device", "hardwire_seed", "hardwire_world", "host", "lan", "nic", "two_hosts"]

_MARKER = (
    "hardwire(config={}, bus={}, link={}, neighbours={}, mtu=1500, offload=True, ring=None, hosts=3, switched=None, "
    "phy_address=0): parameters of the cards, hosts and cables that the test's fixtures make; those of the closest "
    "marker count."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what can be asked for."""
    group = parser.getgroup("hardwire", "simulated network cards (hardwire)")
    group.addoption(
        "--hardwire-seed",
        metavar="N",
        type=_seed,
        default=os.environ.get("HARDWIRE_SEED") or "0",
        help="Seed of every random choice in simulated worlds, each test's own made from it and the test's name; "
        "'random' for a fresh one (default: HARDWIRE_SEED or 0).",
    )
    group.addoption(
        "--hardwire-device",
        metavar="NAME",
        default="sim",
        help="Kind of the cards of nic and host: sim, cocotb (the same in a cocotb simulation), or another that is "
        "known; tests with networks of several are skipped if it is not sim (default: sim).",
    )
    for what, text in (
        ("pcap", "what each card sends and receives"),
        ("waves", "waves of each card"),
        ("journey", "what stacks and cards do"),
    ):
        group.addoption(
            f"--hardwire-{what}", action="store_true", help=f"Record {text}, for tests that pass, too; it is slower."
        )
    group.addoption(
        "--hardwire-window",
        metavar="MS",
        type=_milliseconds,
        default=0.5,
        help="How much simulated time of a long test waves and journey show (default: 0.5 ms).",
    )
    group.addoption("--hardwire-artifacts", metavar="DIR", help="Where records go (default: .hardwire, or as set).")
    group.addoption(
        "--hardwire-no-rerun", action="store_true", help="Don't run failed tests again to record what they did."
    )
    parser.addini("hardwire_artifacts", "Where records go, from the root folder of the tests.", default=".hardwire")


def _seed(text: str) -> int:
    if text == "random":
        return random.SystemRandom().getrandbits(32)
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no seed: a number from 0 up, or 'random'")
    return int(text)


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 1e9:
        raise ArgumentTypeError(f"{text!r} is no length of time: milliseconds, more than 0")
    return value


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker is."""
    config.addinivalue_line("markers", _MARKER)
    # A worker of pytest-xdist has read the same words, but 'random' is another seed in each.
    if hasattr(config, "workerinput"):
        config.option.hardwire_seed = config.workerinput["hardwire_seed"]
    if config.option.hardwire_device != "sim":
        from .other_device import check

        check(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist the seed."""
    node.workerinput["hardwire_seed"] = node.config.option.hardwire_seed


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the tests need, before the first one and outside its limit of time."""
    items = [item for item in session.items if _uses(item)]
    if items and not session.config.option.collectonly:
        from .protocol import build

        build(session.config, items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test; if it fails, run it again and record."""
    if not _uses(item) or _may_fail(item):
        return None
    from .protocol import run

    run(item, nextitem)
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a new run, if somebody else runs the test once more; refuse what is wrong with a marker."""
    if item.config.option.hardwire_device != "sim" and {"lan", "two_hosts"} & set(getattr(item, "fixturenames", ())):
        pytest.skip(f"networks are of simulated cards, not of the device {item.config.option.hardwire_device}")
    if _uses(item):
        from .protocol import forget_over

        forget_over(item)
    if item.get_closest_marker("hardwire") is not None:
        from .protocol import wanted

        wanted(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Record from here on, at the latest."""
    if _uses(item):
        from .protocol import current

        current(item).begin()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note that a part of a test has failed, before its world ends."""
    if _uses(item) and call.excinfo is not None:
        from .protocol import current

        current(item).failed = True


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item) -> bool | None:
    """Let pytest-timeout not limit a second run: it is slower, and that the test ends is known."""
    if not _uses(item):
        return None
    from .protocol import is_second

    return True if is_second(item) else None


def _uses(item: pytest.Item) -> bool:
    # By the one that all need: others have fixtures of names like ``host``, too.
    return "hardwire_world" in getattr(item, "fixturenames", ())


def _may_fail(item: pytest.Item) -> bool:
    # pytest-rerunfailures runs those in its own way, and has no use for more runs.
    if not item.config.pluginmanager.hasplugin("rerunfailures"):
        return False
    return bool(item.config.option.reruns) or item.get_closest_marker("flaky") is not None


@pytest.fixture
def hardwire_seed(request: pytest.FixtureRequest) -> int:
    """Return this test's seed, which is that of its world."""
    from .protocol import seed_of

    return seed_of(request.node)


@pytest.fixture
def hardwire_world(request: pytest.FixtureRequest) -> "Iterator[World]":
    """Return the world in which the other fixtures make their things; tests can put more in."""
    from .protocol import current

    yield from current(request.node).world()


@pytest.fixture
def hardwire_device(request: pytest.FixtureRequest) -> str:
    """Return the kind of the cards that the test is to use, for a ``Setup`` of its own."""
    return str(request.config.option.hardwire_device)


@pytest.fixture
def nic(request: pytest.FixtureRequest, hardwire_world: "World", hardwire_device: str) -> "Iterator[SimNic]":
    """Return a card without a driver: ``read32()``, ``write32()``, its host's memory ``dma``, ``request()``."""
    from .protocol import make

    card: SimNic = make(request.node, lambda wanted: wanted.nic(hardwire_world, hardwire_device))
    yield card
    card.free()  # A test may end with the interrupt line high.


@pytest.fixture
def host(request: pytest.FixtureRequest, hardwire_world: "World", hardwire_device: str) -> "Machine":
    """Return a host 10.0.0.1 with a card; what it sends is seen by ``host.nic.take_frames()``."""
    from .protocol import make

    machine: Machine = make(request.node, lambda wanted: wanted.host(hardwire_world, hardwire_device))
    return machine


@pytest.fixture
def two_hosts(request: pytest.FixtureRequest, hardwire_world: "World") -> "Lan":
    """Return 10.0.0.1 and 10.0.0.2 on a cable: ``a, b = two_hosts``."""
    from .protocol import make

    network: Lan = make(request.node, lambda wanted: wanted.lan(hardwire_world, 2))
    return network


@pytest.fixture
def lan(request: pytest.FixtureRequest, hardwire_world: "World") -> "Lan":
    """Return hosts 10.0.0.1 and so on, three if not asked for others, on a switch, two on a cable."""
    from .protocol import make

    network: Lan = make(request.node, lambda wanted: wanted.lan(hardwire_world))
    return network

"""What tests share: a browser that shows journeys, and runs of pytest with the plugin as others have them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from hardwire.sim.build import cache_dir
from hardwire.sim.journey.html import page
from hardwire.tb.sim.browser import JourneyBrowser

CACHE = str(cache_dir())  # Of the real home: the runs have another.

ECHO = """
import pytest

def echo(a, b, payload=b"hello"):
    with b.net.socket() as server, a.net.socket() as client:
        server.bind(("0.0.0.0", 7))
        server.settimeout(0.01)
        client.sendto(payload, (b.address, 7))
        got, peer = server.recvfrom(2048)
        server.sendto(got, peer)
        return client.recvfrom(2048)[0]
"""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JourneyBrowser]:
    """Start one browser for all tests; it takes a second."""
    browser = JourneyBrowser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def show(chromium: JourneyBrowser, tmp_path: Path) -> Iterator[Callable[..., JourneyBrowser]]:
    """Show journeys; at the end nothing may have complained or asked for anything but the page."""

    def show(*journeys: dict[str, Any], fragment: str = "", **size: int) -> JourneyBrowser:
        path = tmp_path / "journey.html"
        path.write_text(page(journeys), encoding="utf-8")
        chromium.open(path, fragment, **size)
        return chromium

    yield show
    assert chromium.complaints() == []
    assert {address.partition("#")[0] for address in chromium.requests()} == {(tmp_path / "journey.html").as_uri()}


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs pytest on a test module."""
    monkeypatch.setenv("HARDWIRE_CACHE", CACHE)
    monkeypatch.delenv("HARDWIRE_SEED", raising=False)

    def run(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=ECHO + dedent(source))
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run

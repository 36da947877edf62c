"""What tests of pages share: one browser, and a way to show journeys in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hardwire.sim.journey.html import page
from hardwire.tb.sim.browser import JourneyBrowser


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

"""An option of all tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Give the plugin's option the short name that nobody else's tests need to have free."""
    parser.addoption("--device", dest="hardwire_device", default="sim", help="The same as --hardwire-device.")

"""Fixtures of the stack's tests."""

import pytest

pytest.register_assert_rewrite(*(f"hardwire.tb.stack.{name}" for name in ("commands", "frames", "programs")))

from hardwire.tb.stack.inet_host import InetHost  # noqa: E402 - those must not be imported before


@pytest.fixture
def host() -> InetHost:
    """Return a host with IPv4 on a fake device."""
    return InetHost()

"""Fixtures of the stack's tests."""

import pytest

from hardwire.tb.stack.inet_host import InetHost


@pytest.fixture
def host() -> InetHost:
    """Return a host with IPv4 on a fake device."""
    return InetHost()

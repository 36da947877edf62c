"""Our link works with every card that we may get: the same test on several."""

import pytest
from test_link import READINGS, run

CARDS = {
    "default": {},
    "narrow": {"config": {"stream_width_bits": 32, "axi_width_bits": 32}},
    "no offload": {"offload": False},
    "short rings": {"ring": 64},
    "slow memory": {"bus": {"read_latency_ns": 5000, "write_latency_ns": 5000, "read_jitter_ns": 1000}},
    "jumbo": {"mtu": 9000},
}
pytestmark = pytest.mark.hardwire(link={"loss": 0.1})


@pytest.mark.parametrize(
    "card", [pytest.param(name, marks=pytest.mark.hardwire(**wanted)) for name, wanted in CARDS.items()]
)
def test_readings_arrive(two_hosts, card):
    got, _ = run(two_hosts, 20)
    assert got == {"10.0.0.2": READINGS[:20]}

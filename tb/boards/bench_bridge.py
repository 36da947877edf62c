"""Bench of the host bridge."""

from typing import Any

from hardwire.boards.bridge import Bridge
from hardwire.tb.bench import Bench
from hardwire.tb.boards.bridge_line import OnLine

__all__ = ["BENCH"]

_CLOCK = {"clock_khz": 125_000, "baud": 15_625_000}
_OCTET_CYCLES = 80


def _build(*, retry_octets: int, **parameters: Any) -> OnLine:
    bridge = Bridge(**_CLOCK, id_width_bits=5, retry_cycles=retry_octets * _OCTET_CYCLES, **parameters)
    return OnLine(bridge, **_CLOCK)


BENCH = Bench(
    name="bridge",
    build=_build,
    module=("hardwire.tb.boards.cocotb_bridge", "hardwire.tb.boards.cocotb_bridge_link"),
    variants={
        "axi64": {"memory_octets": 1 << 13, "window_octets": 2048, "axi_width_bits": 64, "retry_octets": 2200},
        # It goes back in the middle of a full window.
        "axi32": {"memory_octets": 1 << 12, "window_octets": 1024, "axi_width_bits": 32, "retry_octets": 700},
    },
)

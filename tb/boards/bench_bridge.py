"""Bench of the host bridge."""

from typing import Any

from hardwire.boards.bridge import Bridge
from hardwire.tb.bench import Bench
from hardwire.tb.boards.bridge_line import OnLine

__all__ = ["BENCH"]

_CLOCK = {"clock_khz": 125_000, "baud": 12_500_000}


def _build(**parameters: Any) -> OnLine:
    return OnLine(Bridge(**_CLOCK, id_width_bits=5, **parameters), **_CLOCK)


BENCH = Bench(
    name="bridge",
    build=_build,
    module="hardwire.tb.boards.cocotb_bridge",
    variants={
        "axi64": {"memory_octets": 1 << 14, "window_octets": 4096, "axi_width_bits": 64},
        "axi32": {"memory_octets": 1 << 12, "window_octets": 1024, "axi_width_bits": 32},
    },
)

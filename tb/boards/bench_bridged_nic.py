"""Bench of the whole card on a serial line."""

from hardwire.boards.bridge import BridgedNic
from hardwire.hdl.config import NicConfig
from hardwire.tb.bench import Bench
from hardwire.tb.boards.bridge_line import OnLine

__all__ = ["BENCH"]


def _build(*, clock_khz: int, baud: int, memory_octets: int) -> OnLine:
    card = BridgedNic(nic=NicConfig(clock_khz=clock_khz), memory_octets=memory_octets, window_octets=2048, baud=baud)
    return OnLine(card, clock_khz=clock_khz, baud=baud)


BENCH = Bench(
    name="bridged_nic",
    build=_build,
    module="hardwire.tb.boards.cocotb_bridged_nic",
    variants={"": {"clock_khz": 125_000, "baud": 15_625_000, "memory_octets": 1 << 14}},
)

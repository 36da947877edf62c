"""Bench of the counters: those of the contract, and one that gets past 32 bits soon."""

from amaranth.lib import wiring

from hardwire.hdl.stats import Counter, CounterBank
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]


def build(*, wide: bool) -> wiring.Component:
    """Return the component."""
    return Counter(add_width=32) if wide else CounterBank()


BENCH = Bench(
    name="stats",
    build=build,
    module="hardwire.tb.hdl.cocotb_stats",
    variants={"contract": {"wide": False}, "wide": {"wide": True}},
)

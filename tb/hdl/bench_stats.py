"""Bench of the counters."""

from hardwire.hdl.stats import CounterBank
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(name="stats", build=CounterBank, module="hardwire.tb.hdl.cocotb_stats")

"""Bench of the counters of the contract."""

from hardwire.hdl.stats import CounterBank
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(name="stats", build=CounterBank, module="hardwire.tb.hdl.cocotb_stats", variants={"contract": {}})

"""Bench of the bridge's framing."""

from hardwire.tb.bench import Bench
from hardwire.tb.boards.framing_harness import Framing

__all__ = ["BENCH"]

BENCH = Bench(name="framing", build=Framing, module="hardwire.tb.boards.cocotb_framing")

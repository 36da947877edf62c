"""Bench of the ARP cache."""

from hardwire.hdl.arp_cache import ArpCache
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="arp_cache",
    build=ArpCache,
    module="hardwire.tb.hdl.cocotb_arp_cache",
    variants={"64x4": {}, "4x2": {"sets": 4, "ways": 2}, "8x1": {"sets": 8, "ways": 1}},
)

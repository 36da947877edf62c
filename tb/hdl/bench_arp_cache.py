"""Bench of the ARP cache, with inferred memory and with ECP5 block RAM."""

from hardwire.boards.ecp5 import Ecp5
from hardwire.hdl.arp_cache import ArpCache
from hardwire.hdl.verilog import flat_verilog
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]


def build(*, sets: int, ways: int, ecp5: bool = False) -> ArpCache | str:
    """Return the component, or its Verilog made of ECP5 primitives."""
    cache = ArpCache(sets=sets, ways=ways)
    return flat_verilog(cache, "arp_cache", Ecp5()) if ecp5 else cache


BENCH = Bench(
    name="arp_cache",
    build=build,
    module="hardwire.tb.hdl.cocotb_arp_cache",
    variants={
        "64x4": {"sets": 64, "ways": 4},
        "64x4-ecp5": {"sets": 64, "ways": 4, "ecp5": True},
        "4x2": {"sets": 4, "ways": 2},
        "8x1": {"sets": 8, "ways": 1},
    },
)

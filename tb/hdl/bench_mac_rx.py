"""Bench of the MAC's receive side."""

from hardwire.hdl.mac.rx import MacRx
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="mac_rx",
    build=MacRx,
    module="hardwire.tb.hdl.cocotb_mac_rx",
    variants={
        f"width{width_bits}": {"width_bits": width_bits, "max_frame_octets": 1518} for width_bits in (32, 64, 128)
    },
)

"""Bench of the receive datapath."""

from hardwire.hdl.rx.path import RxPath
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="rx_path",
    build=RxPath,
    module="hardwire.tb.hdl.cocotb_rx_path",
    variants={
        f"width{width_bits}": {"width_bits": width_bits, "buffer_octets": 4096, "max_frame_octets": 2048}
        for width_bits in (32, 64, 128)
    },
)

"""Bench of the DMA that writes frames."""

from hardwire.hdl.dma.write import DmaWrite
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="dma_write",
    build=DmaWrite,
    module="hardwire.tb.hdl.cocotb_dma_write",
    variants={
        f"stream{stream}axi{axi}": {"stream_width_bits": stream, "axi_width_bits": axi, **more}
        for stream, axi, more in (
            (64, 64, {"pad_octets": 2}),
            (32, 512, {"burst_octets": 128, "outstanding": 2}),
            (128, 32, {"pad_octets": 2, "burst_octets": 64}),
            (64, 128, {"pad_octets": 7}),
        )
    },
)

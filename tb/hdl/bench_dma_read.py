"""Bench of the payload DMA."""

from hardwire.hdl.dma.read import DmaRead
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="dma_read",
    build=DmaRead,
    module="hardwire.tb.hdl.cocotb_dma_read",
    variants={
        f"stream{stream}axi{axi}": {"stream_width_bits": stream, "axi_width_bits": axi}
        for stream, axi in ((64, 64), (32, 128), (64, 32), (128, 256))
    },
)

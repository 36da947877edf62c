"""Bench of the whole NIC."""

from hardwire.hdl.config import NicConfig
from hardwire.hdl.nic import Nic
from hardwire.hdl.verilog import NIC_TOP
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]


def _build(**parameters: int) -> Nic:
    return Nic(config=NicConfig(**parameters))


BENCH = Bench(
    name="nic",
    build=_build,
    top=NIC_TOP,
    module=tuple(f"hardwire.tb.hdl.cocotb_{name}" for name in ("nic", "nic_cross", "nic_receive_cross")),
    variants={
        f"stream{stream}axi{axi}": {"stream_width_bits": stream, "axi_width_bits": axi}
        for stream, axi in ((64, 64), (32, 128), (128, 32))
    },
)

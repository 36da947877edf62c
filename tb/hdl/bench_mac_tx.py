"""Bench of the MAC's transmit side."""

from hardwire.hdl.mac.tx import MacTx
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="mac_tx",
    build=MacTx,
    module="hardwire.tb.hdl.cocotb_mac_tx",
    variants={f"width{width_bits}": {"width_bits": width_bits} for width_bits in (32, 64, 128)},
)

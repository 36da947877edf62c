"""Bench of the transmit path."""

from hardwire.hdl.tx.path import TxPath
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="tx_path",
    build=TxPath,
    module="hardwire.tb.hdl.cocotb_tx_path",
    variants={f"width{width_bits}": {"width_bits": width_bits} for width_bits in (32, 64, 128)},
)

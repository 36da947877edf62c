"""Bench of the transmit checksum block, with inferred memory and with ECP5 block RAM."""

from hardwire.boards.ecp5 import Ecp5
from hardwire.hdl.tx.checksum import TxChecksum
from hardwire.hdl.verilog import flat_verilog
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]


def build(*, width_bits: int, ecp5: bool = False) -> TxChecksum | str:
    """Return the component, or its Verilog made of ECP5 primitives."""
    checksum = TxChecksum(width_bits=width_bits)
    return flat_verilog(checksum, "checksum", Ecp5()) if ecp5 else checksum


BENCH = Bench(
    name="checksum",
    build=build,
    module="hardwire.tb.hdl.cocotb_checksum",
    variants={
        "32": {"width_bits": 32},
        "64": {"width_bits": 64},
        "128": {"width_bits": 128},
        "64-ecp5": {"width_bits": 64, "ecp5": True},
    },
)

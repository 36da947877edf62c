"""Bench of the register bank."""

from hardwire.hdl.csr import CsrBank
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="csr",
    build=CsrBank,
    module="hardwire.tb.hdl.cocotb_csr",
    variants={"queues1": {"queues": 1}, "queues3": {"queues": 3}},
)

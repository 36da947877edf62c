"""The driver and the stack on the whole NIC, in cocotb."""

from hardwire.hdl.config import NicConfig
from hardwire.hdl.verilog import NIC_TOP, nic_verilog
from hardwire.tb.bench import Bench

BENCH = Bench(
    name="driver",
    build=lambda: nic_verilog(NicConfig()),
    module="hardwire.tb.hdl.cocotb_driver",
    top=NIC_TOP,
)

"""The host bridge under Verilator: a host at the end of the line, a device on its buses."""

from hardwire.stack.abi.bridge import BRIDGE_VERSION
from hardwire.tb.bench import parameters
from hardwire.tb.boards.bridge_harness import started
from hardwire.tb.cocotb_test import bench_test


@bench_test
async def reset_is_answered_by_hello(dut):
    harness = await started(dut)
    for nonce in (1, 0x7D7E7D7E):
        hello = await harness.reset(nonce)
        assert hello["version"] == BRIDGE_VERSION
        assert hello["memory_octets"] == parameters()["memory_octets"]
        assert hello["window_octets"] == parameters()["window_octets"]
        assert hello["rejected"] == 0

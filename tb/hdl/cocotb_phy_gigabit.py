"""What GMII and RGMII have of their own: a clock to the PHY, and when the pins may change beside it."""

import cocotb
from cocotb.triggers import ClockCycles, ValueChange
from cocotb.utils import get_sim_time

from hardwire.tb.bench import parameters
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.phy_harness import NOMINAL_PS, Harness

OCTET_NS = 8
# GMII: 35.4.2.3, at the rise. RGMII 2.0: TsetupT and TholdT, at both edges.
SETUP_HOLD_NS = {"gmii": (2.5, 0.5), "rgmii": (1.2, 1.2)}


@bench_test
async def pins_stand_still_around_the_edges_of_their_clock(dut):
    interface = parameters()["interface"]
    period_ps = NOMINAL_PS[interface]
    setup_ps, hold_ps = (time_ns / OCTET_NS * period_ps for time_ns in SETUP_HOLD_NS[interface])
    harness = Harness(dut)
    await harness.start(sync_ps=period_ps)
    changes, edges = [], []

    async def watch_pin(pin) -> None:
        while True:
            await ValueChange(pin)
            changes.append(get_sim_time("ps"))

    async def watch_clock() -> None:
        while True:
            await ValueChange(harness.tx_clk)
            if interface == "rgmii" or harness.tx_clk.value:
                edges.append(get_sim_time("ps"))

    control = [dut.tx_ctl] if interface == "rgmii" else [dut.tx_en, dut.tx_er]
    for task in (watch_clock(), *(watch_pin(pin) for pin in (dut.txd, *control))):
        cocotb.start_soon(task)
    octets = harness.frame(60)
    harness.source.send(octets, error=True)
    await harness.sent(1)
    await ClockCycles(harness.tx_clk, 2)
    assert len(changes) > 60
    for change in changes:
        assert all(change - edge >= hold_ps for edge in edges if edge <= change)
        assert all(edge - change >= setup_ps for edge in edges if edge >= change)

# amaranth: UnusedElaboratable=no
"""What a board is made of: refusals, dividers of PLLs, LEDs."""

import random
import re

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hardwire.boards.card import Card
from hardwire.boards.ecp5_board import pll_dividers
from hardwire.boards.registry import BOARDS, load_board
from hardwire.boards.stretch import Stretch
from hardwire.hdl.config import NicConfig
from hardwire.tb.bench import seed


def refuses(message: str) -> object:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_a_board_that_is_not_there_is_refused() -> None:
    with refuses(f"board must be one of {', '.join(BOARDS)}, not 'nexys'"):
        load_board("nexys")


def test_a_card_refuses_what_it_cannot_be() -> None:
    settled = {"baud": 1_000_000, "nic": NicConfig(), "memory_octets": 4096}
    with refuses("interface must be one of rgmii, mii, not 'rmii'"):
        Card(interface="rmii", **settled)
    with refuses("phy_reset_cycles must be at least 1, not 0"):
        Card(interface="mii", phy_reset_cycles=0, **settled)


@pytest.mark.parametrize("clk_mhz", [10, 12, 25, 27, 30, 48, 50, 100, 125, 200])
def test_the_dividers_of_an_ecp5_pll_make_125_mhz_within_its_limits(clk_mhz: int) -> None:
    # Feedback keeps CLKOP / CLKFB_DIV at CLKI / CLKI_DIV; the oscillator runs at CLKOP * CLKOP_DIV.
    if clk_mhz in (12, 27, 48):
        with refuses(f"no dividers make 125 MHz of {clk_mhz} MHz"):
            pll_dividers(clk_mhz)
        return
    dividers = pll_dividers(clk_mhz)
    detector_mhz = clk_mhz / dividers["CLKI_DIV"]
    vco_mhz = detector_mhz * dividers["CLKFB_DIV"] * dividers["CLKOP_DIV"]
    assert vco_mhz / dividers["CLKOS_DIV"] == 125
    assert 10 <= detector_mhz <= 400
    assert 400 <= vco_mhz <= 800


@pytest.mark.parametrize(
    ("board", "attribute", "limit_ns"),
    [("ecpix5_85", "tx_clk_delay_ns", "3.175"), ("genesys2", "rx_data_delay_ns", "2.42")],
)
def test_a_pin_is_not_delayed_by_more_than_its_cell_can(board: str, attribute: str, limit_ns: str) -> None:
    platform = load_board(board)
    setattr(platform, attribute, 9.0)
    delay = platform.delay_tx_clk if attribute == "tx_clk_delay_ns" else platform.delay_rx_data
    with refuses(f"a pin can be delayed by up to {limit_ns} ns, not 9.0"):
        delay(Module(), Signal())


def test_a_stretched_signal_stays_high_for_its_time() -> None:
    rng = random.Random(seed())
    cycles = rng.randint(2, 9)
    dut = Stretch(cycles=cycles)
    pulses = [rng.random() < 0.1 for _ in range(300)]
    expected = [any(pulses[max(at - cycles + 1, 0) : at + 1]) for at in range(len(pulses))]

    async def bench(ctx) -> None:
        seen = []
        for pulse in pulses:
            ctx.set(dut.i, pulse)
            await ctx.tick()
            seen.append(bool(ctx.get(dut.o)))
        assert seen == expected

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(bench)
    sim.run()


def test_a_signal_cannot_be_stretched_by_nothing() -> None:
    with refuses("cycles must be at least 1, not 0"):
        Stretch(cycles=0)

"""Bench of the PHY's management interface."""

from hardwire.hdl.mac.mdio import Mdio
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="mdio",
    build=Mdio,
    module="hardwire.tb.hdl.cocotb_mdio",
    variants={f"khz{clock_khz}": {"clock_khz": clock_khz} for clock_khz in (10_000, 25_000, 125_000, 160_001)},
)

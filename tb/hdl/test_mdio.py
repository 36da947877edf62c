# amaranth: UnusedElaboratable=no
"""The PHY's management interface: constructor."""

import pytest

from hardwire.hdl.mac.mdio import Mdio


@pytest.mark.parametrize("clock_khz", [0, -1])
def test_mdio_refuses_a_clock_that_stands(clock_khz):
    with pytest.raises(ValueError, match=f"^clock_khz must be at least 1, not {clock_khz}$"):
        Mdio(clock_khz=clock_khz)

# amaranth: UnusedElaboratable=no
"""The MAC's receive side: constructor."""

import re

import pytest

from hardwire.hdl.mac.rx import MacRx


@pytest.mark.parametrize("width_bits", [0, 8, 16, 48, 256, "64"])
def test_mac_rx_refuses_other_widths(width_bits):
    message = (
        f"width_bits must be 32, 64 or 128, not {width_bits!r}: "
        "narrower cannot carry 1 Gb/s of minimum frames, wider needs more than one frame a beat"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MacRx(width_bits=width_bits)


@pytest.mark.parametrize("octets", [0, 63, 16_001])
def test_mac_rx_refuses_frames_that_are_too_short_or_too_long(octets):
    with pytest.raises(ValueError, match=rf"^max_frame_octets must be in 64\.\.16000, not {octets}$"):
        MacRx(max_frame_octets=octets)


@pytest.mark.parametrize("octets", [64, 16_000])
def test_mac_rx_takes_frames_up_to_the_limits(octets):
    MacRx(max_frame_octets=octets)

# amaranth: UnusedElaboratable=no
"""Constructors of the receive datapath."""

import re

import pytest

from hardwire.hdl.packet import WIDTHS_BITS
from hardwire.hdl.rx.buffer import RxBuffer
from hardwire.hdl.rx.path import RxPath


@pytest.mark.parametrize("width_bits", WIDTHS_BITS)
def test_rx_path_takes_each_width_of_a_packet_stream(width_bits):
    path = RxPath(width_bits=width_bits, buffer_octets=4096, max_frame_octets=2048)
    assert len(path.i.payload.data) == len(path.o.payload.data) == width_bits


@pytest.mark.parametrize("width_bits", [0, 8, 16, 63, 256])
def test_rx_path_refuses_other_widths(width_bits):
    message = (
        f"width_bits must be 32, 64 or 128, not {width_bits!r}: "
        "narrower cannot carry 1 Gb/s of minimum frames, wider needs more than one frame a beat"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RxPath(width_bits=width_bits, buffer_octets=4096, max_frame_octets=2048)


@pytest.mark.parametrize("width_bits", WIDTHS_BITS)
@pytest.mark.parametrize("rows", [0, 8, 15, 17, 48])
def test_rx_buffer_refuses_room_that_is_no_power_of_two_or_under_16_rows(width_bits, rows):
    octets = rows * width_bits // 8
    message = f"buffer_octets must be a power of two of at least 16 rows, not {octets}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RxBuffer(width_bits=width_bits, buffer_octets=octets)


@pytest.mark.parametrize("width_bits", WIDTHS_BITS)
def test_rx_buffer_takes_16_rows(width_bits):
    RxBuffer(width_bits=width_bits, buffer_octets=2 * width_bits)

# amaranth: UnusedElaboratable=no
"""The NIC's parameters, and its ports as the outside binds to them."""

import re
import subprocess
import sys

import pytest

from hardwire.hdl.config import NicConfig
from hardwire.hdl.nic import Nic
from hardwire.hdl.verilog import FlatPorts


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"stream_width_bits": 16}, "stream_width_bits must be 32, 64 or 128, not 16"),
        ({"axi_width_bits": 48}, "axi_width_bits must be 32, 64, 128, 256 or 512, not 48"),
        ({"tx_ring_log2_max": 0}, "tx_ring_log2_max must be in 1..15, not 0"),
        ({"tx_ring_log2_max": 16}, "tx_ring_log2_max must be in 1..15, not 16"),
        ({"arp_sets": 3}, "arp_sets must be a power of two in 4..4096, not 3"),
        ({"arp_ways": 3}, "arp_ways must be 1, 2 or 4, not 3"),
        ({"max_frame_octets": 63}, "max_frame_octets must be in 64..16000, not 63"),
        ({"max_frame_octets": 16_001}, "max_frame_octets must be in 64..16000, not 16001"),
        ({"clock_khz": 0}, "clock_khz must be in 1..4294967295, not 0"),
        ({"dma_outstanding": 3}, "dma_outstanding must be 2, 4, 8 or 16, not 3"),
    ],
)
def test_nic_config_refuses_values(parameters, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        NicConfig(**parameters)


def test_nic_config_refuses_what_is_no_int():
    with pytest.raises(TypeError, match=r"^arp_ways must be an int, not '4'$"):
        NicConfig(arp_ways="4")


def test_nic_config_does_not_import_amaranth():
    """A warm start of the simulator depends on it."""
    program = "import sys, hardwire.hdl.config; sys.exit('amaranth' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_nic_refuses_another_config():
    with pytest.raises(TypeError, match=r"^config must be a NicConfig, not 64$"):
        Nic(config=64)


@pytest.mark.parametrize(("axi_width_bits", "outstanding", "id_width_bits"), [(64, 8, 5), (128, 16, 6), (32, 2, 5)])
def test_nic_has_flat_amba_ports(axi_width_bits, outstanding, id_width_bits):
    nic = Nic(config=NicConfig(axi_width_bits=axi_width_bits, dma_outstanding=outstanding))
    widths = {name: len(port) for name, port in FlatPorts(nic).ports.items()}
    assert widths["m_axi_arid"] == widths["m_axi_bid"] == id_width_bits
    assert widths["m_axi_araddr"] == widths["m_axi_awaddr"] == 64
    assert widths["m_axi_rdata"] == widths["m_axi_wdata"] == axi_width_bits
    assert widths["m_axi_wstrb"] == axi_width_bits // 8
    assert (widths["s_axil_awaddr"], widths["s_axil_wdata"], widths["s_axil_wstrb"]) == (16, 32, 4)
    assert (widths["gmii_txd"], widths["gmii_tx_en"], widths["gmii_tx_er"], widths["irq"]) == (8, 1, 1, 1)
    assert (widths["wake_in"], widths["advance_cycles"], widths["idle"]) == (32, 32, 1)

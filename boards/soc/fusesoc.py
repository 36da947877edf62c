"""The NIC as a core for FuseSoC."""

# Ref: FuseSoC 2.4 user guide, CAPI2 reference

from pathlib import Path

from ... import __version__
from ...hdl.config import NicConfig
from ...hdl.verilog import NIC_TOP, nic_verilog

__all__ = ["fusesoc_package"]

_TESTBENCH = Path(__file__).with_name("nic_testbench.cpp")
_HEADER = "hardwire_regs.h"
_CORE = f"""CAPI=2:
name: hardwire:net:{NIC_TOP}:{__version__}
description: Gigabit Ethernet NIC with AXI4-Lite registers, AXI4 DMA and GMII
license: Apache-2.0

filesets:
  rtl:
    files: [{NIC_TOP}.v]
    file_type: verilogSource
  testbench:
    files:
      - {_TESTBENCH.name}
      - {_HEADER}: {{is_include_file: true}}
    file_type: cppSource

targets:
  default: &default
    filesets: [rtl]
    toplevel: {NIC_TOP}

  lint:
    <<: *default
    description: Verilator's warnings are errors
    flow: lint
    flow_options:
      tool: verilator

  sim:
    <<: *default
    description: Read the identity, send a frame, look at GMII
    filesets: [rtl, testbench]
    flow: sim
    flow_options:
      tool: verilator
      verilator_options: [-Wno-fatal, -Wno-lint, -Wno-style]
      make_options: [OPT_FAST=-O0, OPT_GLOBAL=-O0]

  synth:
    <<: *default
    description: Synthesis alone, for Lattice ECP5
    flow: generic
    flow_options:
      tool: yosys
      arch: ecp5
      output_format: json
"""


def fusesoc_package(config: NicConfig, header: str) -> dict[str, str]:
    """Return the files of a core with targets ``lint``, ``sim`` and ``synth``, by name.

    Parameters
    ----------
    config : NicConfig
        Parameters of the NIC.
    header : str
        The registers and descriptors in C, for the test bench.
    """
    return {
        f"{NIC_TOP}.core": _CORE,
        f"{NIC_TOP}.v": nic_verilog(config),
        _TESTBENCH.name: _TESTBENCH.read_text(),
        _HEADER: header,
    }

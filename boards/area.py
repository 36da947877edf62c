"""Area and speed of the NIC and its blocks by themselves, taken as those of other cores were, to compare them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..hdl.blocks import BLOCKS
from ..hdl.config import NicConfig
from ..hdl.verilog import block_verilog, flat_verilog, nic_verilog
from .board import Board
from .bridge.bridged_nic import BridgedNic
from .ecp5 import Ecp5
from .results import kept
from .tools import run_tool

__all__ = ["AREA", "MODULES", "RESOURCES", "measure", "read_areas"]

AREA = Path(__file__).with_name("area.json")
RESOURCES = ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD")
_SEEDS = (1, 2, 3)


def _module(name: str) -> str:
    """Return the Verilog of a module with the default parameters, of an ECP5's primitives."""
    config, platform = NicConfig(), Ecp5()
    if name == "nic":
        return nic_verilog(config, platform)
    if name == "bridged_nic":
        card = BridgedNic(nic=config, memory_octets=Board.memory_octets, baud=Board.baud)
        return flat_verilog(card, "hardwire_bridged_nic", platform)
    return block_verilog(name, config, platform)


# Seeds that each is placed with. The card with its memory is larger than the FPGA: results.json has it on boards.
MODULES: dict[str, tuple[int, ...]] = {"nic": _SEEDS, "bridged_nic": (), **dict.fromkeys(BLOCKS, _SEEDS)}


def read_areas() -> dict[str, dict[str, Any]]:
    """Return what was last measured of each module: see `measure`."""
    return kept(AREA)


def measure(
    name: str, folder: Path, *, seeds: tuple[int, ...], report: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """Return area and Fmax of one of `MODULES` on an LFE5U-25F of speed 6, in a CABGA381 package.

    The area is that of the module alone, after packing. For Fmax each input comes from a flip-flop and each output goes
    to one, and the constraint is 200 MHz.

    Parameters
    ----------
    name : str
        The module.
    folder : Path
        Where the tools' files go.
    seeds : tuple of int
        Those to place it with; none measures the area only.
    report : callable
        Told each step.

    Returns
    -------
    dict
        ``TRELLIS_COMB`` (four for each LUT-RAM), ``TRELLIS_FF``, ``DP16KD``, and ``fmax_mhz``, a list.

    Raises
    ------
    ToolError
        If a program is missing or fails.
    """
    report(f"{name}: synthesis")
    (folder / "dut.v").write_text(_module(name))
    _yosys(folder, "dut", f"read_verilog -defer -sv dut.v\nhierarchy -check -top hardwire_{name}\nrename -top dut")
    log = _nextpnr(folder, "dut", "--85k", "--pack-only", "--out-of-context")
    found = {resource: int(count) for resource, count in re.findall(r"Info:\s+(\w+):\s+(\d+)/", log)}
    area: dict[str, Any] = {resource: found.get(resource, 0) for resource in RESOURCES}
    area["fmax_mhz"] = []
    if seeds:
        ports = json.loads((folder / "dut.json").read_text())["modules"]["dut"]["ports"]
        (folder / "registered.v").write_text(_registered(ports))
        _yosys(folder, "registered", "read_rtlil dut.il\nread_verilog registered.v")
    for seed in seeds:
        report(f"{name}: place and route, seed {seed}")
        options = [*("--speed", "6"), *("--freq", "200"), *("--seed", str(seed)), *("--report", "report.json")]
        _nextpnr(folder, "registered", "--25k", "--lpf-allow-unconstrained", "--timing-allow-fail", *options)
        clocks = json.loads((folder / "report.json").read_text())["fmax"].values()
        area["fmax_mhz"].append(round(min(clock["achieved"] for clock in clocks), 1))
    return area


def _yosys(folder: Path, top: str, read: str) -> None:
    (folder / f"{top}.ys").write_text(f"{read}\nwrite_rtlil {top}.il\nsynth_ecp5 -top {top} -json {top}.json\n")
    run_tool("yosys", ["-q", f"{top}.ys"], folder)


def _nextpnr(folder: Path, top: str, device: str, *options: str) -> str:
    return run_tool("nextpnr-ecp5", [device, "--package", "CABGA381", "--json", f"{top}.json", *options], folder)


def _registered(ports: dict[str, Any]) -> str:
    """Return Verilog that puts module ``dut`` between two shift registers."""
    pins, counts = [".clk(clk)"], {"input": 0, "output": 0}
    for name, port in ports.items():
        if name == "clk":
            continue
        kind, at, width = port["direction"], counts[port["direction"]], len(port["bits"])
        pins.append(f".{name}({'held' if kind == 'input' else 'seen'}[{at + width - 1}:{at}])")
        counts[kind] += width
    return f"""
module registered(input clk, input shift_in, input load, output shift_out);
  (* keep *) reg [{counts["input"] - 1}:0] held;
  wire [{counts["output"] - 1}:0] seen;
  reg [{counts["output"] - 1}:0] captured, shifted;
  reg load_q;
  always @(posedge clk) begin
    held <= {{held, shift_in}};
    captured <= seen;
    load_q <= load;
    shifted <= load_q ? captured : {{shifted, 1'b0}};
  end
  assign shift_out = shifted[{counts["output"] - 1}];
  dut u_dut({", ".join(pins)});
endmodule
"""

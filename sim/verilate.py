"""From Amaranth to C++: Verilog of the gateware, what Verilator makes of it, and which of that the harness calls."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..hdl.config import NicConfig
from .activity import Parts, split

__all__ = ["BuildError", "Report", "check", "run", "verilate", "verilate_nic"]

Report = Callable[[str, int, int], None]

_VERILATE = "--cc -O3 --x-assign fast --x-initial fast --no-assert -Wno-fatal"
_HEADER = """// Which clocks have an edge: always that of the NIC, of its parts those that are awake.
#pragma once
#include <cstdint>
namespace hw {{
// Parts that have to see a change of an input.
{fed}
constexpr bool kGmiiReachesMore = {gmii};  // Than registers: logic has to be evaluated when gmii_rx* has changed.
constexpr uint64_t kAlways = {always};
template <class Root> uint64_t triggers(const Root &d) {{ return kAlways{awake}; }}
}}  // namespace hw
"""


class BuildError(RuntimeError):
    """A tool is missing or failed; the text says which and what it wrote."""


def verilate_nic(config: NicConfig, *, waves: bool, verilator: Path, generated: Path, report: Report) -> list[str]:
    """Write the C++ of the bare NIC, module ``top``, into ``generated``; return what to tell the harness' compiler.

    Without waves the gateware is cut into parts and ``parts.h`` tells the harness of them, if Verilator's C++ is as
    expected; else it evaluates all in each cycle.
    """
    from ..hdl.verilog import nic_verilog, nic_verilog_in_one_module

    def translate(verilog: str) -> None:
        texts = {"nic.v": verilog, "top.v": _without_reset(verilog)}
        verilate(texts, top="top", prefix="Vnic", waves=waves, verilator=verilator, generated=generated, report=report)

    defines = [f"-DHW_AXI_OCTETS={config.axi_width_bits // 8}"]
    report("Writing Verilog", 0, 4)
    if not waves:
        try:
            parts = split(nic_verilog_in_one_module(config))
            translate(parts.verilog)
            (generated / "parts.h").write_text(_parts_header(parts, generated))
        except ValueError as error:
            report(f"Evaluating all in each cycle ({error})", 1, 4)
        else:
            return [*defines, "-DHW_BY_PARTS=1"]
    translate(nic_verilog(config))
    return [*defines, "-DHW_BY_PARTS=0"]


def verilate(
    texts: Mapping[str, str],
    *,
    top: str,
    prefix: str,
    waves: bool,
    verilator: Path,
    generated: Path,
    report: Report,
) -> None:
    """Write the C++ of Verilog files, texts by name, into a folder made anew.

    Raises
    ------
    BuildError
        If Verilator fails.
    """
    report("Verilating", 1, 4)
    shutil.rmtree(generated, ignore_errors=True)
    generated.mkdir()
    for name, text in texts.items():
        (generated / name).write_text(text)
    run(
        [str(verilator / "bin/verilator_bin"), *_VERILATE.split(), "--top-module", top, "--prefix", prefix]
        + ["-Mdir", str(generated)]
        + (["--trace-fst", "--trace-structs"] if waves else [])
        + [str(generated / name) for name in texts],
        VERILATOR_ROOT=str(verilator),
    )


def _parts_header(parts: Parts, generated: Path) -> str:
    """Return the C++ that tells which triggers of the model to set; ValueError if the model is not as expected."""
    code = "".join(path.read_text() for path in generated.glob("Vnic___024root__*.cpp") if "Slow" not in path.name)
    has_steps = all(f"void Vnic___024root___eval_{step}(Vnic___024root* vlSelf) {{" in code for step in ("ico", "nba"))
    # One word with a bit for each edge of a clock, the highest one first.
    word = re.search(r"__VactTriggered\[0U\] = (.*?);", code, re.DOTALL)
    clocks = re.findall(r"__Vtrigprevexpr___TOP__(\w+?)__0\)", word[1])[::-1] if word else []
    numbers = range(1, parts.count + 1)
    expected = {"clk", *(f"clk_{number}" for number in numbers)}
    if not has_steps or "__VactTriggered[1U]" in code or len(clocks) != len(expected) or set(clocks) != expected:
        raise ValueError("Verilator's C++ is not as expected")
    return _HEADER.format(
        fed="\n".join(
            f"constexpr uint64_t kFed{group.title()} = {sum(1 << clocks.index(f'clk_{number}') for number in numbers)};"
            for group, numbers in {**parts.fed, "any": frozenset().union(*parts.fed.values())}.items()
        ),
        gmii=str("gmii_rx" in _called(code, "Vnic___024root___eval_ico")).lower(),
        always=1 << clocks.index("clk"),
        awake="".join(f" | uint64_t(d.awake_{number}) << {clocks.index(f'clk_{number}')}" for number in numbers),
    )


def _called(code: str, function: str) -> str:
    """Return the C++ of a function and of all that it calls."""
    bodies = {
        match[1]: match[2]
        for match in re.finditer(r"^\w[\w ]*\b(Vnic\w+)\([^;{]*\) \{\n(.*?)^\}", code, re.MULTILINE | re.DOTALL)
    }
    seen: dict[str, str] = {}
    waiting = [function]
    while waiting:
        name = waiting.pop()
        if name in bodies and name not in seen:
            seen[name] = bodies[name]
            waiting += re.findall(r"\b(Vnic\w+)\(", bodies[name])
    if function not in seen:
        raise ValueError("Verilator's C++ is not as expected")
    return "".join(seen.values())


def _without_reset(verilog: str) -> str:
    """Return a module ``top`` around the NIC that never resets it: registers start with their first values anyway.

    Verilator then drops the reset from every register, which makes the model a tenth faster.
    """
    nic = verilog[verilog.index("module hardwire_nic(") :]
    ports = re.findall(r"^  (input|output) (\[\d+:0\] )?(\w+);", nic[: nic.index("endmodule")], re.MULTILINE)
    declared = ", ".join(f"{way} {width}{name}" for way, width, name in ports if name != "rst")
    connected = ", ".join(f".{name}({name})" for _, _, name in ports).replace("(rst)", "(1'b0)")
    return f"module top({declared});\n  hardwire_nic nic({connected});\nendmodule\n"


def run(command: Sequence[str], **environment: str) -> None:
    """Run a tool.

    Raises
    ------
    BuildError
        If it fails.
    """
    result = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    check(command, result.returncode, result.stdout)


def check(command: Any, code: int, output: str) -> None:
    """Raise `BuildError` if a tool failed."""
    if code:
        raise BuildError(f"{Path(command[0]).name} failed ({code}):\n{' '.join(command)}\n{output[-4000:]}")

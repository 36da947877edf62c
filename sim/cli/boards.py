"""``hardwire boards``, ``build`` and ``program``: the card on real boards."""

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .report import FAILED, MISUSED, CommandError, console, print_json, say

if TYPE_CHECKING:
    from ...boards.board import Board
    from ...boards.placed import Placed

__all__ = ["BoardName", "board_files", "boards", "build", "measure_boards", "program"]

BoardName = Annotated[str, typer.Option("--board", metavar="NAME", help="See hardwire boards.")]
_Folder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to; made if missing.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
_COLUMNS = ("name", "device", "PHY", "here", "core, PHY MHz", "COMB", "RAM")
_SMALL = 20  # A block of fewer cells is not worth a line.
_INSTALL = "pip install 'hardwire[boards]'"


def _load(name: str) -> "Board":
    from ...boards.registry import load_board

    try:
        return load_board(name)
    except ValueError as error:
        raise CommandError(f"--board: {error}", MISUSED) from error
    except ImportError as error:
        raise CommandError(f"boards need {error.name}: {_INSTALL}") from error


def _obstacle(board: "Board") -> str:
    """Return why a board cannot be built here; nothing if it can."""
    from ...boards.tools import ToolError, find_tool

    if board.flow != "open":
        return "needs Vivado"
    try:
        for tool in board.required_tools:
            find_tool(tool)
    except ToolError as error:
        return str(error)
    return ""


def boards(as_json: _AsJson = False) -> None:
    """List the boards: what is on them, if the tools are here, and what the last build of each reached."""
    from ...boards.registry import BOARDS, WITHOUT
    from ...boards.results import read_results

    results = read_results()
    rows: list[dict[str, Any]] = []
    for name in BOARDS:
        board = _load(name)
        rows.append(
            {
                "name": name,
                "title": board.title,
                "device": f"{board.device}-{board.speed}",
                "phy": board.phy,
                "interface": board.interface,
                "flow": board.flow,
                "obstacle": _obstacle(board),
                "uart": board.uart,
                "baud": board.baud,
                "result": results.get(name),
            }
        )
    if as_json:
        print_json(rows)
        return
    from rich.box import SIMPLE
    from rich.table import Column, Table

    columns = (Column(title, no_wrap=title not in ("PHY", "here")) for title in _COLUMNS)
    table = Table(*columns, box=SIMPLE, padding=0, collapse_padding=True, pad_edge=False)
    for row in rows:
        phy = f"{row['phy']} {row['interface'].upper()}"
        table.add_row(row["name"], row["device"], phy, row["obstacle"] or "builds", *_figures(row["result"]))
    console().print(table)
    for name, reason in WITHOUT.items():
        console().print(f" {name}: not there, {reason}")
    if results:
        dates = sorted(result["date"] for result in results.values())
        say(f"measured {dates[0]} to {dates[-1]}; 125 MHz is needed, 131.25 asked for")


def _figures(result: dict[str, Any] | None) -> tuple[str, str, str]:
    if result is None:
        return "", "", ""
    from ...boards.results import CLOCKS_125_MHZ

    speeds = (
        f"{'' if clock['achieved_mhz'] >= clock['wanted_mhz'] else '[red]'}{clock['achieved_mhz']:.1f}"
        for clock in (result["clocks"][name] for name in CLOCKS_125_MHZ)
    )
    return ", ".join(speeds), f"{result['area']['TRELLIS_COMB']:,}", str(result["area"]["DP16KD"])


def board_files(name: str, out: Path, as_json: bool) -> None:
    """Write a board's Verilog, constraints and build script."""
    _load(name)
    from ...boards.board import TOP
    from ...boards.flow import write_files

    board, paths = write_files(name, out)
    if as_json:
        print_json({"board": name, "top": TOP, "flow": board.flow, "files": [str(path) for path in paths]})
    else:
        say("".join(f"wrote {path}\n" for path in paths) + f"top module {TOP}; run build_{TOP}.sh there")


def build(board: BoardName, out: _Folder, as_json: _AsJson = False) -> None:
    """Make the bitstream of a board; exit 1 if a clock has less than 5 % of margin."""
    _load(board)
    from ...boards.board import BITSTREAM

    placed, was_there = _built(board, out)
    bitstream = out / BITSTREAM
    if as_json:
        print_json({"board": board, "bitstream": str(bitstream), "up_to_date": was_there, **_as_dict(placed)})
    else:
        _print_placed(placed)
        say(f"{'up to date' if was_there else 'wrote'}: {bitstream} (seed {placed.seed})")
    if not placed.met:
        raise CommandError(
            f"timing is not met: {placed.worst.name} reaches {placed.worst.achieved_mhz:.1f} MHz,"
            f" not {placed.worst.wanted_mhz:.1f}"
        )


def _built(name: str, out: Path) -> "tuple[Placed, bool]":
    from ...boards import flow
    from ...boards.tools import ToolError
    from .progress import progress

    with progress() as step:
        try:
            return flow.build(name, out, report=lambda text: step(f"{name}: {text}"))
        except ToolError as error:
            raise CommandError(str(error)) from error


def _as_dict(placed: "Placed") -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(placed), "met": placed.met}


def _print_placed(placed: "Placed") -> None:
    from rich.table import Table

    screen = console()
    area = Table("resource", "used", "of", "", title="utilisation")
    for name, (used, available) in placed.area.items():
        area.add_row(name, f"{used:,}", f"{available:,}", f"{used / max(available, 1):.0%}")
    screen.print(area)
    blocks = Table("block", "COMB", "FF", "RAM", title="by block, before packing")
    for block in placed.blocks:
        if block.comb + block.ff < _SMALL:
            continue
        blocks.add_row(block.name, f"{block.comb:,}", f"{block.ff:,}", str(block.ram))
    screen.print(blocks)
    clocks = Table("clock", "MHz", "wanted", title="clocks, 5 % of margin wanted")
    for clock in placed.clocks:
        colour = "" if clock.achieved_mhz >= clock.wanted_mhz else "[red]"
        clocks.add_row(clock.name, f"{colour}{clock.achieved_mhz:.1f}", f"{clock.wanted_mhz:.1f}")
    screen.print(clocks)
    path = Table("step", "ns", "source", "net or cell", title=f"longest path of {placed.worst.name}")
    for step in placed.critical:
        path.add_row(step.kind, f"{step.delay_ns:.2f}", step.source, step.name)
    screen.print(path)


def program(
    board: BoardName,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder that hardwire build wrote to.")
    ] = Path("build"),
    cable: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another cable, as openFPGALoader calls it.")
    ] = None,
    flash: Annotated[bool, typer.Option("--flash", help="Write it to the flash, to stay.")] = False,
) -> None:
    """Load a bitstream into a board with openFPGALoader."""
    platform = _load(board)
    from ...boards.board import BITSTREAM
    from ...boards.tools import ToolError, find_tool

    bitstream = out / BITSTREAM
    if not bitstream.exists():
        raise CommandError(f"there is no {bitstream}: hardwire build --board {board} -o {out}")
    options = shlex.split(platform.loader) if cable is None else ["--cable", cable]
    try:
        command = [find_tool("openFPGALoader"), *options, *(["--write-flash"] if flash else []), str(bitstream)]
    except ToolError as error:
        raise CommandError(str(error)) from error
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = (result.stdout + result.stderr).strip()
    if result.returncode == 0:
        say(f"{platform.title} is programmed; the driver speaks to it over {platform.uart}, {platform.baud} baud")
        return
    last = said.splitlines()[-1] if said else f"it ended with {result.returncode}"
    if "libusb" in said and "cannot open shared object" in said:
        last = "it needs libusb: apt install libusb-1.0-0 libftdi1-2 libhidapi-hidraw0"
    raise CommandError(f"openFPGALoader found no board to program, or could not: {last}", FAILED)


def measure_boards() -> dict[str, Any]:
    """Build each board that the tools here can, keep the results with the sources, and return them.

    Raises
    ------
    CommandError
        If a tool fails.
    """
    import tempfile

    from ...boards.registry import BOARDS
    from ...boards.results import read_results, record

    for name in BOARDS:
        if _obstacle(_load(name)):
            continue
        with tempfile.TemporaryDirectory(prefix="hardwire-board-") as folder:
            placed, _ = _built(name, Path(folder))
        record(name, placed)
    return read_results()

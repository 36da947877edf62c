"""``hardwire tb``: run the benches from the command line."""

import dataclasses
import fnmatch
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from . import bench
from .coverage import Coverage
from .coverage_report import Report, print_report, write_report
from .netlist import NetlistError, netlist_cases

__all__ = ["main"]


def main(
    pattern: Annotated[str, typer.Argument(help="Benches to run: part of a name, or a pattern with * and ?.")] = "*",
    only_list: Annotated[bool, typer.Option("--list", help="Only list them.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="How many at a time.")] = 1,
    waves: Annotated[bool, typer.Option("--waves", help="Record an FST file of each.")] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Report which statements and signals were exercised: OUT/coverage.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the random choices; a fresh one by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for logs and waves.")] = None,
    verilog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run the benches of the whole NIC on this Verilog, module hardwire_nic."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Run the cocotb benches under Verilator and print a table; exit 1 if one fails."""
    wanted = pattern if set(pattern) & set("*?") else f"*{pattern}*"
    # A variant's brackets are part of the name, not a set of characters.
    chosen = [case for case in _offered(verilog) if fnmatch.fnmatchcase(case.name, wanted.replace("[", "[[]"))]
    if not chosen:
        sys.stderr.write(f"hardwire tb: no bench matches {pattern!r}; see hardwire tb --list\n")
        raise typer.Exit(2)
    if only_list:
        names = [case.name for case in chosen]
        sys.stdout.write((json.dumps(names) if as_json else "\n".join(names)) + "\n")
        return
    run_seed = bench.seed() if seed is None else seed
    progress = Console(stderr=True)
    if coverage and out is None:
        out = Path(tempfile.mkdtemp(prefix="hardwire-coverage-"))

    def attempt(case: bench.Case) -> bench.Result:
        progress.print(f"running {case.name}", markup=False, highlight=False)
        try:
            return bench.run(case, run_seed=run_seed, waves=waves, coverage=coverage, out_dir=out)
        except bench.BenchError as error:
            return bench.Result(case.name, 0, (("bench", str(error)),), 0.0, 0.0, run_seed, "")

    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(attempt, chosen))
    report = _coverage(results, out, all_files=pattern == "*") if coverage and out is not None else None
    if as_json:
        sys.stdout.write(json.dumps(_as_json(results, report), indent=2) + "\n")
    else:
        _print_table(results)
        if report is not None:
            print_report(report)
    if any(result.failures or not result.tests for result in results):
        raise typer.Exit(1)


def _offered(verilog: Path | None) -> list[bench.Case]:
    """Return the cases to choose from; leave if a netlist is none that they can run."""
    if verilog is None:
        return bench.cases()
    if not verilog.is_file():
        sys.stderr.write(f"hardwire tb: --verilog: {verilog} is not a regular file\n")
        raise typer.Exit(2)
    try:
        return netlist_cases(verilog)
    except NetlistError as error:
        sys.stderr.write(f"hardwire tb: {error}\n")
        raise typer.Exit(1) from error


def _coverage(results: list[bench.Result], out: Path, *, all_files: bool) -> Report:
    """Write the coverage of all benches together."""
    together = Coverage()
    for result in results:
        together.add(result.coverage)
    return write_report(together, out / "coverage", all_files=all_files)


def _as_json(results: list[bench.Result], report: Report | None) -> list[dict[str, Any]] | dict[str, Any]:
    """Return what ``--json`` prints: the results, and with a report both."""
    runs = [{k: v for k, v in vars(result).items() if k != "coverage"} for result in results]
    if report is None:
        return runs
    return {
        "benches": runs,
        "coverage": {
            "statements": report.statement_share,
            "toggles": report.toggle_share,
            "files": [dataclasses.asdict(file) for file in report.files],
            "reasons": {f"{path}:{line}": reason for (path, line), reason in report.reasons.items()},
            "bins": dict(report.bins),
            "folder": report.folder,
        },
    }


def _print_table(results: list[bench.Result]) -> None:
    table = Table("bench", "tests", "failed", "simulated", "wall", "seed")
    for result in results:
        table.add_row(
            result.name.replace("[", r"\["),
            str(result.tests),
            f"[red]{len(result.failures)}[/]" if result.failures else "0",
            f"{result.sim_time_ns / 1000:,.1f} µs",
            f"{result.wall_s:.1f} s",
            str(result.seed),
        )
    console = Console()
    console.print(table)
    for result in results:
        for test, why in result.failures:
            console.print(f"{result.name} {test}: {why}", markup=False, highlight=False, style="red", soft_wrap=True)
        if result.failures and result.log:
            console.print(f"  log: {result.log}", markup=False, highlight=False, soft_wrap=True)
        if result.waves:
            console.print(f"{result.name}: waves in {result.waves}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(context_settings={"help_option_names": ["-h", "--help"]})(main)
    app(prog_name="hardwire tb")

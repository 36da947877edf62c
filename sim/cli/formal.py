"""``hardwire formal``: prove the gateware's properties."""

import dataclasses
import fnmatch
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Annotated

import typer

from .report import FAILED, MISUSED, CommandError, console, print_json

if TYPE_CHECKING:
    from ..prove import Verdict

__all__ = ["formal"]


def formal(
    pattern: Annotated[str, typer.Argument(help="Properties: part of a name, or a pattern with * and ?.")] = "*",
    only_list: Annotated[bool, typer.Option("--list", help="Only list them.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="How many at a time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Prove the gateware's properties, those that changed since the last time; exit 1 if one does not hold."""
    from ...hdl.formal import properties

    wanted = pattern if set(pattern) & set("*?") else f"*{pattern}*"
    chosen = [one for one in properties() if fnmatch.fnmatchcase(one.name, wanted)]
    if not chosen:
        raise CommandError(f"no property matches {pattern!r}; see hardwire formal --list", MISUSED)
    if only_list:
        if as_json:
            print_json([{"name": one.name, "extent": one.extent} for one in chosen])
        else:
            sys.stdout.write("".join(f"{one.name:36} {one.extent}\n" for one in chosen))
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ..prove import ProveError, prove

    verdicts = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(jobs) as pool:
        bar = progress.add_task("proving", total=len(chosen))
        # The long ones first, so that none is left alone at the end.
        futures = [pool.submit(prove, one) for one in sorted(chosen, key=lambda one: not one.long)]
        try:
            for future in as_completed(futures):
                verdict = future.result()
                verdicts.append(verdict)
                progress.update(bar, advance=1, description=verdict.name)
        except ProveError as error:
            pool.shutdown(cancel_futures=True)
            raise CommandError(str(error)) from error
    verdicts.sort(key=lambda verdict: verdict.name)
    if as_json:
        print_json([{**dataclasses.asdict(verdict), "proved": verdict.proved} for verdict in verdicts])
    else:
        _print_table(verdicts)
    if not all(verdict.proved for verdict in verdicts):
        raise typer.Exit(FAILED)


def _print_table(verdicts: "list[Verdict]") -> None:
    from rich.table import Table

    table = Table("property", "verdict", "extent", "time")
    for verdict in verdicts:
        table.add_row(
            verdict.name,
            "proved" if verdict.proved else "[red]FAILED[/]",
            verdict.extent,
            f"{verdict.wall_s:.1f} s{' (cached)' if verdict.from_cache else ''}",
        )
    screen = console()
    screen.print(table)
    for verdict in verdicts:
        if not verdict.proved:
            screen.print(f"{verdict.name}: {verdict.failure}", markup=False, style="red", soft_wrap=True)
            screen.print(f"  trace: {verdict.trace or 'none'}\n  log: {verdict.log}", markup=False, soft_wrap=True)

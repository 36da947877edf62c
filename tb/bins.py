"""Bins of functional coverage, as cocotb-coverage leaves them in a run's folder."""

from pathlib import Path
from typing import Any

__all__ = ["BINS", "read_bins"]

BINS = "functional.yml"


def read_bins(folder: Path) -> dict[str, int]:
    """Return the hits of each bin that a run has left, by ``point: bin``."""
    import yaml

    path = folder / BINS
    if not path.exists():
        return {}
    items: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())
    return {
        f"{name}: {bin_}": hits for name, item in items.items() for bin_, hits in item.get("bins:_hits", {}).items()
    }

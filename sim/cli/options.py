"""Values of options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from .report import MISUSED, CommandError

__all__ = [
    "Corruption",
    "DelayNs",
    "Duplication",
    "Loss",
    "RateMbps",
    "ReorderDelayNs",
    "Reordering",
    "bounded",
    "cable_of",
    "regular",
    "writable",
]

DelayNs = Annotated[float, typer.Option(metavar="NS", help="From end to end of a cable.")]
RateMbps = Annotated[float, typer.Option(metavar="MBPS", help="Of a cable.")]
Loss = Annotated[float, typer.Option(metavar="P", help="Chance that a cable loses a frame.")]
Corruption = Annotated[float, typer.Option(metavar="P", help="Chance that it damages one.")]
Duplication = Annotated[float, typer.Option(metavar="P", help="Chance that it doubles one.")]
Reordering = Annotated[float, typer.Option(metavar="P", help="Chance that it holds one back.")]
ReorderDelayNs = Annotated[float, typer.Option(metavar="NS", help="How long it holds one back.")]


def cable_of(
    delay_ns: float,
    rate_mbps: float,
    loss: float,
    corruption: float,
    duplication: float,
    reordering: float,
    reorder_delay_ns: float,
) -> dict[str, float]:
    """Return the parameters of a ``Link`` that the options say."""
    return {
        "delay_ns": delay_ns,
        "rate_bps": rate_mbps * 1e6,
        "loss": loss,
        "corruption": corruption,
        "duplication": duplication,
        "reordering": reordering,
        "reorder_delay_ns": reorder_delay_ns,
    }


def bounded(option: str, value: int, least: int, most: int) -> int:
    """Return a number that is in its bounds.

    Raises
    ------
    CommandError
        If it is not.
    """
    if not least <= value <= most:
        raise CommandError(f"{option} must be in {least:,}..{most:,}, not {value:,}", MISUSED)
    return value


def writable(option: str, path: Path | None) -> Path | None:
    """Return a file that can be written.

    Raises
    ------
    CommandError
        If it cannot.
    """
    if path is None:
        return None
    if not path.absolute().parent.is_dir():
        raise CommandError(f"{option}: there is no folder {path.parent}", MISUSED)
    if path.exists() and not path.is_file() and not path.is_dir():
        return path  # Not tried: who reads a pipe would see it end.
    try:
        path.open("ab").close()
    except OSError as error:
        raise CommandError(f"{option}: cannot write {path}: {error.strerror}", MISUSED) from error
    return path


def regular(option: str, path: Path | None) -> Path | None:
    """Return a file that is a regular one.

    Raises
    ------
    CommandError
        If it is not.
    """
    if path is not None and not path.is_file():
        raise CommandError(f"{option}: {path} is not a regular file", MISUSED)
    return path

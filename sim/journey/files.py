"""Journeys as files: what the name ends with says which kind."""

import json
from collections.abc import Callable
from pathlib import Path

from .html import page
from .model import Journey, JourneyError
from .pcapng import write_pcapng
from .perfetto import write_perfetto

__all__ = ["SUFFIXES", "read_journey", "write_journey"]


def _write_json(journey: Journey, path: Path | str) -> None:
    with Path(path).open("w") as file:
        json.dump(journey.to_json(), file, separators=(",", ":"))
        file.write("\n")


def _write_html(journey: Journey, path: Path | str) -> None:
    Path(path).write_text(page([journey.to_json()]))


_WRITERS: dict[str, Callable[[Journey, Path | str], None]] = {
    ".html": _write_html,
    ".json": _write_json,
    ".pcapng": write_pcapng,
    ".pftrace": write_perfetto,
}
SUFFIXES = tuple(_WRITERS)


def write_journey(journey: Journey, path: Path | str) -> None:
    """Write a journey: a page, JSON, a capture or a Perfetto trace.

    Raises
    ------
    JourneyError
        If the name of the file ends with none of ``SUFFIXES``, or a package is missing.
    OSError
        If the file cannot be written.
    """
    suffix = Path(path).suffix
    if suffix not in _WRITERS:
        raise JourneyError(f"{path}: a journey's file ends with {', '.join(SUFFIXES)}")
    _WRITERS[suffix](journey, path)


def read_journey(path: Path | str) -> Journey:
    """Return a journey from its JSON file.

    Raises
    ------
    JourneyError
        If it is none.
    OSError
        If the file cannot be read.
    """
    try:
        return Journey.from_json(json.loads(Path(path).read_bytes()))
    except ValueError as error:
        raise JourneyError(f"{path}: {error}") from error

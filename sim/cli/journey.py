"""``hardwire journey``: what recorded journeys look like, and what differs between two; ``--journey`` of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .report import FAILED, MISUSED, CommandError, console, say

if TYPE_CHECKING:
    from ..journey import Journey

__all__ = ["JourneyFiles", "journey", "mark_waves", "save", "usable"]

JourneyFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--journey", metavar="FILE", help="Write the journey as .html, .json, .pcapng or .pftrace; repeatable."
    ),
]


def journey(
    recorded: Annotated[Path, typer.Argument(metavar="A.json", help="A journey, from --journey FILE.json.")],
    other: Annotated[Path | None, typer.Argument(metavar="[B.json]", help="Another one, to compare with.")] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write .html, .json, .pcapng or .pftrace; repeatable. Else a tree."
        ),
    ] = None,
    packet: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="In the tree only what is about this packet.")
    ] = None,
) -> None:
    """Show a recorded journey, or write it in another form; with two of them, a page that compares them."""
    from ..journey import JourneyError
    from ..journey.files import read_journey
    from ..journey.tree import tree

    outputs = usable(output)
    if other is not None and {path.suffix for path in outputs} != {".html"}:
        raise CommandError("two journeys are compared on a page: say -o FILE.html", MISUSED)
    try:
        journeys = [read_journey(path) for path in (recorded, other) if path is not None]
        if outputs and other is not None:
            _compare(journeys, outputs)
        elif outputs:
            save(journeys[0], outputs)
        else:
            console().print(tree(journeys[0], packet), soft_wrap=True)
    except JourneyError as error:
        raise CommandError(str(error), FAILED) from error


def _compare(journeys: "list[Journey]", outputs: list[Path]) -> None:
    from ..journey.html import page

    for path in outputs:
        path.write_text(page([one.to_json() for one in journeys]))
        say(f"wrote {path}")


def usable(files: list[Path] | None) -> list[Path]:
    """Return the files, if a journey can be written to them.

    Raises
    ------
    CommandError
        If the name of one ends otherwise, or its folder is not there.
    """
    from ..journey.files import SUFFIXES

    for path in files or []:
        if path.suffix not in SUFFIXES:
            raise CommandError(f"{path}: a journey's file ends with {', '.join(SUFFIXES)}", MISUSED)
        if not path.absolute().parent.is_dir():
            raise CommandError(f"there is no folder {path.parent}", MISUSED)
    return files or []


def save(recorded: "Journey", files: list[Path]) -> None:
    """Write a journey to files that are ``usable``."""
    from ..journey import JourneyError
    from ..journey.files import write_journey

    for path in files:
        try:
            write_journey(recorded, path)
        except JourneyError as error:
            raise CommandError(str(error), FAILED) from error
        say(f"wrote {path}")


def mark_waves(recorded: "Journey", waves: Path, card: str) -> None:
    """Add the journey's markers to the waves of a card; without the package for that, say so."""
    from ..journey import JourneyError
    from ..journey.waves import mark_waves as mark

    try:
        mark(recorded, waves, card)
    except JourneyError as error:
        say(f"{waves} has no markers: {error}")
    say(f"wrote {waves}")

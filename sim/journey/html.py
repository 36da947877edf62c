"""A journey, or two to compare, as one HTML page that needs nothing else: no network, no other file."""

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

__all__ = ["page"]

_ASSETS = files(__package__) / "page"

_STYLES = ("page", "panel", "comparison", "print")

# Each script uses only those before it as it is loaded.
_SCRIPTS = (
    "element",
    "journey",
    "axis",
    "lanes",
    "theme",
    "painter",
    "timeline",
    "octets",
    "packets",
    "details",
    "search",
    "gestures",
    "overview",
    "journey_page",
    "alignment",
    "comparison",
    "main",
)


def page(journeys: Sequence[dict[str, Any]]) -> str:
    """Return the page of one journey, or of two and what is different between them.

    Parameters
    ----------
    journeys : Sequence[dict[str, Any]]
        One or two journeys as plain values.

    Raises
    ------
    ValueError
        If there are none, or more than two.
    """
    if len(journeys) not in (1, 2):
        raise ValueError(f"a page shows one journey or two, not {len(journeys)}")
    # In a script nothing but "<" can end it or begin a comment; JSON has another way to write it.
    data = json.dumps(list(journeys), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(_text("page.html")).substitute(
        title=html.escape(" / ".join(journey["title"] for journey in journeys)),
        style="\n".join(_text(f"{name}.css") for name in _STYLES),
        journeys=data,
        script="\n".join(_text(f"{name}.js") for name in _SCRIPTS),
    )


def _text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")

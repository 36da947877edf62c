"""The pictures of these pages, taken anew from the journeys: ``make docs-pictures``."""

import io
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image

import journeys
from hardwire.tb.sim.browser import JourneyBrowser

__all__ = ["PICTURES", "Shot"]

_FOLDER = Path(__file__).parent / "pictures"
_COLOURS = 128


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What to show of a journey.

    Parameters
    ----------
    journey : str
        Its name in ``journeys.JOURNEYS``.
    view : str
        What follows the ``#`` of the page's address.
    step : tuple[str, str, int] or None
        Host, name and packet of the step to go to.
    near : float
        How much nearer than the page shows it by itself.
    select : bool
        Whether to select the step, too, so that the panel shows it.
    scroll : int
        How far to move down in the panel, in pixels.
    size : tuple[int, int]
        Of the window, in pixels.
    panel : int
        Width of what is beside the lanes, in pixels.
    """

    journey: str
    view: str = ""
    step: tuple[str, str, int] | None = None
    near: float = 1
    select: bool = True
    scroll: int = 0
    size: tuple[int, int] = (1100, 700)
    panel: int = 300


PICTURES = {
    "sending": Shot(journey="sending"),
    "sending-octets": Shot(journey="sending", view="packet=1", step=("host1", "udp4_hwcsum", 1), panel=460, scroll=330),
    "sending-up": Shot(journey="sending", view="packet=1", step=("host2", "udp_rcv", 1), near=0.8, select=False),
    "routing": Shot(journey="routing", view="packet=9&only=1"),
    "routing-hit": Shot(journey="routing", view="packet=7&only=1", step=("host1", "neigh_hh_output", 7), near=0.7),
    "forwarding": Shot(journey="forwarding", size=(1100, 1060)),
    "forwarding-cut": Shot(journey="forwarding", step=("router", "ip_do_fragment", 1), near=0.45),
    "demultiplexing": Shot(journey="demultiplexing", view="packet=1", size=(1100, 900)),
    "demultiplexing-bridge": Shot(
        journey="demultiplexing", view="packet=1&only=1", step=("bridge", "br_handle_frame", 1), near=0.6
    ),
    "messages": Shot(
        journey="messages", view="packet=1", step=("host1", "78 octets", 1), near=0.5, panel=480, scroll=590
    ),
    "card": Shot(journey="sending", view="packet=1&axis=time", step=("host1", "payload", 1), near=6, select=False),
    "offloads": Shot(journey="offloads"),
    "misses": Shot(journey="misses", view="page=B&packet=1"),
    "drops": Shot(journey="drops", size=(1100, 800)),
}


def _step(folder: Path, shot: Shot) -> int | None:
    """Return the number of the step to select."""
    if shot.step is None:
        return None
    host, name, packet = shot.step
    journey = json.loads((folder / f"{shot.journey}-0.json").read_text())
    return next(
        number
        for number, step in enumerate(journey["steps"])
        if step["name"] == name and packet in step["packets"] and journey["tracks"][step["track"]]["host"] == host
    )


def _take(browser: JourneyBrowser, folder: Path, shot: Shot) -> bytes:
    width, height = shot.size
    step = _step(folder, shot)
    view = "&".join(filter(None, (shot.view, f"step={step}" if shot.select and step is not None else "")))
    browser.open(folder / f"{shot.journey}.html", view, width=width, height=height, dots_per_pixel=1.25)
    for split in browser.all(".split"):
        at = split.rect
        browser.drag(at["x"] + 2, height / 2, round(width - shot.panel - at["x"]), 0)
    if step is not None and shot.near != 1:
        # Turning the wheel by one pixel is a zoom by 1.0016.
        browser.wheel(*browser.middle(step), -round(math.log(shot.near) / math.log(1.0016)))
    browser.js("document.querySelector('.details, .panel').scrollTo(0, a[0])", shot.scroll)
    browser.point_at(5, 5)
    return browser.picture()


def _in_few_colours(png: bytes) -> Image.Image:
    """Return a picture in the colours that it has most of: the file is small, and no area gets another colour."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    counts = cast(list[tuple[int, tuple[int, int, int]]], picture.getcolors(picture.width * picture.height))
    # Bright ones mean something, however small they are.
    counts.sort(key=lambda entry: entry[0] * (8 + max(entry[1]) - min(entry[1])), reverse=True)
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for _, colour in counts[:_COLOURS] for value in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    """Take those pictures that are named, or all."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        journeys.write(folder)
        browser = JourneyBrowser(folder / "profile")
        try:
            for name in sys.argv[1:] or PICTURES:
                path = _FOLDER / f"{name}.png"
                _in_few_colours(_take(browser, folder, PICTURES[name])).save(path, optimize=True)
                print(f"{path.name}: {path.stat().st_size // 1024} KiB")
        finally:
            browser.close()


if __name__ == "__main__":
    main()

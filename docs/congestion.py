"""The picture of congestion windows on a lossy path, a kernel's and ours: ``docs/pictures/congestion.svg``."""

from __future__ import annotations

import json
from pathlib import Path

from hardwire.tb.stack.congestion import CASES, RECORD, bulk

__all__ = ["main"]

_PICTURE = Path(__file__).parent / "pictures" / "congestion.svg"
_SECONDS = 30
_WIDTH, _HEIGHT = 440, 150  # Of a panel's inside.
_LEFT, _TOP, _GAP_X, _GAP_Y = 46, 40, 60, 62
_COLOURS = {"Linux 6.1": "#1f6fb4", "hardwire": "#d9601a"}
_HIGHEST = {0.1: 200, 1.0: 40}  # Packets; what is above, of slow start, is cut off.
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.t{font-weight:bold}.m{text-anchor:middle}.e{text-anchor:end}"
    ".g{stroke:#ddd}.w{fill:none;stroke-width:1.3}"
)


def _line(windows: list[int], highest: int, colour: str) -> str:
    points = " ".join(
        f"{number * _WIDTH / _SECONDS / 10:.1f},{_HEIGHT * (1 - min(window / highest, 1)):.1f}"
        for number, window in enumerate(windows[: _SECONDS * 10 + 1])
    )
    return f'<polyline class="w" stroke="{colour}" points="{points}"/>'


def _panel(congestion: str, loss_percent: float, windows: dict[str, list[int]]) -> str:
    highest = _HIGHEST[loss_percent]
    parts = [
        (
            f'<text class="t" y="-8">{congestion.replace("cubic", "CUBIC").replace("reno", "Reno")}, '
            f"{loss_percent:g} % lost</text>"
        )
    ]
    for step in range(5):
        y = _HEIGHT * (1 - step / 4)
        parts.append(
            f'<path class="g" d="M0 {y:g}h{_WIDTH}"/><text class="e" x="-6" y="{y + 4:g}">{highest * step // 4}</text>'
        )
    for second in range(0, _SECONDS + 1, 5):
        x = second * _WIDTH / _SECONDS
        parts.append(f'<text class="m" x="{x:.0f}" y="{_HEIGHT + 17}">{second} s</text>')
    parts += [_line(found, highest, _COLOURS[name]) for name, found in windows.items()]
    return "".join(parts)


def main() -> None:
    """Let our stack send over the path of the record, and draw both."""
    record = json.loads(RECORD.read_text())
    width = 2 * (_LEFT + _WIDTH) + _GAP_X
    height = _TOP + 2 * (_HEIGHT + _GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (name, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + 110 * number
        parts.append(
            f'<path stroke="{colour}" stroke-width="3" d="M{x} 10h20"/><text x="{x + 26}" y="14">{name}</text>'
        )
    parts.append(f'<text x="{_LEFT + 230}" y="14">congestion window in packets, of one connection each</text>')
    for number, (congestion, loss_percent, _) in enumerate(CASES):
        theirs = record[f"{congestion} {loss_percent}"]["windows"]
        ours = bulk(congestion, loss_percent, seed=1, seconds=_SECONDS).windows
        x = _LEFT + number // 2 * (_LEFT + _WIDTH + _GAP_X // 2)
        y = _TOP + 16 + number % 2 * (_HEIGHT + _GAP_Y)
        panel = _panel(congestion, loss_percent, dict(zip(_COLOURS, (theirs, ours), strict=True)))
        parts.append(f'<g transform="translate({x} {y})">{panel}</g>')
    _PICTURE.write_text("\n".join([*parts, "</svg>\n"]))
    print(f"{_PICTURE.name}: {_PICTURE.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()

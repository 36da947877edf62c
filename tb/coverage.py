"""What benches have executed of the gateware: statements by probes, signals by toggles, on the lines of its source."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .bins import read_bins
from .instrument import PROBE_PREFIX, Line, Probed

__all__ = ["COVERED_FOLDERS", "PROBED", "Coverage", "Toggle"]

PROBED = "probed.json"
COVERED_FOLDERS = ("hdl",)
_PACKAGE = Path(__file__).resolve().parents[1]
_POINT = re.compile(r"^C '(?P<keys>.*)' (?P<count>\d+)$")
_SOURCE = re.compile(r'^ *\(\* src = "(?P<path>[^"|]*):(?P<line>\d+)')
_ESCAPED = re.compile(r"__0([0-9a-f]{2})")


@dataclass(frozen=True, order=True)
class Toggle:
    """One bit of a signal that has, or has not, changed one way: ``edge`` is ``0->1`` or ``1->0``."""

    path: str
    line: int
    signal: str
    edge: str


@dataclass
class Coverage:
    """What was executed; of several runs, together.

    Members
    -------
    seen : dict[Line, bool]
        Statements that were elaborated, and if they were executed.
    toggles : dict[Toggle, bool]
        Changes of signals, and if they have happened.
    bins : dict[str, int]
        Bins of functional coverage, ``point: bin``, and how often each was hit.
    """

    seen: dict[Line, bool] = field(default_factory=dict)
    toggles: dict[Toggle, bool] = field(default_factory=dict)
    bins: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, build: Path, run: Path) -> "Coverage":
        """Return the coverage of one run from the folder of its build and its own."""
        found = cls(bins=read_bins(run))
        probed_file, data = build / PROBED, run / "coverage.dat"
        if not probed_file.exists():
            return found  # The bench is of Verilog that is not ours.
        probed: Probed = json.loads(probed_file.read_text())
        found._saw(map(tuple, probed["always"]), True)
        sources = _sources(next(build.glob("*.v")))
        executed: dict[str, bool] = defaultdict(bool)
        for keys, count in _points(data):
            name, _, edge = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), keys["o"]).rpartition(":")
            if name.startswith(PROBE_PREFIX):
                executed[name] |= count > 0
            elif (source := sources.get(int(keys["l"]))) is not None:
                toggle = Toggle(*source, re.sub(r"\$\d+", "", name), edge)
                found.toggles[toggle] = found.toggles.get(toggle, False) or count > 0
        for probe, lines in probed["blocks"].items():
            found._saw(map(tuple, lines), executed[probe])
        return found

    def add(self, other: "Coverage") -> None:
        """Take in another run."""
        for line, executed in other.seen.items():
            self._saw([line], executed)
        for toggle, happened in other.toggles.items():
            self.toggles[toggle] = self.toggles.get(toggle, False) or happened

        for name, hits in other.bins.items():
            self.bins[name] = self.bins.get(name, 0) + hits

    def _saw(self, lines: Iterable[Line], executed: bool) -> None:
        for line in lines:
            self.seen[line] = self.seen.get(line, False) or executed


def _points(data: Path) -> Iterable[tuple[dict[str, str], int]]:
    """Yield the points of Verilator's data file: each line has keys and values between two control characters."""
    for text in data.read_text().splitlines():
        if match := _POINT.match(text):
            pairs = (pair.partition("\x02") for pair in match["keys"].split("\x01") if pair)
            yield {key: value for key, _, value in pairs}, int(match["count"])


def _sources(verilog: Path) -> dict[int, Line]:
    """Return where each signal that is declared in a Verilog file comes from, if it is ours."""
    sources: dict[int, Line] = {}
    source: Line | None = None
    for number, text in enumerate(verilog.read_text().splitlines(), 1):
        if match := _SOURCE.match(text):
            path = Path(match["path"]).resolve()
            ours = any(path.is_relative_to(_PACKAGE / folder) for folder in COVERED_FOLDERS)
            source = (str(path.relative_to(_PACKAGE)), int(match["line"])) if ours else None
        elif source is not None and re.match(r" *(input|output|wire|reg) ", text):
            sources[number] = source  # A port has two declarations.
        else:
            source = None
    return sources

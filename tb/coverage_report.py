"""Coverage of the gateware as a summary, lcov and HTML: coverage.py, told what the lines of an Amaranth file are."""

import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage as coverage_py
from coverage.plugin import CoveragePlugin, FileReporter
from rich.console import Console
from rich.table import Column, Table

from .coverage import COVERED_FOLDERS, Coverage
from .instrument import Line, statements

__all__ = ["FileCoverage", "Report", "print_report", "write_report"]

_PACKAGE = Path(__file__).resolve().parents[1]
_REASON = "# uncovered: "


@dataclass(frozen=True)
class FileCoverage:
    """Coverage of one file: statements, those not executed and not explained; changes of signals, those that were."""

    path: str
    statements: int
    missing: tuple[int, ...]
    explained: tuple[int, ...]
    toggles: int
    toggled: int


@dataclass(frozen=True)
class Report:
    """Coverage of all files.

    Members
    -------
    files : tuple[FileCoverage, ...]
        By path.
    reasons : dict[Line, str]
        Why a line is not executed: what its comment ``# uncovered: ...`` says.
    bins : dict[str, int]
        Bins of functional coverage and their hits.
    folder : str
        Where the pages are.
    """

    files: tuple[FileCoverage, ...]
    reasons: Mapping[Line, str]
    bins: Mapping[str, int]
    folder: str

    @property
    def statement_share(self) -> float:
        """Share of the statements that were executed; those with a reason count as not."""
        total = sum(file.statements for file in self.files)
        return 1 - sum(len(file.missing) + len(file.explained) for file in self.files) / total if total else 1.0

    @property
    def toggle_share(self) -> float:
        """Share of the changes of signals that have happened."""
        total = sum(file.toggles for file in self.files)
        return sum(file.toggled for file in self.files) / total if total else 1.0


def write_report(found: Coverage, folder: Path, *, all_files: bool) -> Report:
    """Write ``statements.lcov``, ``toggles.lcov`` and pages of HTML for both into a folder; return the summary.

    With ``all_files`` files that no bench has elaborated count, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {path for path, _ in found.seen}
    written = {line for line in statements(COVERED_FOLDERS) if all_files or line[0] in paths}
    executed = {line: found.seen.get(line, False) for line in {*written, *found.seen}}
    executed = {line: hit for line, hit in executed.items() if line[0].split("/")[0] in COVERED_FOLDERS}
    toggled: dict[Line, bool] = {}
    for toggle, happened in found.toggles.items():
        toggled[toggle.path, toggle.line] = toggled.get((toggle.path, toggle.line), True) and happened
    reasons = {line: reason for path in {line[0] for line in executed} for line, reason in _reasons(path)}
    reasons = {line: reason for line, reason in reasons.items() if not executed.get(line, True)}
    _render(executed, reasons, folder, "statements", "Statements of the gateware")
    _render(toggled, {}, folder, "toggles", "Signals of the gateware: all bits have changed both ways")
    return Report(tuple(_summary(executed, reasons, found)), reasons, found.bins, str(folder))


def print_report(report: Report) -> None:
    """Print the summary of each file, what was not executed, and why."""
    table = Table(Column("gateware", no_wrap=True), "statements", "missed", "explained", "toggles", "lines missed")
    for file in report.files:
        table.add_row(
            file.path,
            str(file.statements),
            str(len(file.missing)),
            str(len(file.explained)),
            f"{file.toggled / file.toggles:.1%}" if file.toggles else "",
            ", ".join(map(str, file.missing[:20])) + (", ..." if len(file.missing) > 20 else ""),
        )
    console = Console()
    console.print(table)
    for (path, number), reason in sorted(report.reasons.items()):
        console.print(f"{path}:{number} is not executed: {reason}", markup=False, highlight=False, soft_wrap=True)
    if report.bins:
        missed = sorted(name for name, hits in report.bins.items() if not hits)
        for name in missed:
            console.print(f"never met: {name}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"functional bins {len(report.bins) - len(missed)} of {len(report.bins)}", highlight=False)
    console.print(
        f"statements {report.statement_share:.2%}, toggles {report.toggle_share:.2%}; pages in {report.folder}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _summary(executed: Mapping[Line, bool], reasons: Mapping[Line, str], found: Coverage) -> Iterable[FileCoverage]:
    toggles: dict[str, list[bool]] = defaultdict(list)
    for toggle, happened in found.toggles.items():
        toggles[toggle.path].append(happened)
    for path in sorted({line[0] for line in executed}):
        lines = [line for line in executed if line[0] == path]
        missing = sorted(line for line in lines if not executed[line])
        yield FileCoverage(
            path,
            len(lines),
            tuple(number for _, number in missing if (path, number) not in reasons),
            tuple(number for _, number in missing if (path, number) in reasons),
            len(toggles[path]),
            sum(toggles[path]),
        )


def _reasons(path: str) -> Iterable[tuple[Line, str]]:
    """Yield the lines of a file that say why they are not executed."""
    with (_PACKAGE / path).open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT and token.string.startswith(_REASON):
                yield (path, token.start[0]), token.string.removeprefix(_REASON)


class _Lines(FileReporter):
    """The lines of one file that count."""

    def __init__(self, path: Path, lines: set[int], explained: set[int]) -> None:
        super().__init__(str(path))
        self._lines = lines
        self._explained = explained

    def relative_filename(self) -> str:
        return str(Path(self.filename).relative_to(_PACKAGE))

    def lines(self) -> set[int]:
        return self._lines - self._explained

    def excluded_lines(self) -> set[int]:
        return self._explained


class _Gateware(CoveragePlugin):
    """Tells coverage.py what the lines are."""

    def __init__(self, lines: Mapping[Line, bool], reasons: Mapping[Line, str]) -> None:
        self._all = lines
        self._reasons = reasons

    def file_reporter(self, filename: str) -> FileReporter:
        path = str(Path(filename).relative_to(_PACKAGE))
        chosen: Callable[[Iterable[Line]], set[int]] = lambda lines: {number for name, number in lines if name == path}  # noqa: E731
        return _Lines(Path(filename), chosen(self._all), chosen(self._reasons))


def _render(lines: Mapping[Line, bool], reasons: Mapping[Line, str], folder: Path, name: str, title: str) -> None:
    plugin = _Gateware(lines, reasons)
    cov = coverage_py.Coverage(
        data_file=None,
        config_file=False,
        include=[f"{_PACKAGE / part}/*" for part in COVERED_FOLDERS],
        plugins=[lambda registry: registry.add_file_tracer(plugin)],
    )
    cov.load()
    hits: dict[str, list[int]] = defaultdict(list)
    for (path, number), hit in lines.items():
        hits[str(_PACKAGE / path)] += [number] if hit else []
    data: Any = cov.get_data()
    data.add_lines(hits)
    data.touch_files(hits)
    data.add_file_tracers(dict.fromkeys(hits, plugin._coverage_plugin_name))
    cov.lcov_report(outfile=str(folder / f"{name}.lcov"))
    cov.html_report(directory=str(folder / name), title=title)

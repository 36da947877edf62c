"""Put a journey into waves: signals, in a scope of their own, that say what the card works on and for which packet."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .model import Journey, JourneyError, Step

__all__ = ["mark_waves"]

SCOPE = "journey"
_FASTLZ = 1  # fstWriterPackType


def mark_waves(journey: Journey, path: Path | str, card: str) -> None:
    """Add to an FST file of a card a signal for each of its stages, and for the stack and the driver of its host.

    Each is a text: what happens, after the ids of the packets that it happens to, such as ``#1 descriptor 0``; nothing
    where nothing does. It changes at the clock edge of the event, and stays for as long as that takes, a cycle at
    least. The file is written anew.

    Parameters
    ----------
    journey : Journey
        What happened.
    path : Path or str
        What ``SimNic.waves`` has written, at its end.
    card : str
        Which card that was of, such as ``host1 eth0``.

    Raises
    ------
    JourneyError
        If the package ``pylibfst`` is missing, the journey knows nothing of that card, or the file is no FST file.
    """
    try:
        import pylibfst
    except ImportError as error:
        raise JourneyError("markers in waves need a package: pip install 'hardwire[journey]'") from error
    marks = _marks(journey, card)
    path = Path(path)
    reader = pylibfst.lib.fstReaderOpen(os.fsencode(path))
    if reader == pylibfst.ffi.NULL:
        raise JourneyError(f"{path} is no FST file")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writer = pylibfst.lib.fstWriterCreate(os.fsencode(scratch), 1)
        _Copy(pylibfst, reader, writer).run(marks)
        scratch.replace(path)
    finally:
        pylibfst.lib.fstReaderClose(reader)
        scratch.unlink(missing_ok=True)


def _marks(journey: Journey, card: str) -> dict[str, list[tuple[int, str]]]:
    """Return by signal when it takes which text, in order."""
    clocks = {track.name.removesuffix(f" {track.stage}"): track.clock for track in journey.tracks if track.clock}
    clock = clocks.get(card)
    if clock is None:
        raise JourneyError(f"the journey knows no card {card!r}; there are {', '.join(clocks) or 'none'}")
    host = card.rpartition(" ")[0]
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for step in journey.steps:
        track = journey.tracks[step.track]
        name = track.stage if track.name == f"{card} {track.stage}" else track.kind if track.host == host else ""
        if name and name != "card" and step.kind != "wait" and _is_outermost(journey, step):
            text = " ".join([*(f"#{packet}" for packet in step.packets), step.name])
            spans[name].append((step.begin_fs, max(step.end_fs, step.begin_fs + clock.period_fs), text))
    return {name: list(_texts(these)) for name, these in spans.items()}


def _is_outermost(journey: Journey, step: Step) -> bool:
    if step.parent is None:
        return True
    outer = journey.steps[step.parent]
    return journey.tracks[step.track].kind == "driver" and outer.track != step.track


def _texts(spans: list[tuple[int, int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the text from each time on at which it changes: of spans that overlap, all."""
    changes: dict[int, list[tuple[bool, int]]] = defaultdict(list)
    for number, (begin_fs, end_fs, _) in enumerate(spans):
        changes[begin_fs].append((True, number))
        changes[end_fs].append((False, number))
    going: dict[int, None] = {}
    for time_fs in sorted(changes):
        for begins, number in sorted(changes[time_fs]):
            if begins:
                going[number] = None
            else:
                del going[number]
        yield time_fs, "; ".join(dict.fromkeys(spans[number][2] for number in going))


class _Copy:
    """Copies an FST file, and adds signals."""

    def __init__(self, library: Any, reader: Any, writer: Any) -> None:
        self._fst = library
        self._lib = library.lib
        self._reader = reader
        self._writer = writer

    def run(self, marks: dict[str, list[tuple[int, str]]]) -> None:
        lib = self._lib
        lib.fstWriterSetTimescale(self._writer, lib.fstReaderGetTimescale(self._reader))
        lib.fstWriterSetTimezero(self._writer, lib.fstReaderGetTimezero(self._reader))
        lib.fstWriterSetVersion(self._writer, lib.fstReaderGetVersionString(self._reader))
        lib.fstWriterSetPackType(self._writer, _FASTLZ)
        self._copy_hierarchy()
        self._queue = sorted(
            (time_fs, handle, text.encode())
            for name, changes in marks.items()
            for handle in [self._add_signal(name)]
            for time_fs, text in [(0, ""), *changes]
        )
        lib.fstWriterSetUpscope(self._writer)
        self._next = 0
        self._time = -1
        lib.fstReaderSetFacProcessMaskAll(self._reader)
        self._fst.fstReaderIterBlocks2(self._reader, self._copy_change, self._copy_text)
        self._mark_until(lib.fstReaderGetEndTime(self._reader))
        lib.fstWriterClose(self._writer)

    def _copy_hierarchy(self) -> None:
        lib, writer = self._lib, self._writer
        lib.fstReaderIterateHierRewind(self._reader)
        while (entry := lib.fstReaderIterateHier(self._reader)) != self._fst.ffi.NULL:
            kind, of = entry.htyp, entry.u
            if kind == lib.FST_HT_SCOPE:
                lib.fstWriterSetScope(writer, of.scope.typ, of.scope.name, of.scope.component)
            elif kind == lib.FST_HT_UPSCOPE:
                lib.fstWriterSetUpscope(writer)
            elif kind == lib.FST_HT_VAR:
                alias = of.var.handle if of.var.is_alias else 0
                lib.fstWriterCreateVar(writer, of.var.typ, of.var.direction, of.var.length, of.var.name, alias)
            elif kind == lib.FST_HT_ATTRBEGIN:
                lib.fstWriterSetAttrBegin(writer, of.attr.typ, of.attr.subtype, of.attr.name, of.attr.arg)
            elif kind == lib.FST_HT_ATTREND:
                lib.fstWriterSetAttrEnd(writer)
        lib.fstWriterSetScope(writer, lib.FST_ST_VCD_MODULE, SCOPE.encode(), self._fst.ffi.NULL)

    def _add_signal(self, name: str) -> int:
        lib = self._lib
        handle: int = lib.fstWriterCreateVar(
            self._writer, lib.FST_VT_GEN_STRING, lib.FST_VD_IMPLICIT, 0, name.replace(" ", "_").encode(), 0
        )
        return handle

    def _copy_change(self, _: object, time: int, handle: int, value: Any) -> None:
        self._go_to(time)
        self._lib.fstWriterEmitValueChange(self._writer, handle, value)

    def _copy_text(self, _: object, time: int, handle: int, value: Any, length: int) -> None:
        self._go_to(time)
        self._lib.fstWriterEmitVariableLengthValueChange(self._writer, handle, value, length)

    def _go_to(self, time: int) -> None:
        if time != self._time:
            self._mark_until(time)
            self._emit_time(time)

    def _mark_until(self, time: int) -> None:
        """Write the marks up to a time; those from before the file begins where it does."""
        while self._next < len(self._queue) and self._queue[self._next][0] <= time:
            at, handle, text = self._queue[self._next]
            self._next += 1
            self._emit_time(max(at, self._lib.fstReaderGetStartTime(self._reader)))
            self._lib.fstWriterEmitVariableLengthValueChange(self._writer, handle, text, len(text))

    def _emit_time(self, time: int) -> None:
        if time != self._time:
            self._time = time
            self._lib.fstWriterEmitTimeChange(self._writer, time)

"""FST files as tests look at them."""

from collections import defaultdict
from pathlib import Path

import pylibfst

__all__ = ["changes", "high_at"]


def changes(path: Path, *wanted: str) -> dict[str, list[tuple[int, str]]]:
    """Return by name of a signal, its scope in, when it changes, in units of the file, and what to."""
    reader = pylibfst.lib.fstReaderOpen(bytes(path))
    assert reader != pylibfst.ffi.NULL
    _, signals = pylibfst.get_scopes_signals2(reader)
    names = {signals.by_name[name].handle: name for name in signals.by_name if name in wanted}
    names |= {s.handle: name for name, s in signals.by_name.items() if name.startswith("journey.")}
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def value(_: object, time: int, handle: int, text: object) -> None:
        if handle in names:
            found[names[handle]].append((time, pylibfst.string(text)))

    def text(_: object, time: int, handle: int, octets: object, length: int) -> None:
        if handle in names:
            found[names[handle]].append((time, bytes(pylibfst.ffi.buffer(octets, length)).decode()))

    pylibfst.lib.fstReaderSetFacProcessMaskAll(reader)
    pylibfst.fstReaderIterBlocks2(reader, value, text)
    pylibfst.lib.fstReaderClose(reader)
    return found


def high_at(signal: list[tuple[int, str]], period: int) -> list[int]:
    """Return the times of the clock edges at which a signal that changes at such edges is found high."""
    return [
        time
        for (begin, level), (end, _) in zip(signal, signal[1:], strict=False)
        if level == "1"
        for time in range(begin + period, end + 1, period)
    ]

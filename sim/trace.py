"""Which functions of the stack ran, when, and which called which.

The stack has the kernel's function names, so nothing in it is decorated: while a tracer is on, Python reports
each call, and those into ``hardwire.stack`` are kept. While it is off it costs nothing.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

from .. import stack

__all__ = ["Call", "Tracer"]

_STACK = str(Path(stack.__path__[0]).resolve())


@dataclass(slots=True)
class Call:
    """One call of a stack function.

    Parameters
    ----------
    name : str
        Name of the function.
    module : str
        Its module below ``stack``, such as ``ipv4.udp``.
    begin_fs, end_fs : int
        Simulated time. They differ only if the call slept or read a register.
    calls : list[Call]
        What it called.
    """

    name: str
    module: str
    begin_fs: int
    end_fs: int = -1
    calls: "list[Call]" = field(default_factory=list)

    def walk(self, depth: int = 0) -> "Iterator[tuple[int, Call]]":
        """Yield this call and all below it, in order, each with its depth."""
        yield depth, self
        for call in self.calls:
            yield from call.walk(depth + 1)


class Tracer:
    """Records calls into the stack, in every task.

    Parameters
    ----------
    now_fs : Callable[[], int]
        The world's clock.

    Members
    -------
    roots : list[Call]
        Calls that came from outside the stack, in order.
    """

    def __init__(self, now_fs: Callable[[], int]) -> None:
        self.roots: list[Call] = []
        self._now_fs = now_fs
        self._open: dict[FrameType, Call] = {}
        self._modules: dict[CodeType, str | None] = {}

    def __enter__(self) -> "Tracer":
        """Start to record; others that record go on."""
        _tracers.append(self)
        _listen()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to record."""
        _tracers.remove(self)
        _listen()
        now = self._now_fs()
        for call in self._open.values():
            call.end_fs = now
        self._open.clear()

    def hear(self, frame: FrameType, event: str, value: object) -> None:
        """Take what Python reports."""
        if event == "call":
            code = frame.f_code
            if code not in self._modules:
                self._modules[code] = _module(code)
            module = self._modules[code]
            if module is None:
                return
            call = Call(code.co_name, module, self._now_fs())
            # By frames, not by a stack of our own: tasks interleave, and each has its own chain of frames.
            caller = frame.f_back
            while caller is not None and caller not in self._open:
                caller = caller.f_back
            outer = None if caller is None else self._open[caller]
            (self.roots if outer is None else outer.calls).append(call)
            self._open[frame] = call
            self.called(call, outer, frame)
        elif event == "return":
            ended = self._open.pop(frame, None)
            if ended is not None:
                ended.end_fs = self._now_fs()
                self.returned(ended, value)

    def called(self, call: Call, outer: Call | None, frame: FrameType) -> None:
        """See a call as it begins: inside which one, and the frame with its arguments."""

    def returned(self, call: Call, value: object) -> None:
        """See a call as it ends, and what it returns: None also if it raises."""


_tracers: list[Tracer] = []  # Those that are on.


def _listen() -> None:
    """Have Python report calls to the tracers that are on; to one alone without a detour."""
    if len(_tracers) > 1:
        sys.setprofile(_tell_all)
    else:
        sys.setprofile(_tracers[0].hear if _tracers else None)


def _tell_all(frame: FrameType, event: str, value: object) -> None:
    for tracer in _tracers:
        tracer.hear(frame, event, value)


def _module(code: CodeType) -> str | None:
    """Return the module below ``stack`` of a function worth showing, or None; ``abi`` only describes."""
    name = code.co_name
    if name.startswith("<") or (name.startswith("_") and not name.startswith("__")) or name.endswith("__"):
        return None
    path = Path(code.co_filename)
    if not path.is_relative_to(_STACK):
        path = path.resolve()
        if not path.is_relative_to(_STACK):
            return None
    parts = path.relative_to(_STACK).with_suffix("").parts
    return None if parts[0] == "abi" else ".".join(parts)

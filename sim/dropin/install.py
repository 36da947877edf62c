"""Gives the program that is about to start its host's network, clock and threads."""

import _socket
import atexit
import fcntl
import os
import sys
from types import ModuleType, TracebackType
from typing import Any

from .calls import FIRST_FD, call, connect, leave
from .clocks import simulate_datetime, time_module
from .polling import select_module
from .sockets import socket_module
from .stand_in import stand_in
from .threads import thread_module

__all__ = ["VARIABLE", "install"]

# In the environment: descriptors of the channel and of the control socket.
VARIABLE = "HARDWIRE_RUN"

_OURS = os.path.dirname(__file__) + os.sep

# Built on what is replaced; some file *.pth may have imported them already.
_AFRESH = ("datetime", "logging", "queue", "selectors", "socket", "threading")


def install() -> None:
    """Replace the modules in C that reach network, clocks and threads; those in Python run above them, as ever."""
    channel, control = ends = [int(word) for word in os.environ.pop(VARIABLE).split()]
    for end in ends:
        os.set_inheritable(end, False)  # What the program starts must not keep them open.
    connect(_socket.socket(fileno=channel), _socket.socket(fileno=control))
    atexit.register(leave)  # The first one registered is the last one called.
    for name in _AFRESH:
        sys.modules.pop(name, None)
    for module in (socket_module(), select_module(), time_module(), thread_module(), _fcntl_module()):
        sys.modules[module.__name__] = module
    # In C, these have real locks, and clocks; Python has them in Python as well.
    sys.modules["_queue"] = None  # type: ignore[assignment]  # As the import system marks what is not there.
    simulate_datetime()
    sys.excepthook = _excepthook


def _fcntl_module() -> ModuleType:
    def fd_of(file: Any) -> int:
        number: int = file.__index__() if hasattr(file, "__index__") else file.fileno()
        return number

    def ioctl(fd: Any, request: int, arg: Any = 0, mutate_flag: bool = True, /) -> Any:
        if fd_of(fd) < FIRST_FD:
            return fcntl.ioctl(fd, request, arg, mutate_flag)
        if hasattr(arg, "__index__"):
            return call("method", fd_of(fd), "ioctl", (request, arg.__index__()))
        answer = call("method", fd_of(fd), "ioctl", (request, bytes(arg)))
        if mutate_flag and not memoryview(arg).readonly:
            memoryview(arg).cast("B")[:] = answer
            return 0
        return answer

    return stand_in(fcntl, {"ioctl": ioctl})


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an exception as if all that is replaced were written in C: without frames of its own."""
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        chain.__traceback__ = _program_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__
    sys.__excepthook__(kind, error, error.__traceback__)


def _program_frames(trace: TracebackType | None) -> TracebackType | None:
    if trace is None:
        return None
    rest = _program_frames(trace.tb_next)
    if trace.tb_frame.f_code.co_filename.startswith(_OURS):
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)

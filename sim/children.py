"""Python programs of the real machine on simulated hosts, each in a process of its own."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .dropin import __file__ as _dropin
from .dropin.install import VARIABLE
from .dropin.process import Process
from .machine import Machine
from .world import DeadlockError, Task, World

__all__ = ["SETTLE_NS", "Child", "Children", "environment", "text_of"]

SETTLE_NS = 1_000_000_000  # At most so long, in simulated time, programs end in their own way.

_SITE = str(Path(_dropin).parent / "site")
_PATIENCE_S = 5.0


def text_of(words: list[str]) -> str:
    """Return a command line, given without "python"."""
    return shlex.join(["python", *words])


def environment(process: Process) -> dict[str, str]:
    """Return the environment of a program's process, in which Python puts it on its host before it begins."""
    others = os.environ.get("PYTHONPATH")
    path = _SITE + (os.pathsep + others if others else "")
    return {**os.environ, "PYTHONPATH": path, VARIABLE: " ".join(map(str, process.ends))}


@dataclass
class Child:
    """A program in a process, with its exit status if it ended by itself."""

    text: str
    process: Process
    popen: "subprocess.Popen[bytes]"
    status: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.main.done


class Children:
    """The processes that this one has started for the hosts of a world.

    Members
    -------
    all : list of Child
        In the order in which they were started.
    """

    def __init__(self, world: World) -> None:
        self.all: list[Child] = []
        self._world = world

    def start(self, machine: Machine, name: str, hello: tuple[Any, ...], words: list[str], **options: Any) -> Child:
        """Start a program on a host.

        Parameters
        ----------
        machine : Machine
            Its host.
        name : str
            For messages.
        hello : tuple
            What it learns of its host; see ``Process``.
        words : list of str
            Its command line, without "python".
        **options
            Of its ``Popen``.
        """
        process = Process(machine, name, hello)
        popen = subprocess.Popen([sys.executable, *words], env=environment(process), pass_fds=process.ends, **options)
        process.listen()
        process.begin()
        self.all.append(Child(text_of(words), process, popen))
        return self.all[-1]

    def finish(self, join: Callable[[Sequence[Task]], None] | None = None) -> None:
        """Let those that still run end in their own way, with all that they still call, if that is soon.

        Parameters
        ----------
        join : callable or None
            Lets time pass until tasks have ended, but not too long; None: as simulated time can.
        """
        for child in self._running:
            if child.ended:
                child.status = child.popen.wait()
        processes = [child.process for child in self._running]
        killer = self.kill_later()
        for main in (True, False):  # The main threads may want to end the others themselves.
            for process in processes:
                if not process.main.done:
                    process.finish(main=main)
            (join or self._join)([process.main for process in processes])
        killer.cancel()

    def _join(self, tasks: Sequence[Task]) -> None:
        with suppress(DeadlockError):  # One waits for what never comes, even so.
            self._world.join(tasks, limit_ns=SETTLE_NS)

    def end(self) -> None:
        """End those that still run, whatever they still call."""
        for child in self._running:
            child.process.end(0)
        killer = self.kill_later()
        for child in self._running:
            child.popen.wait()
        killer.cancel()

    def kill_later(self) -> threading.Timer:
        """Kill those that still run when patience is at its end."""
        killer = threading.Timer(_PATIENCE_S, self.kill)
        killer.daemon = True
        killer.start()
        return killer

    def kill(self) -> None:
        """Kill those that still run."""
        for child in self._running:
            child.popen.kill()

    @property
    def _running(self) -> list[Child]:
        return [child for child in self.all if child.popen.returncode is None]

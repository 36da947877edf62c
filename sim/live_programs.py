"""Programs on a simulated host that lives in real time, among real ones."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .children import SETTLE_NS, Child, Children, text_of
from .machine import Machine
from .netns import KernelError
from .program import Program
from .realtime import Port, RealTime
from .world import Task

__all__ = ["LivePrograms"]


class LivePrograms:
    """What runs on a host; its clock shows the real time.

    The process gets SIGIO from its children from the first one on.

    Parameters
    ----------
    machine : Machine
        The host.
    names : dict[str, str]
        Addresses by name, for Python programs.
    """

    def __init__(self, machine: Machine, names: dict[str, str]) -> None:
        self._machine = machine
        self._names = names
        self._children = Children(machine.world)
        self._started: list[tuple[Program, Task] | Child] = []

    def start(self, program: "Program | list[str]") -> None:
        """Start a program: one of ours, or the words of a Python command line, without "python"."""
        if isinstance(program, Program):
            task = self._machine.world.spawn(_run, program, self._machine, name=program.text)
            self._started.append((program, task))
            return
        signal.signal(signal.SIGIO, self._hear)
        name = self._machine.host.name
        hello = (name, self._names, time.time_ns() - self._machine.world.now_ns)
        # In a session of its own: a terminal's Ctrl-C is for us, and the program's end is orderly.
        child = self._children.start(
            self._machine, text_of(program), hello, program, cwd=Path(), stdout=2, start_new_session=True
        )
        self._started.append(child)

    @property
    def over(self) -> bool:
        """Whether there were programs, all have ended, and what they have left under way has arrived."""
        if not self._started or self._machine.net.ipv4.tcp_hashinfo.orphan_count:
            return False
        return all(one.ended if isinstance(one, Child) else one[1].done for one in self._started)

    def end(self, ports: Sequence[Port], say: Callable[[str], None]) -> None:
        """End all that still run: first in their own way, with the network, if that is soon.

        Parameters
        ----------
        ports : sequence of Port
            Where frames come in meanwhile.
        say : callable
            Told in a line what is amiss.
        """
        world = self._machine.world

        def pass_time(done: Callable[[], bool]) -> None:
            latest = time.monotonic() + SETTLE_NS / 1e9
            RealTime(world, ports, say=say, done=lambda: done() or time.monotonic() > latest).run()

        try:
            self._children.finish(lambda tasks: pass_time(lambda: all(task.done for task in tasks)))
            pass_time(lambda: not self._machine.net.ipv4.tcp_hashinfo.orphan_count)
        except KernelError:
            pass  # The network has gone; that is said already.
        except OSError as error:  # A capture finds no room.
            say(f"{error.strerror}: {error.filename}")
        finally:
            self._children.end()
        for one in self._started:
            if not isinstance(one, Child):
                one[0].ended()

    def kill(self) -> None:
        """Kill what still runs: when it cannot be ended, one must not go on without a network."""
        self._children.kill()

    @property
    def lines(self) -> list[str]:
        """What our own have said."""
        return [line for one in self._started if not isinstance(one, Child) for line in one[0].lines]

    @property
    def failed(self) -> list[str]:
        """What has failed, each in a line."""
        found = []
        for one in self._started:
            if not isinstance(one, Child):
                found += [f"failed: {one[0].result['failed']}"] if "failed" in one[0].result else []
            elif one.status:
                found.append(f"{one.text} ended with status {one.status}")
        return found

    def report(self) -> list[dict[str, Any]]:
        """Return what came of each, as plain values."""
        return [
            {"program": one.text, "status": one.status}
            if isinstance(one, Child)
            else {"program": one[0].text, "result": one[0].result}
            for one in self._started
        ]

    def _hear(self, *_: object) -> None:
        self._machine.world.signals.extend(child.process.look for child in self._children.all)


def _run(program: Program, machine: Machine) -> None:
    """Run a program; what it cannot do does not end the others."""
    try:
        if program.lead is not None:
            program.lead(program, machine)
        program.run(program, machine)
    except OSError as error:
        program.lines.append(f"{program.text}: {error.strerror}")
        program.result["failed"] = program.text

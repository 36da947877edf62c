"""Programs of the real machine on simulated hosts: what ``hardwire run`` does."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ..stack.iproute import route_add
from .bridge.real_lan import RealLan
from .capture import Capture
from .dropin import __file__ as _dropin
from .dropin.install import VARIABLE
from .dropin.process import Process
from .lan import Lan
from .machine import Machine
from .programs import Program
from .scenario import Scenario
from .sniffer import Sniffer
from .world import DeadlockError, World

__all__ = ["Run"]

_SITE = str(Path(_dropin).parent / "site")
_SETTLE_NS = 1_000_000_000  # At most so long goes on what the main program has left under way, and how others end.
_PATIENCE_S = 5.0

Say = Callable[[str], None]


@dataclass
class _Child:
    """A program of the scenario in a process, with its exit status if it ended by itself."""

    text: str
    process: Process
    popen: "subprocess.Popen[bytes]"
    status: int | None = None


class Run:
    """A scenario with a main program, about to run.

    Parameters
    ----------
    scenario : Scenario
        The hosts and their programs.
    words : list of str
        The main program's command line, without "python".
    host : str or None
        Where it runs; None: on the first host.
    pcap : Path or None
        Folder for what each card sends and receives.
    report : file or None
        Where a report as JSON goes at the end.

    Raises
    ------
    ScenarioError
        If there is no such host.
    OSError
        If a host's setup is impossible, or a capture cannot be written.
    BuildError
        If the simulator cannot be built.
    """

    def __init__(
        self,
        scenario: Scenario,
        words: list[str],
        *,
        host: str | None = None,
        pcap: Path | None = None,
        report: TextIO | None = None,
    ) -> None:
        self._scenario = scenario
        self._words = words
        self._file = report
        at = 0 if host is None else scenario.host(host)
        self._world = World(seed=scenario.seed)
        setups = [plan.setup for plan in scenario.hosts]
        self._lan: Lan | RealLan
        if scenario.is_real:
            self._lan = RealLan(self._world, setups[0])
        else:
            self._lan = Lan(self._world, setups, switched=scenario.switch, **scenario.cable)
        self._captures: list[Capture] = []
        self._sniffers: list[Sniffer] = []  # A real card's frames are seen by the stack only.
        for plan, machine in zip(scenario.hosts, self._lan.machines, strict=True):
            if plan.gateway is not None:
                route_add(machine.net, "default", via=plan.gateway)
            if pcap is not None:
                pcap.mkdir(parents=True, exist_ok=True)
                self._captures.append(Capture(pcap / f"{plan.name}.pcapng", [machine.dev.name]))
                if scenario.is_real:
                    self._sniffers.append(Sniffer(machine, machine.dev.name, self._captures[-1]))
                    self._world.spawn(self._sniffers[-1].follow)
                else:
                    self._captures[-1].watch(machine.nic)
        self._children: list[list[_Child]] = [[] for _ in setups]
        self._main = self._process(at, words, is_main=True)

    def go(self, say: Say) -> NoReturn:
        """Become the main program; the simulation goes to a process of its own.

        So the program has the terminal, signals and exit status, as if Python had been called for it. The simulation
        is in another session, with all other programs, and ends when the main program does.

        Parameters
        ----------
        say : callable
            Takes a line for the user; called in the simulation's process.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            for end in self._main.ends:
                os.set_inheritable(end, True)
            os.execve(sys.executable, [sys.executable, *self._words], _environment(self._main))
        os.setsid()
        if os.fork():
            os._exit(0)  # So that the simulation is no child of the program, which may wait for its own.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)  # The main program's output holds nothing else.
        status = 1
        try:
            self._simulate(say)
            status = 0
        except (DeadlockError, OSError) as error:
            say(f"hardwire: {error}")
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            self._end_children()
            sys.stderr.flush()
            self._main.end(status)
            os._exit(status)

    def _simulate(self, say: Say) -> None:
        processes = [self._main]

        def hear(*_: object) -> None:
            self._world.signals.extend(process.look for process in processes)
            if self._main.gone:
                self._kill_later()  # One that computes for ever would hold up the end.

        signal.signal(signal.SIGIO, hear)
        self._main.listen()
        hear()
        for at, (plan, machine) in enumerate(zip(self._scenario.hosts, self._lan.machines, strict=True)):
            for program in plan.programs:
                if isinstance(program, Program):
                    name = f"{plan.name}: {program.text}"
                    self._world.spawn(_start, name, program, machine, name=name)
                else:
                    child = self._start_child(at, program)
                    processes.append(child.process)
        self._world.advance(0)  # Until all of them wait for something.
        self._main.begin()
        while not self._main.main.done:
            try:
                self._world.join([self._main.main])
            except DeadlockError:
                waiting = [process for process in processes if not process.main.done]
                if not any(process.waits_outside for process in waiting):
                    raise
                select.select([process.control for process in waiting], [], [])
                for process in waiting:
                    process.look()
        self._lan.settle(_SETTLE_NS)
        self._finish_children()
        self._end_children()
        self._tell(say)
        for sniffer in self._sniffers:
            sniffer.end()
        for capture in self._captures:
            capture.close()
        if self._file is not None:
            json.dump(self._report(), self._file, indent=2)
            self._file.write("\n")
            self._file.close()

    def _process(self, at: int, words: list[str], *, is_main: bool = False) -> Process:
        name = self._scenario.hosts[at].name
        hello = (name, self._scenario.addresses, int(self._scenario.start.timestamp() * 1e9))
        return Process(self._lan.machines[at], f"{name}: {_text(words)}", hello, is_main=is_main)

    def _start_child(self, at: int, words: list[str]) -> _Child:
        process = self._process(at, words)
        popen = subprocess.Popen(
            [sys.executable, *words],
            cwd=self._scenario.folder,
            env=_environment(process),
            pass_fds=process.ends,
        )
        process.listen()
        process.begin()
        child = _Child(_text(words), process, popen)
        self._children[at].append(child)
        return child

    @property
    def _running(self) -> list[_Child]:
        return [child for host in self._children for child in host if child.popen.returncode is None]

    def _finish_children(self) -> None:
        """Let the other programs end in their own way, with all that they still call, if that does not take long."""
        for child in self._running:
            if child.process.main.done:
                child.status = child.popen.wait()
        processes = [child.process for child in self._running]
        killer = self._kill_later()
        for main in (True, False):  # The main threads may want to end the others themselves.
            for process in processes:
                if not process.main.done:
                    process.finish(main=main)
            with suppress(DeadlockError):  # One waits for what never comes, even so.
                self._world.join([process.main for process in processes], limit_ns=_SETTLE_NS)
        killer.cancel()

    def _end_children(self) -> None:
        """End the other programs, whatever they still call."""
        for child in self._running:
            child.process.end(0)
        killer = self._kill_later()
        for child in self._running:
            child.popen.wait()
        killer.cancel()

    def _kill_children(self) -> None:
        for child in self._running:
            child.popen.kill()

    def _kill_later(self) -> threading.Timer:
        """Kill the other programs when patience is at its end."""
        killer = threading.Timer(_PATIENCE_S, self._kill_children)
        killer.daemon = True
        killer.start()
        return killer

    def _tell(self, say: Say) -> None:
        """Say what the other programs leave to say."""
        for plan, children in zip(self._scenario.hosts, self._children, strict=True):
            for program in plan.programs:
                if isinstance(program, Program):
                    program.ended()
                    for line in program.lines:
                        say(f"{plan.name}: {line}")
            for child in children:
                if child.status:
                    say(f"hardwire: {plan.name}: {child.text} ended with status {child.status}")

    def _report(self) -> dict[str, Any]:
        hosts = []
        for plan, machine, children in zip(self._scenario.hosts, self._lan.machines, self._children, strict=True):
            built_in = [program for program in plan.programs if isinstance(program, Program)]
            programs: list[dict[str, Any]] = [{"program": it.text, "result": it.result} for it in built_in]
            programs += [{"program": child.text, "status": child.status} for child in children]
            hosts.append(
                {
                    "host": plan.name,
                    "address": plan.address,
                    "mac": machine.dev.dev_addr.hex(":"),
                    "programs": programs,
                    "counters": machine.counters(),
                    "drops": machine.kernel.drop_counts(),
                }
            )
        return {"time_ns": self._world.now_ns, "hosts": hosts, "links": self._lan.link_report()}


def _start(name: str, program: Program, machine: Machine) -> None:
    try:
        if program.lead is not None:
            program.lead(program, machine)
        program.run(program, machine)
    except OSError as error:
        raise OSError(f"{name}: {error.strerror}") from error


def _text(words: list[str]) -> str:
    return shlex.join(["python", *words])


def _environment(process: Process) -> dict[str, str]:
    """Return the environment of a program's process, in which Python puts it on its host before it begins."""
    others = os.environ.get("PYTHONPATH")
    path = _SITE + (os.pathsep + others if others else "")
    return {**os.environ, "PYTHONPATH": path, VARIABLE: " ".join(map(str, process.ends))}

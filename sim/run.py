"""Programs of the real machine on simulated hosts: what ``hardwire run`` does."""

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ..stack.iproute import route_add
from .bridge.real_lan import RealLan
from .capture import Capture
from .children import SETTLE_NS, Child, Children, environment, text_of
from .dropin.process import Process
from .lan import Lan
from .machine import Machine
from .programs import Program
from .scenario import Scenario
from .sniffer import Sniffer
from .world import DeadlockError, World

__all__ = ["Run"]

Say = Callable[[str], None]


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
        self._others = Children(self._world)
        self._children: list[list[Child]] = [[] for _ in setups]
        name = scenario.hosts[at].name
        self._main = Process(self._lan.machines[at], f"{name}: {text_of(words)}", self._hello(name), is_main=True)

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
            os.execve(sys.executable, [sys.executable, *self._words], environment(self._main))
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
            self._others.end()
            sys.stderr.flush()
            self._main.end(status)
            os._exit(status)

    def _simulate(self, say: Say) -> None:
        processes = [self._main]

        def hear(*_: object) -> None:
            self._world.signals.extend(process.look for process in processes)
            if self._main.gone:
                self._others.kill_later()  # One that computes for ever would hold up the end.

        signal.signal(signal.SIGIO, hear)
        self._main.listen()
        hear()
        for at, (plan, machine) in enumerate(zip(self._scenario.hosts, self._lan.machines, strict=True)):
            for program in plan.programs:
                if isinstance(program, Program):
                    name = f"{plan.name}: {program.text}"
                    self._world.spawn(_start, name, program, machine, name=name)
                else:
                    child = self._others.start(
                        machine,
                        f"{plan.name}: {text_of(program)}",
                        self._hello(plan.name),
                        program,
                        cwd=self._scenario.folder,
                    )
                    self._children[at].append(child)
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
        self._lan.settle(SETTLE_NS)
        self._others.finish()
        self._others.end()
        self._tell(say)
        for sniffer in self._sniffers:
            sniffer.end()
        for capture in self._captures:
            capture.close()
        if self._file is not None:
            json.dump(self._report(), self._file, indent=2)
            self._file.write("\n")
            self._file.close()

    def _hello(self, name: str) -> tuple[Any, ...]:
        return name, self._scenario.addresses, int(self._scenario.start.timestamp() * 1e9)

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

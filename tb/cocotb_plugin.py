"""Tests of pytest with the device ``cocotb``, outside: each is handed to a pytest inside the simulation, which reports.

The pytest inside (``cocotb_session``) is started with the same arguments and collects the same tests. There is one
simulation for each set of gateware parameters that the tests ask for, from the first test that does until the end.
"""

import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from ..hdl.config import NicConfig
from ..sim.pytest_plugin.wanted import Wanted, WantedError
from .bench import Bench, BenchError, Case, build, run

__all__ = ["Simulation"]

_FIXTURE = "hardwire_world"  # Who asks for it has something that is simulated.
_LOOK_S = 0.2
_LOG_LINES = 30


class Simulation:
    """A simulation of the NIC with a pytest in it.

    Parameters
    ----------
    config : pytest.Config
        Of the pytest outside.
    nic_config : NicConfig
        Parameters of the NIC.

    Raises
    ------
    BenchError
        If it cannot be built, or does not come to the tests.
    """

    def __init__(self, config: pytest.Config, nic_config: NicConfig) -> None:
        self._open = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="hardwire-cocotb-"))
        address = self._folder / "socket"
        case = simulated(
            nic_config,
            address=str(address),
            arguments=_arguments(config),
            directory=str(config.invocation_params.dir),
        )
        listener = self._open.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(address))
        listener.listen()
        listener.settimeout(_LOOK_S)
        self._thread = threading.Thread(target=self._simulate, args=(case,), daemon=True)
        self._error: BenchError | None = None
        self._thread.start()
        self._inside = self._open.enter_context(self._accept(listener))
        self._pid = self._inside.recv()

    def _simulate(self, case: Case) -> None:
        try:
            run(case, run_seed=0, out_dir=self._folder)
        except BenchError as error:
            self._error = error

    def _accept(self, listener: socket.socket) -> Connection:
        while self._thread.is_alive():
            try:
                inside, _ = listener.accept()
            except TimeoutError:
                continue
            inside.settimeout(None)
            return Connection(inside.detach())
        raise self._error or BenchError(f"the simulation ended before the tests{self._log()}")

    def reports(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[dict[str, Any]]:
        """Run a test; yield its reports, as ``pytest_report_to_serializable`` makes them.

        Raises
        ------
        BenchError
            If the simulation ends in the middle.
        """
        try:
            self._inside.send((item.nodeid, nextitem and nextitem.nodeid))
            while (report := self._inside.recv()) is not None:
                yield report
        except (EOFError, OSError) as error:
            raise BenchError(f"the simulation ended in the middle of the test{self._log()}") from error

    def close(self) -> None:
        """End it, between two tests."""
        self._leave()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End it, whatever it does; its log stays."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, SIGKILL)
        self._leave()

    def _leave(self) -> None:
        with suppress(OSError):
            self._open.close()
        self._thread.join()

    def _log(self) -> str:
        path = next(self._folder.glob("*/run.log"), None)
        lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES:] if path else []
        return "\n".join([f"; the end of its log, {path}:", *lines])


def simulated(nic_config: NicConfig, **parameters: Any) -> Case:
    """Return the NIC, which is that of the bench ``driver``, with the pytest inside and its parameters as a bench."""
    bench = Bench(
        name="driver",
        build=lambda **_: _verilog(nic_config),
        module="hardwire.tb.cocotb_session",
        top="hardwire_nic",
        variants={"": {**parameters, "nic": asdict(nic_config)}},
    )
    return Case(bench, "")


@cache
def _verilog(nic_config: NicConfig) -> str:
    from ..hdl.verilog import nic_verilog

    return str(nic_verilog(nic_config))


def _arguments(config: pytest.Config) -> list[str]:
    # Its assertions are rewritten as outside, though the package was imported before.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return [*config.invocation_params.args, *quiet, "--hardwire-seed", str(config.option.hardwire_seed)]


_SIMULATIONS = pytest.StashKey[dict[NicConfig, Simulation]]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what does not go together."""
    config.stash[_SIMULATIONS] = {}
    if config.getoption("dist", "no") != "no":
        raise pytest.UsageError("all tests with the device cocotb are in one simulation: not with pytest-xdist's -n")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the tests need, outside of their limits of time."""
    if session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    for nic_config in dict.fromkeys(filter(None, map(_nic_config, session.items))):
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print("hardwire: building the simulation", file=sys.stderr)
            try:
                build(simulated(nic_config))
            except BenchError:
                pass  # The test will say so.


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Have a test with simulated things run inside, and report what is heard of it."""
    nic_config = _nic_config(item)
    if nic_config is None:
        return None
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    why = "the pytest in the simulation has not collected it"
    try:
        for report in _reports(item, nextitem, nic_config):
            why = ""
            hook.pytest_runtest_logreport(report=report)
    except (BenchError, pytest.fail.Exception) as error:  # pytest-timeout raises the latter.
        if simulation := item.config.stash[_SIMULATIONS].pop(nic_config, None):
            simulation.kill()
        why = str(error)
    if why:
        keywords = dict.fromkeys(item.keywords, 1)
        report = pytest.TestReport(item.nodeid, item.location, keywords, "failed", why, "call")
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item: pytest.Item, nextitem: pytest.Item | None, nic_config: NicConfig) -> Iterator[pytest.TestReport]:
    """Run a test inside; yield what became of its parts."""
    simulations = item.config.stash[_SIMULATIONS]
    if nic_config not in simulations:
        simulations[nic_config] = Simulation(item.config, nic_config)
    for data in simulations[nic_config].reports(item, nextitem):
        yield item.config.hook.pytest_report_from_serializable(config=item.config, data=data)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the simulations, before plugins write files that those inside have written, too."""
    for simulation in session.config.stash[_SIMULATIONS].values():
        simulation.close()


def _nic_config(item: pytest.Item) -> NicConfig | None:
    """Return the parameters of the NIC that a test is to run with; None: it needs none, or asks for what is not."""
    if _FIXTURE not in getattr(item, "fixturenames", ()):
        return None
    try:
        return Wanted.merged(item.iter_markers("hardwire")).nic_config
    except WantedError:
        return None

"""How a test with simulated things is run: what its marker asks for, its seed, its second run, and the report."""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # What plugins that run tests again use.

from ...hdl.config import NicConfig
from ..build import BuildError, library_dir
from .records import Records, make_folder
from .run import Run
from .wanted import Wanted, WantedError

__all__ = ["build", "current", "forget_over", "is_second", "make", "run", "seed_of", "wanted"]

_RUN = pytest.StashKey[Run]()
_WHOLE_CYCLES = 125_000  # With waves some seconds, and some Mbyte.
_WHOLE_S = 5
_NAME_LENGTH = 80


def build(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Build the simulators for some tests, those that are not in the cache."""
    if config.option.hardwire_device != "sim":
        return
    configs = []
    for item in items:
        try:
            configs.append(_merged(item).nic_config)
        except WantedError:
            pass  # The test will say so.
    for each in dict.fromkeys(configs):
        _build(config, each, waves=config.option.hardwire_waves)


def _build(config: pytest.Config, nic_config: NicConfig, *, waves: bool) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    # It takes a minute: people want to see what goes on.
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        try:
            library_dir(nic_config, waves=waves)
        except BuildError:
            pass  # The test will say so.


def wanted(item: pytest.Item) -> Wanted:
    """Return what a test's markers ask for; fail the test if that makes no sense."""
    try:
        found = _merged(item)
    except WantedError as error:
        wrong = str(error)
    else:
        own = [name for mark in item.own_markers if mark.name == "hardwire" for name in mark.kwargs]
        unused = Wanted.unused(own, getattr(item, "fixturenames", ()))
        if not unused:
            return found
        wrong = f"none of the test's fixtures has a use for {', '.join(unused)}"
    pytest.fail(f"@pytest.mark.hardwire: {wrong}", pytrace=False)


def _merged(item: pytest.Item) -> Wanted:
    return Wanted.merged(item.iter_markers("hardwire"))


def make(item: pytest.Item, factory: Callable[[Wanted], Any]) -> Any:
    """Return what ``factory`` makes of a test's wishes; fail the test if it cannot be made."""
    asked = wanted(item)
    try:
        made = factory(asked)
    except BuildError as error:
        wrong = f"the simulator could not be built: {error}"
    except OSError as error:
        wrong = f"@pytest.mark.hardwire: this cannot be made: {error.strerror}"
    except ValueError as error:
        wrong = f"@pytest.mark.hardwire: this cannot be made: {error}"
    else:
        current(item).begin(made)
        return made
    current(item).refused = True
    pytest.fail(wrong, pytrace=False)


def seed_of(item: pytest.Item) -> int:
    """Return a test's seed: from that of the session and the test's name."""
    text = f"{item.config.option.hardwire_seed}/{_node_id(item)}"
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big")


def _node_id(item: pytest.Item) -> str:
    """Return ``item.nodeid`` without what pytest-xdist may add to it."""
    return item.nodeid if item.parent is None else f"{item.parent.nodeid}::{item.name}"


def current(item: pytest.Item) -> Run:
    """Return the run that a test is in."""
    if _RUN not in item.stash:  # Another plugin runs it, in its own way.
        item.stash[_RUN] = _new_run(item)
    return item.stash[_RUN]


def forget_over(item: pytest.Item) -> None:
    """Let a test that is run once more have a run of its own."""
    if _RUN in item.stash and item.stash[_RUN].time_ns is not None:
        del item.stash[_RUN]


def is_second(item: pytest.Item) -> bool:
    """Return whether a test is run for the second time."""
    return current(item).second


def run(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test, and again if it fails, and report."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    first = item.stash[_RUN] = _new_run(item)
    shutil.rmtree(first.folder, ignore_errors=True)  # What it has left before.
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failed = next((report for report in reports if report.failed), None)
    try:
        if failed is not None and first.time_ns is not None and not first.refused:
            lines = [f"{first.time_ns:,} ns of simulated time, seed {first.seed}; to see it again: {_command(item)}"]
            if why_not := _why_not_again(item, failed):
                lines += [*_names(item, first.files), why_not]
            else:
                took_s = sum(report.duration for report in reports)
                lines += _run_again(item, nextitem, first, failed, took_s)
            failed.sections.append(("hardwire artefacts", "\n".join(lines + first.facts)))
    finally:  # Somebody may interrupt the second run.
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _new_run(item: pytest.Item) -> Run:
    option = item.config.option
    records = Records(
        pcap=option.hardwire_pcap,
        waves=option.hardwire_waves,
        journey=option.hardwire_journey,
        longest_ns=_window_ns(item),
    )
    return Run(_node_id(item), seed_of(item), _folder(item), records)


def _why_not_again(item: pytest.Item, failed: pytest.TestReport) -> str | None:
    """Return why a test that has failed is not run again; None: it is."""
    if item.config.option.hardwire_device != "sim":
        return "not run again to record more, which only the device sim does"
    if item.config.option.hardwire_no_rerun:
        return "not run again to record more, as asked for"
    if item.config.option.usepdb:
        return "not run again to record more, because of --pdb"
    if "from pytest-timeout" in str(failed.longrepr):
        return "not run again to record more, because it took too long"
    return None


def _run_again(
    item: pytest.Item, nextitem: pytest.Item | None, first: Run, failed: pytest.TestReport, took_s: float
) -> list[str]:
    """Run a test that has failed once more, and record; return what to say of it."""
    config = item.config
    if config.pluginmanager.hasplugin("timeout"):
        config.hook.pytest_timeout_cancel_timer(item=item)
    whole = first.cycles <= _WHOLE_CYCLES and took_s <= _WHOLE_S
    begin_ns = 0 if whole else max(0, (first.time_ns or 0) - _window_ns(item))
    records = Records(pcap=not first.records.pcap, waves=True, journey=True, begin_ns=begin_ns)
    try:
        make_folder(first.folder)
    except OSError as error:
        return [
            *_names(item, first.files),
            f"not run again to record more: no records in {error.filename}: {error.strerror}",
        ]
    _build(config, _merged(item).nic_config, waves=True)
    second = item.stash[_RUN] = Run(first.title, first.seed, first.folder, records, second=True)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    again = next((report for report in reports if report.failed), None)
    if again is None:
        how = "it passed when run again with the same seed to record this: it depends on more than the seed"
    elif _where(again) != _where(failed) or second.time_ns != first.time_ns:
        how = (
            f"it failed otherwise, at {second.time_ns or 0:,} ns, when run again with the same seed to record this: "
            "it depends on more than the seed"
        )
    else:
        how = "run again with the same seed to record this, it failed in the same way at the same time"
    if begin_ns:
        how += f"; waves and journey are of its end, from {begin_ns:,} ns on"
    return [*_names(item, sorted({*first.files, *second.files})), how]


def _where(report: pytest.TestReport) -> tuple[Any, ...]:
    """Return where a test has failed."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return report.when, crash and (crash.path, crash.lineno)


def _window_ns(item: pytest.Item) -> int:
    return int(item.config.option.hardwire_window * 1_000_000)


def _folder(item: pytest.Item) -> Path:
    """Return where the records of a test go: a name that people know, and a hash that makes it the only one."""
    config = item.config
    node_id = _node_id(item)
    name = re.sub(r"[^\w.=]+", "-", node_id)[-_NAME_LENGTH:].strip("-")
    return _artifacts(config) / f"{name}-{sha256(node_id.encode()).hexdigest()[:8]}"


def _artifacts(config: pytest.Config) -> Path:
    """Return where the records of all tests go."""
    if config.option.hardwire_artifacts is not None:
        return config.invocation_params.dir / str(config.option.hardwire_artifacts)
    return config.rootpath / str(config.getini("hardwire_artifacts"))


def _command(item: pytest.Item) -> str:
    path, colons, names = _node_id(item).partition("::")
    path = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    command = f"pytest {shlex.quote(path + colons + names)} --hardwire-seed {item.config.option.hardwire_seed}"
    device = item.config.option.hardwire_device
    return command if device == "sim" else f"{command} --hardwire-device {shlex.quote(device)}"


def _names(item: pytest.Item, files: Sequence[Path]) -> list[str]:
    here = item.config.invocation_params.dir
    return [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in files]

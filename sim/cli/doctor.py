"""``hardwire doctor``: what the machine lacks, and the command that installs it."""

import dataclasses
import sys
from typing import Annotated

import typer

from .report import FAILED, print_json

__all__ = ["doctor"]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Say what the machine lacks, and the command that installs it; exit 1 if something required is missing."""
    from ..build import cache_dir
    from ..doctor import examine

    checks = examine(cache_dir())
    healthy = all(check.found for check in checks if check.required)
    if as_json:
        print_json({"healthy": healthy, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            state = "ok     " if check.found else "MISSING" if check.required else "absent "
            rest = check.found or f"needed for {check.needed_for}: {check.install}"
            sys.stdout.write(f"{state}  {check.name:{width}}  {rest}\n")
    if not healthy:
        raise typer.Exit(FAILED)

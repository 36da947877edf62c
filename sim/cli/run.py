"""``hardwire run``: an unmodified Python program on a simulated host."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .report import FAILED, MISUSED, CommandError, say

if TYPE_CHECKING:
    from ..scenario import Scenario

__all__ = ["PASS_ON", "run"]

# The first word that is not ours, and all behind it, are the program's.
PASS_ON = {"allow_interspersed_args": False, "ignore_unknown_options": True}


def run(
    words: Annotated[
        list[str],
        typer.Argument(metavar="SCRIPT | -m MODULE [ARGUMENTS...]", help="The program, as one gives it to python."),
    ],
    scenario: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Hosts, their network and their programs, as TOML.",
            show_default="host1, 10.0.0.1, and host2, 10.0.0.2, which answers pings, and datagrams to port 7",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the program runs.", show_default="the first host")
    ] = None,
    pcap: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Record what each card sends and receives: NAME.pcapng.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of every random choice.", show_default="the scenario's, or 0")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report there: time, counters, drops by reason.")
    ] = None,
) -> None:
    """Run a Python program, unmodified, on a simulated host: its sockets are those of the stack, its time simulated."""
    from ..build import BuildError
    from ..run import Run
    from ..scenario import ScenarioError

    _check(words)
    plan = _scenario(scenario)
    if seed is not None:
        plan = replace(plan, seed=seed)
    try:
        report = None if json is None else json.open("w")
        ready = Run(plan, words, host=host, pcap=pcap, report=report)
    except ScenarioError as error:
        raise CommandError(str(error), MISUSED) from error
    except OSError as error:
        if error.filename is None:
            raise CommandError(f"the hosts cannot be set up: {error.strerror}", FAILED) from error
        raise CommandError(f"cannot write {error.filename}: {error.strerror}", MISUSED) from error
    except BuildError as error:
        raise CommandError(f"the simulator could not be built: {error}", FAILED) from error
    ready.go(say)


def _check(words: list[str]) -> None:
    first = words[0]
    if first in ("-m", "-c"):
        if len(words) == 1:
            raise CommandError(f"{first}: say what to run", MISUSED)
    elif first.startswith("-") and first != "-":
        raise CommandError(f"there is no option {first}; options for the program come after its name", MISUSED)
    elif first != "-" and not Path(first).exists():
        raise CommandError(f"cannot read {first}: No such file or directory", MISUSED)


def _scenario(path: Path | None) -> "Scenario":
    from ..scenario import Scenario, ScenarioError

    if path is None:
        return Scenario.default()
    try:
        return Scenario.read(path)
    except ScenarioError as error:
        raise CommandError(str(error), MISUSED) from error
    except OSError as error:
        raise CommandError(f"--scenario: cannot read {path}: {error.strerror}", MISUSED) from error

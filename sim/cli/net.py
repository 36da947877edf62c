"""``hardwire ip``, ``tc``, ``ethtool``, ``sysctl``, ``nft``: the administrator's commands, on one simulated host."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from .report import FAILED, CommandError

__all__ = ["PASS_ON", "command"]

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}


def command(name: str) -> Callable[..., None]:
    """Return the command of that name."""

    def run(words: Annotated[list[str] | None, typer.Argument(metavar="WORDS...")] = None) -> None:
        from ..build import BuildError
        from ..commands import run_command, split_commands
        from ..machine import Machine, Setup
        from ..world import World

        try:
            machine = Machine(World(), Setup())
        except BuildError as error:
            raise CommandError(f"the simulator could not be built: {error}", FAILED) from error
        results: list[str] = []

        def task() -> None:
            for part in split_commands([name, *(words or [])]):
                results.append(run_command(machine.net, part))

        try:
            machine.world.run(task)
        except OSError as error:
            sys.stdout.write("".join(results))
            raise CommandError(str(error.strerror), FAILED) from error
        sys.stdout.write("".join(results))

    run.__doc__ = (
        f"Run {name} on a simulated host with one card, eth0, 10.0.0.1/24; ';' (quoted) begins another command."
    )
    return run

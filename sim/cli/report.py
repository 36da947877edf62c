"""How commands speak to the person or program that runs them."""

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["FAILED", "MISUSED", "CommandError", "console", "print_json", "say"]

FAILED = 1
MISUSED = 2
_ANY_WIDTH = 1 << 20


class CommandError(Exception):
    """A command cannot do what was asked: one line for the person, an exit status for the shell.

    Parameters
    ----------
    message : str
        What is wrong, and with which value.
    exit_status : int
        ``FAILED`` if the request was sound, ``MISUSED`` if it was not.
    """

    def __init__(self, message: str, exit_status: int = FAILED) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def console(*, plain: bool = False) -> "Console":
    """Return where tables and trees are printed.

    Parameters
    ----------
    plain : bool
        What is printed is others' text: nothing in it is markup, and lines stay as long as they are.
    """
    from rich.console import Console

    class Terminal(Console):
        """A console that leaves it to ``main`` what an end of the reader means."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    if plain:
        return Terminal(highlight=False, markup=False, emoji=False, width=_ANY_WIDTH)
    return Terminal(highlight=False)


def print_json(value: Any) -> None:
    """Write a result for a program to read."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def say(text: str) -> None:
    """Write progress or a remark: to stderr, so that stdout holds the result only."""
    sys.stderr.write(text + "\n")

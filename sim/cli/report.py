"""How commands speak to the person or program that runs them."""

import json
import sys
from typing import Any

__all__ = ["FAILED", "MISUSED", "CommandError", "print_json", "say"]

FAILED = 1
MISUSED = 2


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


def print_json(value: Any) -> None:
    """Write a result for a program to read."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def say(text: str) -> None:
    """Write progress or a remark: to stderr, so that stdout holds the result only."""
    sys.stderr.write(text + "\n")
